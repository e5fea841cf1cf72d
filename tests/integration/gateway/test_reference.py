"""Searches by a recording and by sound: what is asked of whom, what comes out, and how it is paged."""

import base64
from typing import Any

import pytest

from museed.social.v1 import reference_pb2
from services.chassis.errors import FailedPrecondition, NotFound, ResourceExhausted
from services.gateway.schema.rules import GENRES, KEYS
from tests.fakes.upstreams import new_id
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT = """query($track: ID, $upload: ID, $segments: Int! = 3, $first: Int! = 20, $after: String,
    $leave: Boolean! = false) {
  referenceSearch(trackId: $track, uploadId: $upload, segments: $segments, first: $first, after: $after,
    leaveOutBlocked: $leave) {
    encoderId durationSeconds candidateCount withoutWindowsCount pageInfo { hasNextPage hasPreviousPage endCursor }
    nodes { title }
    edges { cursor similarity quantile score sharedTags node { title }
      segments { similarity reference { startSeconds endSeconds } track { startSeconds endSeconds } } } } }"""


def put_matches(gateway: Gateway, track_ids: list[str]) -> None:
    def answer(request: reference_pb2.SearchReferenceRequest) -> reference_pb2.SearchReferenceResponse:
        stretch = reference_pb2.Segment(start_seconds=40, end_seconds=50)
        pair = reference_pb2.MatchedSegment(
            reference=stretch, track=reference_pb2.Segment(start_seconds=62, end_seconds=72), similarity=0.1
        )
        bare = reference_pb2.MatchedSegment(reference=stretch, similarity=0.5)
        matches = [
            reference_pb2.ReferenceMatch(
                track_id=track_id,
                similarity=0.75,
                score=0.9,
                quantile=0.992,
                shared_tags=["guitar"],
                segments=[pair, bare][: request.segments_per_track],
            )
            for track_id in track_ids
        ]
        if matches:
            matches[-1] = reference_pb2.ReferenceMatch(track_id=track_ids[-1], similarity=0.25)
        return reference_pb2.SearchReferenceResponse(
            matches=matches[: request.count or 20],
            encoder_id="fake",
            candidate_count=len(matches),
            without_windows_count=1,
            duration_seconds=61.5,
        )

    gateway.social.answers["SearchReference"] = answer


async def search(gateway: Gateway, **variables: Any) -> Any:
    return (await gateway.data(DOCUMENT, variables, gateway.bearer()))["referenceSearch"]


async def test_matches_tell_seconds_of_both_and_why(gateway: Gateway) -> None:
    first, last = gateway.social.add_tracks(2)
    put_matches(gateway, [first.track_id, last.track_id])
    upload_id = new_id()
    found = await search(gateway, upload=base64.b64encode(f"Upload:{upload_id}".encode()).decode(), leave=True)
    stretch = {"startSeconds": 40, "endSeconds": 50}
    assert found == {
        "encoderId": "fake",
        "durationSeconds": 61.5,
        "candidateCount": 2,
        "withoutWindowsCount": 1,
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "endCursor": found["edges"][-1]["cursor"]},
        "nodes": [{"title": "Track 000"}, {"title": "Track 001"}],
        "edges": [
            {
                "cursor": found["edges"][0]["cursor"],
                "similarity": 0.75,
                "quantile": 0.992,
                "score": 0.9,
                "sharedTags": ["guitar"],
                "node": {"title": "Track 000"},
                "segments": [
                    {"similarity": 0.1, "reference": stretch, "track": {"startSeconds": 62, "endSeconds": 72}},
                    {"similarity": 0.5, "reference": stretch, "track": None},
                ],
            },
            {
                "cursor": found["edges"][1]["cursor"],
                "similarity": 0.25,
                "quantile": None,
                "score": None,
                "sharedTags": [],
                "node": {"title": "Track 001"},
                "segments": [],
            },
        ],
    }
    asked = gateway.social.requests["SearchReference"]
    assert (asked.upload_id, asked.track_id, asked.count, asked.segments_per_track, asked.leave_out_blocked) == (
        upload_id, "", 21, 3, True,
    )  # fmt: skip
    assert gateway.behind.spent() == {"SearchReference": 1, "BatchGetTracks": 1}


