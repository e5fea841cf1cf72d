"""Queries over HTTP: what comes out, how many upstream calls it takes, and what is told when one cannot be made."""

import base64
from pathlib import Path
from typing import Any

import pytest

from museed.social.v1 import catalog_pb2, playlists_pb2
from services.chassis.errors import Unavailable
from services.gateway.schema.paging import cursor
from tests.fakes.upstreams import make_track, new_id
from tests.integration.gateway.conftest import Gateway, serving_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAYLIST = """query Playlist($id: ID!, $first: Int! = 100) {
  playlist(id: $id) {
    id playlistId title visibility entryCount version encoderId
    entries(first: $first) {
      pageInfo { hasNextPage endCursor }
      nodes { entryId position isSeed similarity sharedTags trackId track { id trackId title tags { name score } } }
    }
  }
}"""


def global_id(kind: str, uuid: str) -> str:
    return base64.b64encode(f"{kind}:{uuid}".encode()).decode()


async def test_playlist_comes_whole_in_two_calls_whatever_its_length(gateway: Gateway) -> None:
    spent: list[dict[str, int]] = []
    for count in (1, 25, 100):
        tracks = gateway.social.add_tracks(count)
        playlist = gateway.social.add_playlist(tracks)
        found = (await gateway.data(PLAYLIST, {"id": playlist.playlist_id}))["playlist"]
        assert [node["track"]["title"] for node in found["entries"]["nodes"]] == [track.title for track in tracks]
        spent.append(gateway.behind.spent())
    assert spent == [{"GetPlaylist": 1, "BatchGetTracks": 1}] * 3


async def test_playlist_tells_of_each_entry_why_it_is_there(gateway: Gateway) -> None:
    tracks = gateway.social.add_tracks(2)
    playlist = gateway.social.add_playlist(tracks)
    found = (await gateway.data(PLAYLIST, {"id": playlist.playlist_id}))["playlist"]
    nodes = found["entries"].pop("nodes")
    assert found == {
        "id": global_id("Playlist", playlist.playlist_id),
        "playlistId": playlist.playlist_id,
        "title": "Like Track 000",
        "visibility": "PUBLIC",
        "entryCount": 2,
        "version": 1,
        "encoderId": "fake-0123456789abcdef",
        "entries": {"pageInfo": {"hasNextPage": False, "endCursor": base64.b64encode(b"0:2").decode()}},
    }
    entries = gateway.social.playlists[playlist.playlist_id].entries
    assert nodes[1] == {
        "entryId": entries[1].entry_id,
        "position": 1,
        "isSeed": False,
        "similarity": 0.984375,
        "sharedTags": ["guitar"],
        "trackId": tracks[1].track_id,
        "track": {
            "id": global_id("Track", tracks[1].track_id),
            "trackId": tracks[1].track_id,
            "title": "Track 001",
            "tags": [{"name": "guitar", "score": 0.5}],
        },
    }
    assert nodes[0]["isSeed"] is True


async def test_playlist_is_paged_and_a_deleted_track_is_null(gateway: Gateway) -> None:
    tracks = gateway.social.add_tracks(7)
    playlist = gateway.social.add_playlist(tracks)
    del gateway.social.tracks[tracks[1].track_id]
    document = """query($id: ID!, $after: String) {
      playlist(id: $id) { entries(first: 3, after: $after) {
        pageInfo { hasNextPage hasPreviousPage endCursor } edges { cursor node { position track { title } } } } }
    }"""
    positions: list[int] = []
    after, pages = None, 0
    while True:
        page = (await gateway.data(document, {"id": playlist.playlist_id, "after": after}))["playlist"]["entries"]
        positions += [edge["node"]["position"] for edge in page["edges"]]
        if pages == 0:
            assert page["edges"][1]["node"]["track"] is None
        assert page["pageInfo"]["hasPreviousPage"] == (pages > 0)
        pages += 1
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert (positions, pages) == ([0, 1, 2, 3, 4, 5, 6], 3)


