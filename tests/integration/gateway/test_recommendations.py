"""What the caller might like, over HTTP."""

from datetime import date
from typing import Any

import pytest

from museed.social.v1 import accounts_pb2, recommendations_pb2
from services.chassis.errors import Unavailable
from tests.fakes.upstreams import new_id, timestamp
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEOPLE = """query($first: Int! = 20, $after: String) { recommendedUsers(first: $first, after: $after) {
  pageInfo { hasNextPage hasPreviousPage endCursor } edges { similarity node { username } } nodes { username } } }"""
TRACKS = """query($first: Int! = 20, $after: String, $blend: Float) {
  recommendedTracks(first: $first, after: $after, blend: $blend) {
    blend isSoundAway pageInfo { hasNextPage endCursor }
    nodes { trackId source similarity track { title } becauseTrackId becauseTrack { title } } } }"""


async def test_people_of_a_like_taste_are_walked_through(gateway: Gateway) -> None:
    names = [f"p{number}" for number in range(5)]

    def recommended(request: recommendations_pb2.ListRecommendedUsersRequest) -> Any:
        return recommendations_pb2.ListRecommendedUsersResponse(
            users=[
                recommendations_pb2.RecommendedUser(
                    user=accounts_pb2.User(user_id=new_id(), username=name, created_at=timestamp()),
                    similarity=0.9 - number / 10,
                )
                for number, name in enumerate(names)
            ][: request.count]
        )

    gateway.social.answers["ListRecommendedUsers"] = recommended
    seen: list[tuple[str, float]] = []
    after, counts = None, []
    while True:
        page = (await gateway.data(PEOPLE, {"first": 2, "after": after}, gateway.bearer()))["recommendedUsers"]
        seen += [(edge["node"]["username"], edge["similarity"]) for edge in page["edges"]]
        counts.append(gateway.social.requests["ListRecommendedUsers"].count)
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == [("p0", 0.9), ("p1", 0.8), ("p2", 0.7), ("p3", 0.6), ("p4", 0.5)]
    assert counts == [3, 5, 7]
    await gateway.data(PEOPLE, {"first": 100}, gateway.bearer())
    assert gateway.social.requests["ListRecommendedUsers"].count == 100
    gateway.social.faults["ListRecommendedUsers"] = Unavailable(
        "tastes cannot be compared now", reason="TASTES_AWAY", retry_after_ms=1000
    )
    body = await gateway.run(PEOPLE, headers=gateway.bearer())
    assert body["errors"][0]["extensions"] == {"code": "UNAVAILABLE", "reason": "TASTES_AWAY", "retryAfterMs": 1000}


async def test_recommended_tracks_say_why_and_cost_two_calls(gateway: Gateway) -> None:
    heard, found, other = gateway.social.add_tracks(3)
    gone = new_id()
    gateway.social.answers["ListRecommendedTracks"] = recommendations_pb2.ListRecommendedTracksResponse(
        tracks=[
            recommendations_pb2.RecommendedTrack(
                track_id=found.track_id,
                source=recommendations_pb2.RECOMMENDATION_SOURCE_BOTH,
                similarity=0.7,
                because_track_id=heard.track_id,
            ),
            recommendations_pb2.RecommendedTrack(
                track_id=other.track_id, source=recommendations_pb2.RECOMMENDATION_SOURCE_POPULAR
            ),
            recommendations_pb2.RecommendedTrack(
                track_id=gone, source=recommendations_pb2.RECOMMENDATION_SOURCE_SOUND, similarity=0.0
            ),
        ],
        blend=0.1,
        is_sound_away=True,
    )
    page = (await gateway.data(TRACKS, {"first": 3}, gateway.bearer()))["recommendedTracks"]
    assert (page["blend"], page["isSoundAway"], page["pageInfo"]["hasNextPage"]) == (0.1, True, False)
    assert page["nodes"] == [
        {
            "trackId": found.track_id,
            "source": "BOTH",
            "similarity": 0.7,
            "track": {"title": "Track 001"},
            "becauseTrackId": heard.track_id,
            "becauseTrack": {"title": "Track 000"},
        },
        {
            "trackId": other.track_id,
            "source": "POPULAR",
            "similarity": None,
            "track": {"title": "Track 002"},
            "becauseTrackId": None,
            "becauseTrack": None,
        },
        {
            "trackId": gone,
            "source": "SOUND",
            "similarity": 0.0,
            "track": None,
            "becauseTrackId": None,
            "becauseTrack": None,
        },
    ]
    assert gateway.behind.spent() == {"ListRecommendedTracks": 1, "BatchGetTracks": 1}


@pytest.mark.parametrize("blend", [None, 0.0, 0.25])
async def test_blend_is_sent_only_where_it_is_given(gateway: Gateway, blend: float | None) -> None:
    await gateway.data(TRACKS, {} if blend is None else {"blend": blend}, gateway.bearer())
    request = gateway.social.requests["ListRecommendedTracks"]
    assert (request.blend if request.HasField("blend") else None) == blend
    assert request.count == 21


async def test_no_page_asks_for_more_than_there_can_be(gateway: Gateway) -> None:
    gateway.social.list_size = 200
    first = (await gateway.data(TRACKS, {"first": 100}, gateway.bearer()))["recommendedTracks"]
    assert gateway.social.requests["ListRecommendedTracks"].count == 101
    after = first["pageInfo"]["endCursor"]
    rest = (await gateway.data(TRACKS, {"first": 100, "after": after}, gateway.bearer()))["recommendedTracks"]
    assert gateway.social.requests["ListRecommendedTracks"].count == 200
    assert (len(rest["nodes"]), rest["pageInfo"]["hasNextPage"]) == (100, False)
    behind = rest["pageInfo"]["endCursor"]
    empty = (await gateway.data(TRACKS, {"after": behind}, gateway.bearer()))["recommendedTracks"]
    assert empty["nodes"] == []


async def test_the_mix_of_a_day(gateway: Gateway) -> None:
    (track,) = gateway.social.add_tracks(1)
    gateway.social.answers["GetDailyMix"] = recommendations_pb2.GetDailyMixResponse(
        day="2026-11-21",
        tracks=[
            recommendations_pb2.RecommendedTrack(
                track_id=track.track_id, source=recommendations_pb2.RECOMMENDATION_SOURCE_SOUND, similarity=0.5
            )
        ],
    )
    document = "query($day: Date) { dailyMix(day: $day) { day tracks { source track { title } } } }"
    found = (await gateway.data(document, {"day": "2026-11-21"}, gateway.bearer()))["dailyMix"]
    assert found == {"day": "2026-11-21", "tracks": [{"source": "SOUND", "track": {"title": "Track 000"}}]}
    assert gateway.social.requests["GetDailyMix"].day == date(2026, 11, 21).isoformat()
    await gateway.data(document, headers=gateway.bearer())
    assert gateway.social.requests["GetDailyMix"].day == ""
    body = await gateway.run(document, {"day": "21.11.2026"}, gateway.bearer())
    assert body["errors"][0]["extensions"]["reason"] == "DOCUMENT_INVALID"
    body = await gateway.run(document)
    assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