async def test_matches_are_walked_through_to_the_last_of_two_hundred(gateway: Gateway) -> None:
    tracks = gateway.social.add_tracks(230)
    put_matches(gateway, [track.track_id for track in tracks])
    del gateway.social.tracks[tracks[29].track_id]
    titles: list[str] = []
    after, counts = None, []
    while True:
        page = await search(gateway, track=tracks[0].track_id, first=30, after=after)
        counts.append(gateway.social.requests["SearchReference"].count)
        titles += [node["title"] for node in page["nodes"]]
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert titles == [f"Track {number:03}" for number in range(200) if number != 29]
    assert counts == [31, 61, 91, 121, 151, 181, 200]
    middle = (await search(gateway, track=tracks[0].track_id, first=5))["edges"][2]["cursor"]
    page = await search(gateway, track=tracks[0].track_id, first=2, after=middle)
    assert [node["title"] for node in page["nodes"]] == ["Track 003", "Track 004"]


async def test_filter_reaches_social_and_the_index(gateway: Gateway) -> None:
    (track,) = gateway.social.add_tracks(1)
    put_matches(gateway, [track.track_id])
    document = """query($id: ID!, $filter: TrackFilterInput) {
      referenceSearch(trackId: $id, filter: $filter) { nodes { title } }
      similarTracks(trackId: $id, filter: $filter) { nodes { title } } }"""
    wanted = {
        "genres": ["Rock"],
        "year": {"min": 1990},
        "energy": {},
        "trackIds": [track.track_id],
        "keys": ["C major"],
    }
    await gateway.data(document, {"id": track.track_id, "filter": wanted}, gateway.bearer())
    for asked in (gateway.social.requests["SearchReference"].filter, gateway.retriever.requests["Search"].filter):
        assert (list(asked.genres), list(asked.track_ids), list(asked.keys)) == (
            ["Rock"],
            [track.track_id],
            ["C major"],
        )
        assert (asked.year.min, asked.year.HasField("max"), asked.HasField("energy"), asked.HasField("tempo_bpm")) == (
            1990, False, True, False,
        )  # fmt: skip
    body = await gateway.run(document, {"id": track.track_id, "filter": {"trackIds": ["x"]}}, gateway.bearer())
    assert [error["extensions"]["field"] for error in body["errors"]] == ["filter.trackIds[0]"] * 2
    only_near = """query($id: ID!, $filter: TrackFilterInput) {
      similarTracks(trackId: $id, filter: $filter) { nodes { id } } }"""
    for bad, field, known in (
        ({"genres": ["rock", "Polka"]}, "filter.genres[1]", GENRES),
        ({"keys": ["Db major"]}, "filter.keys[0]", KEYS),
    ):
        gateway.retriever.calls.clear()
        body = await gateway.run(only_near, {"id": track.track_id, "filter": bad})
        (error,) = body["errors"]
        assert error["extensions"] == {
            "code": "INVALID_ARGUMENT", "reason": "MALFORMED", "field": field, "value": next(iter(bad.values()))[-1],
            "limit": f"one of {', '.join(known)}",
        }  # fmt: skip
        assert "Search" not in gateway.retriever.calls
    await gateway.data(document, {"id": track.track_id}, gateway.bearer())
    assert not gateway.retriever.requests["Search"].HasField("filter")