async def test_document_over_everything_costs_one_call_a_field_and_one_a_loader(gateway: Gateway) -> None:
    owner = gateway.social.add_user("mina")
    tracks = gateway.social.add_tracks(30)
    playlist = gateway.social.add_playlist(tracks, owner.user_id)
    gateway.retriever.hits = [(track.track_id, 0.5) for track in tracks]
    document = """query($playlist: ID!, $track: ID!) {
      me { user { username } email role }
      playlist(id: $playlist) { owner { username } entries { nodes { track { title } } } }
      track(id: $track) { title }
      searchTracks(query: "track") { nodes { title } }
      similarTracks(trackId: $track, first: 30) { edges { similarity node { title } } }
      myPlaylists { nodes { title owner { username } } }
      stats { trackCount genres { genre trackCount } index { encoderId trackCount isCaughtUp } }
    }"""
    variables = {"playlist": playlist.playlist_id, "track": tracks[0].track_id}
    found = await gateway.data(document, variables, gateway.bearer(sub=owner.user_id))
    assert found["me"] == {"user": {"username": "mina"}, "email": "mina@example.org", "role": "USER"}
    assert found["playlist"]["owner"] == {"username": "mina"}
    assert found["myPlaylists"]["nodes"] == [{"title": "Like Track 000", "owner": {"username": "mina"}}]
    assert found["stats"]["index"] == {"encoderId": "fake-0123456789abcdef", "trackCount": 7, "isCaughtUp": True}
    # One call a root field; the loaders batch what becomes known at the same time.
    assert gateway.behind.spent() == {
        "GetViewer": 1,
        "GetPlaylist": 1,
        "BatchGetUsers": 1,
        "BatchGetTracks": 3,  # those of a list that leaves some out by themselves
        "SearchTracks": 1,
        "Search": 1,
        "ListMyPlaylists": 1,
        "GetStats": 1,
        "DescribeIndex": 1,
    }


async def test_guest_is_nobody_and_may_search(gateway: Gateway) -> None:
    gateway.social.add_tracks(3)
    found = await gateway.data('{ me { email } searchTracks(query: "002") { nodes { title artist year } } }')
    assert found["me"] is None
    assert found["searchTracks"]["nodes"] == [{"title": "Track 002", "artist": "Somebody", "year": 1999}]
    assert gateway.behind.spent() == {"SearchTracks": 1}


async def test_what_social_leaves_empty_is_null(gateway: Gateway) -> None:
    track = make_track("Bare", artist="", album="", raw_genre="", year=0)
    gateway.social.tracks[track.track_id] = track
    found = await gateway.data(
        "query($id: ID!) { track(id: $id) { artist album rawGenre year failureReason createdAt embeddingState } }",
        {"id": track.track_id},
    )
    assert found["track"] == {
        "artist": None,
        "album": None,
        "rawGenre": None,
        "year": None,
        "failureReason": None,
        "createdAt": "2026-01-02T03:04:05+00:00",
        "embeddingState": "INDEXED",
    }


async def test_descriptors_come_with_the_track_and_what_is_not_known_is_null(gateway: Gateway) -> None:
    measured = catalog_pb2.Descriptors(
        loudness_lufs=-14.5, peak_dbfs=0.0, tempo_bpm=128.0, key="F# minor", key_confidence=0.25, energy=0.75
    )
    tracks = [
        make_track("Measured", descriptors=measured),
        make_track("Noise", descriptors=catalog_pb2.Descriptors(energy=0.0)),
        make_track("Old"),
    ]
    for track in tracks:
        gateway.social.tracks[track.track_id] = track
    playlist = gateway.social.add_playlist(tracks)
    document = """query($id: ID!) { playlist(id: $id) { entries { nodes { track {
      descriptors { loudnessLufs peakDbfs tempoBpm key keyConfidence energy } tags(first: 3) { name score } } } } } }"""
    nodes = (await gateway.data(document, {"id": playlist.playlist_id}))["playlist"]["entries"]["nodes"]
    unknown = {"loudnessLufs": None, "peakDbfs": None, "tempoBpm": None, "key": None, "keyConfidence": None}
    assert [node["track"]["descriptors"] for node in nodes] == [
        {
            "loudnessLufs": -14.5,
            "peakDbfs": 0.0,
            "tempoBpm": 128.0,
            "key": "F# minor",
            "keyConfidence": 0.25,
            "energy": 0.75,
        },
        unknown | {"energy": 0.0},
        None,
    ]
    assert gateway.behind.spent() == {"GetPlaylist": 1, "BatchGetTracks": 1}


async def test_best_tags_come_first_with_the_digits_that_they_have(gateway: Gateway) -> None:
    heard = [catalog_pb2.Tag(name=f"tag {number}", score=1 / (number + 3)) for number in range(50)]
    track = make_track("Heard", tags=heard)
    gateway.social.tracks[track.track_id] = track
    document = "query($id: ID!, $first: Int! = 10) { track(id: $id) { tags(first: $first) { name score } } }"
    tags = (await gateway.data(document, {"id": track.track_id}))["track"]["tags"]
    assert (len(tags), tags[0]) == (10, {"name": "tag 0", "score": 0.333333})
    tags = (await gateway.data(document, {"id": track.track_id, "first": 100}))["track"]["tags"]
    assert (len(tags), tags[-1]["name"]) == (50, "tag 49")
    body = await gateway.run(document, {"id": track.track_id, "first": 0})
    assert body["errors"][0]["extensions"]["reason"] == "PAGE_SIZE_OUT_OF_RANGE"


