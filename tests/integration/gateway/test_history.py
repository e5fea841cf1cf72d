"""What the caller heard, over HTTP: told, read, forgotten."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from museed.social.v1 import editing_pb2, listening_pb2
from services.chassis.errors import InvalidArgument
from tests.fakes.upstreams import new_id, timestamp
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHEN = "2026-01-02T03:04:05+00:00"
RECORD = """mutation($input: RecordPlaysInput!) { recordPlays(input: $input) { __typename
  ... on RecordPlaysSuccess { plays { playId outcome trackId track { title } } }
  ... on UserError { code message field value limit } } }"""
FORGET = """mutation($input: DeleteHistoryInput!) { deleteHistory(input: $input) { __typename
  ... on DeleteHistorySuccess { deletedPlayIds } ... on UserError { code field value } } }"""


async def test_plays_are_sent_as_they_were_and_come_back_with_their_outcomes(gateway: Gateway) -> None:
    track, other = gateway.social.add_tracks(2)
    playlist_id, ids = new_id(), [new_id(), new_id()]
    gateway.social.answers["RecordPlays"] = listening_pb2.RecordPlaysResponse(
        outcomes=[listening_pb2.PLAY_OUTCOME_COUNTED, listening_pb2.PLAY_OUTCOME_TOO_SOON]
    )
    global_id = base64.b64encode(f"Track:{other.track_id}".encode()).decode()
    plays = [
        {
            "playId": ids[0],
            "trackId": track.track_id,
            "playlistId": playlist_id,
            "playedAt": "2026-01-02T12:04:05.5+09:00",
            "heardSeconds": 31.25,
        },
        {"playId": ids[1], "trackId": global_id, "playedAt": "2026-01-02T03:04:05", "heardSeconds": 0},
    ]
    found = (await gateway.data(RECORD, {"input": {"plays": plays}}, gateway.bearer()))["recordPlays"]
    assert found == {
        "__typename": "RecordPlaysSuccess",
        "plays": [
            {"playId": ids[0], "outcome": "COUNTED", "trackId": track.track_id, "track": {"title": "Track 000"}},
            {"playId": ids[1], "outcome": "TOO_SOON", "trackId": other.track_id, "track": {"title": "Track 001"}},
        ],
    }
    assert gateway.social.requests["RecordPlays"] == listening_pb2.RecordPlaysRequest(
        plays=[
            listening_pb2.Play(
                play_id=ids[0],
                track_id=track.track_id,
                playlist_id=playlist_id,
                played_at=timestamp(datetime(2026, 1, 2, 3, 4, 5, 500_000, UTC)),
                heard_seconds=31.25,
            ),
            listening_pb2.Play(play_id=ids[1], track_id=other.track_id, played_at=timestamp(), heard_seconds=0),
        ]
    )
    assert gateway.behind.spent() == {"RecordPlays": 1, "BatchGetTracks": 1}


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"playId": "x"}, "ID_INVALID", "plays[0].playId"),
        ({"trackId": "x"}, "ID_INVALID", "plays[0].trackId"),
        ({"playlistId": "VHJhY2s6MDE5MGEwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAw"},
         "ID_OF_ANOTHER_TYPE", "plays[0].playlistId"),
        ({"playedAt": "0001-01-01T00:00:00+14:00"}, "OUT_OF_RANGE", "plays[0].playedAt"),
        ({"playedAt": "9999-12-31T23:59:59-14:00"}, "OUT_OF_RANGE", "plays[0].playedAt"),
    ],
)  # fmt: skip
async def test_a_bad_play_is_named_and_nothing_is_sent(
    gateway: Gateway, changes: dict[str, Any], code: str, field: str
) -> None:
    play = {"playId": new_id(), "trackId": new_id(), "playedAt": WHEN, "heardSeconds": 30} | changes
    found = (await gateway.data(RECORD, {"input": {"plays": [play]}}, gateway.bearer()))["recordPlays"]
    assert (found["__typename"], found["code"], found["field"]) == ("InvalidInputError", code, field)
    assert gateway.behind.spent() == {}


async def test_what_social_refuses_of_a_play_is_told_by_the_names_of_the_input(gateway: Gateway) -> None:
    gateway.social.faults["RecordPlays"] = InvalidArgument(
        "plays[0].heard_seconds is 90000, it must be 0 to 86400",
        reason="OUT_OF_RANGE",
        field="plays[0].heard_seconds",
        value=90000,
        limit="0 to 86400",
    )
    play = {"playId": new_id(), "trackId": new_id(), "playedAt": WHEN, "heardSeconds": 90000}
    found = (await gateway.data(RECORD, {"input": {"plays": [play]}}, gateway.bearer()))["recordPlays"]
    assert found == {
        "__typename": "InvalidInputError",
        "code": "OUT_OF_RANGE",
        "message": "plays[0].heardSeconds is 90000, it must be 0 to 86400",
        "field": "plays[0].heardSeconds",
        "value": "90000",
        "limit": "0 to 86400",
    }


HISTORY = """query($first: Int! = 50, $after: String) { history(first: $first, after: $after) {
  pageInfo { hasNextPage endCursor }
  nodes { playId trackId playlistId playedAt heardSeconds isCounted track { title } playlist { title } } } }"""


async def test_history_shows_tracks_and_playlists_in_three_calls(gateway: Gateway) -> None:
    (track,) = gateway.social.add_tracks(1)
    playlist = gateway.social.add_playlist([track])
    gateway.social.answers["BatchGetPlaylists"] = editing_pb2.BatchGetPlaylistsResponse(playlists=[playlist])
    ids = [new_id(), new_id()]
    gone = new_id()
    gateway.social.answers["ListHistory"] = listening_pb2.ListHistoryResponse(
        entries=[
            listening_pb2.HistoryEntry(
                play=listening_pb2.Play(
                    play_id=ids[0],
                    track_id=track.track_id,
                    playlist_id=playlist.playlist_id,
                    played_at=timestamp(),
                    heard_seconds=100.5,
                ),
                is_counted=True,
            ),
            listening_pb2.HistoryEntry(
                play=listening_pb2.Play(play_id=ids[1], track_id=gone, played_at=timestamp(), heard_seconds=1)
            ),
        ],
        next_page_token="more",
    )
    found = (await gateway.data(HISTORY, {"first": 2}, gateway.bearer()))["history"]
    assert found["nodes"] == [
        {
            "playId": ids[0],
            "trackId": track.track_id,
            "playlistId": playlist.playlist_id,
            "playedAt": WHEN,
            "heardSeconds": 100.5,
            "isCounted": True,
            "track": {"title": "Track 000"},
            "playlist": {"title": "Like Track 000"},
        },
        {
            "playId": ids[1],
            "trackId": gone,
            "playlistId": None,
            "playedAt": WHEN,
            "heardSeconds": 1.0,
            "isCounted": False,
            "track": None,
            "playlist": None,
        },
    ]
    assert gateway.social.requests["ListHistory"] == listening_pb2.ListHistoryRequest(page_size=2)
    assert gateway.behind.spent() == {"ListHistory": 1, "BatchGetTracks": 1, "BatchGetPlaylists": 1}
    await gateway.data(HISTORY, {"after": found["pageInfo"]["endCursor"]}, gateway.bearer())
    assert gateway.social.requests["ListHistory"] == listening_pb2.ListHistoryRequest(page_size=50, page_token="more")
    assert (await gateway.run(HISTORY))["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_history_is_forgotten_in_parts_or_whole(gateway: Gateway) -> None:
    ids = [new_id(), new_id()]
    found = (await gateway.data(FORGET, {"input": {"playIds": ids}}, gateway.bearer()))["deleteHistory"]
    assert found == {"__typename": "DeleteHistorySuccess", "deletedPlayIds": ids}
    assert gateway.social.requests["DeleteHistory"] == listening_pb2.DeleteHistoryRequest(play_ids=ids)
    found = (await gateway.data(FORGET, {"input": {"all": True}}, gateway.bearer()))["deleteHistory"]
    assert found == {"__typename": "DeleteHistorySuccess", "deletedPlayIds": []}
    assert gateway.social.requests["DeleteHistory"] == listening_pb2.DeleteHistoryRequest(all=True)
    gateway.social.calls.clear()
    found = (await gateway.data(FORGET, {"input": {"playIds": ["no"]}}, gateway.bearer()))["deleteHistory"]
    assert found == {"__typename": "InvalidInputError", "code": "ID_INVALID", "field": "playIds[0]", "value": "no"}
    assert gateway.behind.spent() == {}