@pytest.mark.parametrize(
    ("variables", "reason", "field"),
    [
        ({}, "REFERENCE_AMBIGUOUS", "trackId"),
        ({"track": "both", "upload": "both"}, "REFERENCE_AMBIGUOUS", "trackId"),
        ({"track": "nonsense"}, "ID_INVALID", "trackId"),
        ({"upload": base64.b64encode(b"Track:0190a000-0000-7000-8000-000000000000").decode()}, "ID_OF_ANOTHER_TYPE",
         "uploadId"),
        ({"upload": "0190a000-0000-7000-8000-000000000000", "segments": 0}, "SEGMENTS_OUT_OF_RANGE", "segments"),
        ({"upload": "0190a000-0000-7000-8000-000000000000", "first": 101}, "PAGE_SIZE_OUT_OF_RANGE", "first"),
        ({"upload": "0190a000-0000-7000-8000-000000000000", "after": base64.b64encode(b"0:200").decode()},
         "CURSOR_INVALID", "after"),
        ({"upload": "0190a000-0000-7000-8000-000000000000", "after": base64.b64encode(b"0:x").decode()},
         "CURSOR_INVALID", "after"),
    ],
)  # fmt: skip
async def test_wrong_input_is_refused_before_anybody_is_asked(
    gateway: Gateway, variables: dict[str, Any], reason: str, field: str
) -> None:
    body = await gateway.run(DOCUMENT, variables, gateway.bearer())
    assert body["data"] == {"referenceSearch": None}
    found = body["errors"][0]["extensions"]
    assert (found["code"], found["reason"], found["field"]) == ("INVALID_ARGUMENT", reason, field)
    assert gateway.behind.spent() == {}


async def test_what_social_refuses_is_told(gateway: Gateway) -> None:
    upload_id = new_id()
    for error, told in (
        (FailedPrecondition("hear it", reason="UPLOAD_NOT_HEARD", field="upload_id", value=upload_id), "uploadId"),
        (NotFound("no", reason="UPLOAD_NOT_FOUND", field="upload_id", value=upload_id), "uploadId"),
        (ResourceExhausted("wait", reason="TOO_MANY_SEARCHES", retry_after_ms=500), None),
    ):
        gateway.social.faults["SearchReference"] = error
        body = await gateway.run(DOCUMENT, {"upload": upload_id}, gateway.bearer())
        found = body["errors"][0]["extensions"]
        assert (found["reason"], found.get("field"), found.get("retryAfterMs")) == (
            error.reason, told, error.retry_after_ms,
        )  # fmt: skip
    body = await gateway.run(DOCUMENT, {"upload": upload_id})
    assert body["errors"][0]["extensions"]["reason"] == "LOGIN_REQUIRED"


async def test_similar_tracks_are_walked_through_by_cursors(gateway: Gateway) -> None:
    tracks = gateway.social.add_tracks(7)
    gateway.retriever.hits = [(track.track_id, 0.5) for track in tracks]
    del gateway.social.tracks[tracks[2].track_id]
    document = """query($id: ID!, $first: Int!, $after: String) {
      similarTracks(trackId: $id, first: $first, after: $after, hubDamping: 0.5) {
        pageInfo { hasNextPage hasPreviousPage endCursor } nodes { title } edges { cursor } } }"""

    async def page(first: int, after: str | None = None) -> Any:
        variables = {"id": tracks[0].track_id, "first": first, "after": after}
        return (await gateway.data(document, variables))["similarTracks"]

    titles: list[str] = []
    asked: list[tuple[int, str, float]] = []
    after = None
    while True:
        found = await page(3, after)
        request = gateway.retriever.requests["Search"]
        asked.append((request.k, request.page_token, request.hub_damping))
        titles += [node["title"] for node in found["nodes"]]
        assert found["pageInfo"]["hasPreviousPage"] == (after is not None)
        if not found["pageInfo"]["hasNextPage"]:
            break
        after = found["pageInfo"]["endCursor"]
    assert titles == [f"Track {number:03}" for number in range(7) if number != 2]
    assert asked == [(3, "", 0.5), (3, "3", 0.5), (3, "6", 0.5)]
    middle = (await page(4))["edges"][1]["cursor"]
    assert [node["title"] for node in (await page(2, middle))["nodes"]] == ["Track 003"]