async def test_search_is_walked_through_by_cursors(gateway: Gateway) -> None:
    gateway.social.add_tracks(7)
    document = """query($after: String) { searchTracks(query: "track", first: 3, after: $after) {
      pageInfo { hasNextPage endCursor } edges { cursor node { title } } } }"""
    titles: list[str] = []
    after = None
    while True:
        page = (await gateway.data(document, {"after": after}))["searchTracks"]
        titles += [edge["node"]["title"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert titles == [f"Track {number:03}" for number in range(7)]
    first = (await gateway.data(document))["searchTracks"]["edges"]
    behind = (await gateway.data(document, {"after": first[0]["cursor"]}))["searchTracks"]["edges"]
    assert [edge["node"]["title"] for edge in behind] == ["Track 001", "Track 002", "Track 003"]


async def test_similar_tracks_keep_the_index_order_and_skip_the_deleted(gateway: Gateway) -> None:
    seed, near, gone, far = gateway.social.add_tracks(4)
    del gateway.social.tracks[gone.track_id]
    gateway.retriever.hits = [(near.track_id, 0.75), (gone.track_id, 0.5), (far.track_id, -0.25)]
    document = (
        "query($id: ID!) { similarTracks(trackId: $id, first: 3) { edges { similarity quantile node { title } } } }"
    )
    for form in (seed.track_id, seed.track_id.upper(), global_id("Track", seed.track_id)):
        found = await gateway.data(document, {"id": form})
        assert found["similarTracks"]["edges"] == [
            {"similarity": 0.75, "quantile": 0.25, "node": {"title": "Track 001"}},
            {"similarity": -0.25, "quantile": 0.25, "node": {"title": "Track 003"}},
        ]
        assert gateway.retriever.requests["Search"].track_id == seed.track_id
    assert gateway.behind.spent() == {"Search": 3, "BatchGetTracks": 3}
    assert not gateway.social.requests["BatchGetTracks"].leave_out_blocked  # a guest blocks nothing
    gateway.retriever.hits = gateway.retriever.hits[:1]
    found = await gateway.data(document, {"id": seed.track_id})
    assert [edge["quantile"] for edge in found["similarTracks"]["edges"]] == [None]


async def test_similar_tracks_leave_out_what_the_caller_blocks_unless_they_want_it(gateway: Gateway) -> None:
    seed, near, far = gateway.social.add_tracks(3)
    gateway.retriever.hits = [(near.track_id, 0.75), (far.track_id, -0.25)]
    gateway.social.blocked_tracks = {near.track_id}
    document = """query($id: ID!, $out: Boolean! = true) {
      similarTracks(trackId: $id, leaveOutBlocked: $out) { nodes { title } } }"""
    found = await gateway.data(document, {"id": seed.track_id}, gateway.bearer())
    assert found["similarTracks"]["nodes"] == [{"title": "Track 002"}]
    found = await gateway.data(document, {"id": seed.track_id, "out": False}, gateway.bearer())
    assert found["similarTracks"]["nodes"] == [{"title": "Track 001"}, {"title": "Track 002"}]
    found = await gateway.data(document, {"id": seed.track_id})
    assert len(found["similarTracks"]["nodes"]) == 2


async def test_node_finds_everything_that_has_an_id(gateway: Gateway) -> None:
    user = gateway.social.add_user("mina")
    (track,) = gateway.social.add_tracks(1)
    playlist = gateway.social.add_playlist([track])
    job = gateway.social.add_job()
    document = """query($id: ID!) { node(id: $id) { __typename id
      ... on Track { title } ... on Playlist { title } ... on Job { state } ... on User { username } } }"""
    wanted = {
        ("Track", track.track_id): {"title": "Track 000"},
        ("Playlist", playlist.playlist_id): {"title": "Like Track 000"},
        ("Job", job.job_id): {"state": "QUEUED"},
        ("User", user.user_id): {"username": "mina"},
    }
    for (kind, uuid), fields in wanted.items():
        id_ = global_id(kind, uuid)
        found = await gateway.data(document, {"id": id_}, gateway.bearer())
        assert found["node"] == {"__typename": kind, "id": id_, **fields}


UNKNOWN = "0190a000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("document", "extensions"),
    [
        (
            f'{{ track(id: "{UNKNOWN}") {{ title }} }}',
            {"code": "NOT_FOUND", "reason": "TRACK_NOT_FOUND", "field": "id", "value": UNKNOWN},
        ),
        (
            '{ track(id: "nonsense") { title } }',
            {"code": "INVALID_ARGUMENT", "reason": "ID_INVALID", "field": "id", "value": "nonsense"},
        ),
        (
            f'{{ track(id: "{global_id("Playlist", UNKNOWN)}") {{ title }} }}',
            {
                "code": "INVALID_ARGUMENT",
                "reason": "ID_OF_ANOTHER_TYPE",
                "field": "id",
                "value": global_id("Playlist", UNKNOWN),
                "limit": "Track",
            },
        ),
        (
            f'{{ playlist(id: "{UNKNOWN}") {{ title }} }}',
            {"code": "NOT_FOUND", "reason": "PLAYLIST_NOT_FOUND", "field": "id", "value": UNKNOWN},
        ),
        (
            f'{{ job(id: "{UNKNOWN}") {{ state }} }}',
            {"code": "NOT_FOUND", "reason": "JOB_NOT_FOUND", "field": "id", "value": UNKNOWN},
        ),
        (
            f'{{ node(id: "{UNKNOWN}") {{ id }} }}',
            {"code": "INVALID_ARGUMENT", "reason": "ID_INVALID", "field": "id", "value": UNKNOWN},
        ),
        (
            f'{{ node(id: "{global_id("Session", UNKNOWN)}") {{ id }} }}',
            {
                "code": "INVALID_ARGUMENT",
                "reason": "ID_INVALID",
                "field": "id",
                "value": global_id("Session", UNKNOWN),
            },
        ),
        (
            "{ searchTracks(first: 101) { nodes { title } } }",
            {
                "code": "INVALID_ARGUMENT",
                "reason": "PAGE_SIZE_OUT_OF_RANGE",
                "field": "first",
                "value": "101",
                "limit": "100",
            },
        ),
        (
            "{ searchTracks(first: 0) { nodes { title } } }",
            {
                "code": "INVALID_ARGUMENT",
                "reason": "PAGE_SIZE_OUT_OF_RANGE",
                "field": "first",
                "value": "0",
                "limit": "100",
            },
        ),
        (
            '{ searchTracks(after: "?") { nodes { title } } }',
            {"code": "INVALID_ARGUMENT", "reason": "CURSOR_INVALID", "field": "after", "value": "?"},
        ),
        (
            # A well-formed cursor around a token that social did not make.
            f'{{ searchTracks(after: "{base64.b64encode(b"0:forged").decode()}") {{ nodes {{ title }} }} }}',
            {"code": "INVALID_ARGUMENT", "reason": "INVALID_ARGUMENT", "field": "after", "value": "forged"},
        ),
        (
            f'{{ ingestProgress(rootId: "{UNKNOWN}") {{ pending }} }}',
            {"code": "PERMISSION_DENIED", "reason": "PERMISSION_DENIED"},
        ),
        (
            "{ failedTracks { nodes { reason } } }",
            {"code": "PERMISSION_DENIED", "reason": "PERMISSION_DENIED"},
        ),
    ],
)
async def test_refused_query_is_null_with_a_coded_error(
    gateway: Gateway, document: str, extensions: dict[str, str]
) -> None:
    body = await gateway.run(document, headers=gateway.bearer())
    (field,) = body["data"]
    assert body["data"] == {field: None}
    assert [error["extensions"] for error in body["errors"]] == [extensions]
    assert body["errors"][0]["path"] == [field]


async def test_foreign_private_playlist_is_not_found(gateway: Gateway) -> None:
    playlist = gateway.social.add_playlist([], "somebody-else", playlists_pb2.VISIBILITY_PRIVATE)
    document = "query($id: ID!) { playlist(id: $id) { title } }"
    for headers in (gateway.bearer(), {}):
        body = await gateway.run(document, {"id": playlist.playlist_id}, headers)
        assert body["data"] == {"playlist": None}
        assert body["errors"][0]["extensions"]["reason"] == "PLAYLIST_NOT_FOUND"
    own = await gateway.data(document, {"id": playlist.playlist_id}, gateway.bearer(sub="somebody-else"))
    assert own == {"playlist": {"title": "Like Track 000"}}


@pytest.mark.asyncio(loop_scope="function")
async def test_retriever_that_is_down_leaves_the_rest_of_the_answer(own_gateway: Gateway) -> None:
    gateway = own_gateway
    (track,) = gateway.social.add_tracks(1)
    await gateway.behind.retriever_server.drain(0)
    body = await gateway.run(
        "query($id: ID!) { track(id: $id) { title } similarTracks(trackId: $id) { nodes { title } } "
        "stats { trackCount index { kind } } }",
        {"id": track.track_id},
    )
    assert body["data"] == {
        "track": {"title": "Track 000"},
        "similarTracks": None,
        "stats": {"trackCount": 1, "index": None},
    }
    assert sorted((error["path"], error["extensions"]["code"]) for error in body["errors"]) == [
        (["similarTracks"], "UNAVAILABLE"),
        (["stats", "index"], "UNAVAILABLE"),
    ]


async def test_lost_batch_leaves_the_playlist_with_coded_errors(gateway: Gateway) -> None:
    playlist = gateway.social.add_playlist(gateway.social.add_tracks(2))
    gateway.social.faults["BatchGetTracks"] = Unavailable("the database is away", retry_after_ms=500)
    body = await gateway.run(PLAYLIST, {"id": playlist.playlist_id})
    assert [node["track"] for node in body["data"]["playlist"]["entries"]["nodes"]] == [None, None]
    assert [error["extensions"] for error in body["errors"]] == [
        {"code": "UNAVAILABLE", "reason": "UNAVAILABLE", "retryAfterMs": 500}
    ] * 2


async def test_every_call_has_a_deadline(gateway: Gateway) -> None:
    await gateway.data("{ stats { trackCount } }")
    left = gateway.social.seen_time_left_s["GetStats"]
    assert left is not None
    # gRPC rounds a timeout up by some milliseconds.
    assert 3 < left < gateway.parts.settings.upstream_timeout_s + 0.1


async def test_slow_upstream_is_cut_at_the_deadline_of_the_request(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, request_timeout_s=0.5) as gateway:
        gateway.social.add_tracks(1)
        gateway.social.delays_s["GetStats"] = 5.0
        body = await gateway.run("{ stats { trackCount } searchTracks { nodes { title } } }")
        assert body["data"] == {"stats": None, "searchTracks": {"nodes": [{"title": "Track 000"}]}}
        assert [error["extensions"]["code"] for error in body["errors"]] == ["DEADLINE_EXCEEDED"]
        left = gateway.social.seen_time_left_s["GetStats"]
        assert left is not None
        assert left < 0.6


async def test_further_pages_below_a_list_end_at_the_budget_of_calls(gateway: Gateway) -> None:
    for _ in range(60):
        gateway.social.add_playlist([])
    # No client goes on in sixty lists by one cursor: social would know it for another list's.
    document = (
        "query($after: String!) { myPlaylists(first: 100) { nodes { comments(after: $after) { nodes { text } } } } }"
    )
    body = await gateway.run(document, {"after": cursor("a token", 0)}, gateway.bearer())
    nodes = body["data"]["myPlaylists"]["nodes"]
    assert sum(node["comments"] is not None for node in nodes) == 39
    assert [error["extensions"]["reason"] for error in body["errors"]] == ["QUERY_TOO_COSTLY"] * 21
    assert gateway.behind.spent() == {"ListMyPlaylists": 1, "ListComments": 39}


async def test_admin_watches_the_ingest(gateway: Gateway) -> None:
    gateway.social.failures = [
        catalog_pb2.FailedTrack(
            track_id=new_id(), relative_path=b"caf\xe9/%d.mp3" % number, reason="TOO_SHORT", message="0.2 s"
        )
        for number in range(3)
    ]
    root_id = new_id()
    document = """query($root: ID!) {
      ingestProgress(rootId: $root) { rootId pending embedded indexed failed total }
      failedTracks(rootId: $root, first: 2) { pageInfo { hasNextPage } nodes {
        relativePath relativePathBase64 reason message track { title } } }
    }"""
    found: dict[str, Any] = await gateway.data(document, {"root": root_id}, gateway.bearer(role="admin"))
    assert found["ingestProgress"] == {
        "rootId": root_id,
        "pending": 1,
        "embedded": 2,
        "indexed": 3,
        "failed": 4,
        "total": 10,
    }
    assert found["failedTracks"]["pageInfo"] == {"hasNextPage": True}
    assert found["failedTracks"]["nodes"][0] == {
        "relativePath": "caf\\xe9/0.mp3",
        "relativePathBase64": base64.b64encode(b"caf\xe9/0.mp3").decode(),
        "reason": "TOO_SHORT",
        "message": "0.2 s",
        "track": None,
    }
