"""Mutations of playlists over HTTP: what they send upstream, and what they return."""

import base64
from typing import Any

import pytest
from google.protobuf.message import Message

from museed.social.v1 import editing_pb2, engagement_pb2, exchange_pb2, playlists_pb2
from services.chassis.errors import Aborted, NotFound
from tests.fakes.upstreams import new_id, timestamp
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

ERROR = "... on UserError { code message field value limit retryAfterMs }"
PLAYLIST_ID = "0190a000-0000-7000-8000-000000000001"
TRACK_ID = "0190a000-0000-7000-8000-000000000002"
OTHER_ID = "0190a000-0000-7000-8000-000000000003"
ENTRY_ID = "0190a000-0000-7000-8000-000000000004"
COMMENT_ID = "0190a000-0000-7000-8000-000000000005"
TOKEN_ID = "0190a000-0000-7000-8000-000000000006"
PLAYLIST = playlists_pb2.Playlist(
    playlist_id=PLAYLIST_ID, title="Rain", visibility=playlists_pb2.VISIBILITY_PRIVATE, version=2
)
ENTRY = playlists_pb2.PlaylistEntry(entry_id=ENTRY_ID, track_id=TRACK_ID, position=3)
COMMENT = engagement_pb2.Comment(comment_id=COMMENT_ID, playlist_id=PLAYLIST_ID, text="Hm", created_at=timestamp())


def global_id(kind: str, uuid: str) -> str:
    return base64.b64encode(f"{kind}:{uuid}".encode()).decode()


def document(name: str, fields: str) -> str:
    kind = name[0].upper() + name[1:]
    return f"""mutation($input: {kind}Input!) {{ {name}(input: $input) {{ __typename
      ... on {kind}Success {{ {fields} }} {ERROR} }} }}"""


# Name, fields asked for, input, RPC, its answer, the request that social gets, what comes back.
Row = tuple[str, str, dict[str, Any], str, Message, Message, dict[str, Any]]
ROWS: list[Row] = [
    (
        "createPlaylist",
        "playlist { title entries { nodes { position } } }",
        {
            "title": "Rain",
            "description": "On the roof",
            "visibility": "PUBLIC",
            "trackIds": [TRACK_ID, global_id("Track", OTHER_ID)],
            "idempotencyKey": "k",
        },
        "CreatePlaylist",
        editing_pb2.CreatePlaylistResponse(playlist=PLAYLIST, entries=[ENTRY]),
        editing_pb2.CreatePlaylistRequest(
            idempotency_key="k",
            title="Rain",
            description="On the roof",
            visibility=playlists_pb2.VISIBILITY_PUBLIC,
            track_ids=[TRACK_ID, OTHER_ID],
        ),
        {"playlist": {"title": "Rain", "entries": {"nodes": [{"position": 3}]}}},
    ),
    (
        "addPlaylistEntries",
        "playlist { version } entries { entryId position }",
        {"playlistId": PLAYLIST_ID, "trackIds": [TRACK_ID], "position": 0, "idempotencyKey": "k"},
        "AddEntries",
        editing_pb2.AddEntriesResponse(playlist=PLAYLIST, entries=[ENTRY]),
        editing_pb2.AddEntriesRequest(idempotency_key="k", playlist_id=PLAYLIST_ID, track_ids=[TRACK_ID], position=0),
        {"playlist": {"version": 2}, "entries": [{"entryId": ENTRY_ID, "position": 3}]},
    ),
    (
        "addPlaylistEntries",
        "playlist { version }",
        {"playlistId": PLAYLIST_ID, "trackIds": [TRACK_ID], "idempotencyKey": "k"},
        "AddEntries",
        editing_pb2.AddEntriesResponse(playlist=PLAYLIST),
        editing_pb2.AddEntriesRequest(idempotency_key="k", playlist_id=PLAYLIST_ID, track_ids=[TRACK_ID]),
        {"playlist": {"version": 2}},
    ),
    (
        "removePlaylistEntries",
        "playlist { version }",
        {"playlistId": global_id("Playlist", PLAYLIST_ID), "entryIds": [ENTRY_ID]},
        "RemoveEntries",
        editing_pb2.RemoveEntriesResponse(playlist=PLAYLIST),
        editing_pb2.RemoveEntriesRequest(playlist_id=PLAYLIST_ID, entry_ids=[ENTRY_ID]),
        {"playlist": {"version": 2}},
    ),
    (
        "movePlaylistEntry",
        "playlist { version } entry { position }",
        {"playlistId": PLAYLIST_ID, "entryId": ENTRY_ID, "position": 3},
        "MoveEntry",
        editing_pb2.MoveEntryResponse(playlist=PLAYLIST, entry=ENTRY),
        editing_pb2.MoveEntryRequest(playlist_id=PLAYLIST_ID, entry_id=ENTRY_ID, position=3),
        {"playlist": {"version": 2}, "entry": {"position": 3}},
    ),
    (
        "reorderPlaylist",
        "playlist { version }",
        {"playlistId": PLAYLIST_ID, "version": 1, "entryIds": [ENTRY_ID]},
        "ReorderEntries",
        editing_pb2.ReorderEntriesResponse(playlist=PLAYLIST),
        editing_pb2.ReorderEntriesRequest(playlist_id=PLAYLIST_ID, version=1, entry_ids=[ENTRY_ID]),
        {"playlist": {"version": 2}},
    ),
    (
        "reorderPlaylist",
        "playlist { version }",
        {"playlistId": PLAYLIST_ID, "version": 1, "trackIds": [global_id("Track", TRACK_ID)]},
        "ReorderByTracks",
        editing_pb2.ReorderByTracksResponse(playlist=PLAYLIST),
        editing_pb2.ReorderByTracksRequest(playlist_id=PLAYLIST_ID, version=1, track_ids=[TRACK_ID]),
        {"playlist": {"version": 2}},
    ),
    (
        "copyPlaylist",
        "playlist { title }",
        {"playlistId": PLAYLIST_ID, "title": "Mine", "idempotencyKey": "k"},
        "CopyPlaylist",
        editing_pb2.CopyPlaylistResponse(playlist=PLAYLIST),
        editing_pb2.CopyPlaylistRequest(idempotency_key="k", playlist_id=PLAYLIST_ID, title="Mine"),
        {"playlist": {"title": "Rain"}},
    ),
    (
        "rotateShareSlug",
        "playlist { title }",
        {"playlistId": PLAYLIST_ID, "idempotencyKey": "of mine"},
        "RotateShareSlug",
        editing_pb2.RotateShareSlugResponse(playlist=PLAYLIST),
        editing_pb2.RotateShareSlugRequest(playlist_id=PLAYLIST_ID, idempotency_key="of mine"),
        {"playlist": {"title": "Rain"}},
    ),
    (
        "likePlaylist",
        "playlist { title }",
        {"playlistId": PLAYLIST_ID},
        "LikePlaylist",
        engagement_pb2.LikePlaylistResponse(playlist=PLAYLIST),
        engagement_pb2.LikePlaylistRequest(playlist_id=PLAYLIST_ID),
        {"playlist": {"title": "Rain"}},
    ),
    (
        "unlikePlaylist",
        "playlist { title }",
        {"playlistId": PLAYLIST_ID},
        "UnlikePlaylist",
        engagement_pb2.UnlikePlaylistResponse(playlist=PLAYLIST),
        engagement_pb2.UnlikePlaylistRequest(playlist_id=PLAYLIST_ID),
        {"playlist": {"title": "Rain"}},
    ),
    (
        "addComment",
        "comment { text }",
        {"playlistId": PLAYLIST_ID, "text": "Hm", "idempotencyKey": "k"},
        "AddComment",
        engagement_pb2.AddCommentResponse(comment=COMMENT),
        engagement_pb2.AddCommentRequest(idempotency_key="k", playlist_id=PLAYLIST_ID, text="Hm"),
        {"comment": {"text": "Hm"}},
    ),
    (
        "editComment",
        "comment { text }",
        {"commentId": global_id("Comment", COMMENT_ID), "text": "Hm"},
        "EditComment",
        engagement_pb2.EditCommentResponse(comment=COMMENT),
        engagement_pb2.EditCommentRequest(comment_id=COMMENT_ID, text="Hm"),
        {"comment": {"text": "Hm"}},
    ),
    (
        "deleteComment",
        "deletedCommentId playlistId",
        {"commentId": COMMENT_ID},
        "DeleteComment",
        engagement_pb2.DeleteCommentResponse(playlist_id=PLAYLIST_ID),
        engagement_pb2.DeleteCommentRequest(comment_id=COMMENT_ID),
        {"deletedCommentId": COMMENT_ID, "playlistId": PLAYLIST_ID},
    ),
    (
        "importPlaylist",
        "playlist { title } rowCount unmatched { row title artist durationSeconds reason }",
        {"format": "XSPF", "content": "<비/>", "title": "T", "visibility": "UNLISTED", "idempotencyKey": "k"},
        "ImportPlaylist",
        exchange_pb2.ImportPlaylistResponse(
            playlist=PLAYLIST,
            row_count=3,
            unmatched=[
                exchange_pb2.UnmatchedRow(row=2, title="A", artist="B", duration_seconds=1.5, reason="AMBIGUOUS"),
                exchange_pb2.UnmatchedRow(row=3, title="C", reason="NO_TRACK_FOUND"),
            ],
        ),
        exchange_pb2.ImportPlaylistRequest(
            idempotency_key="k",
            format=exchange_pb2.PLAYLIST_FORMAT_XSPF,
            content="<비/>".encode(),
            title="T",
            visibility=playlists_pb2.VISIBILITY_UNLISTED,
        ),
        {
            "playlist": {"title": "Rain"},
            "rowCount": 3,
            "unmatched": [
                {"row": 2, "title": "A", "artist": "B", "durationSeconds": 1.5, "reason": "AMBIGUOUS"},
                {"row": 3, "title": "C", "artist": None, "durationSeconds": None, "reason": "NO_TRACK_FOUND"},
            ],
        },
    ),
    (
        "createStreamToken",
        "token { tokenId } secret exportUrl(format: M3U8)",
        {"playlistId": PLAYLIST_ID, "expiresAt": "2026-01-02T12:04:05+09:00", "idempotencyKey": "k"},
        "CreateStreamToken",
        exchange_pb2.CreateStreamTokenResponse(
            token=exchange_pb2.StreamToken(token_id=TOKEN_ID, playlist_id=PLAYLIST_ID), secret="a secret"
        ),
        exchange_pb2.CreateStreamTokenRequest(idempotency_key="k", playlist_id=PLAYLIST_ID, expires_at=timestamp()),
        {
            "token": {"tokenId": TOKEN_ID},
            "secret": "a secret",
            "exportUrl": f"/playlists/{PLAYLIST_ID}/export.m3u8?token=a+secret",
        },
    ),
    (
        "createStreamToken",
        "secret exportUrl(format: M3U8)",
        {"playlistId": PLAYLIST_ID, "idempotencyKey": "k"},
        "CreateStreamToken",
        exchange_pb2.CreateStreamTokenResponse(token=exchange_pb2.StreamToken(token_id=TOKEN_ID)),
        exchange_pb2.CreateStreamTokenRequest(idempotency_key="k", playlist_id=PLAYLIST_ID),
        {"secret": None, "exportUrl": None},
    ),
    (
        "revokeStreamToken",
        "revokedTokenId",
        {"tokenId": TOKEN_ID},
        "RevokeStreamToken",
        exchange_pb2.RevokeStreamTokenResponse(),
        exchange_pb2.RevokeStreamTokenRequest(token_id=TOKEN_ID),
        {"revokedTokenId": TOKEN_ID},
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[f"{number}-{row[0]}" for number, row in enumerate(ROWS)])
async def test_mutation_sends_its_input_and_returns_what_changed(gateway: Gateway, row: Row) -> None:
    name, fields, input_, rpc, answer, request, wanted = row
    gateway.social.answers[rpc] = answer
    found = await gateway.data(document(name, fields), {"input": input_}, gateway.bearer())
    kind = name[0].upper() + name[1:]
    assert found[name] == {"__typename": f"{kind}Success", **wanted}
    assert gateway.behind.spent() == {rpc: 1}
    assert gateway.social.requests[rpc] == request


@pytest.mark.parametrize("row", ROWS, ids=[f"{number}-{row[0]}" for number, row in enumerate(ROWS)])
async def test_guest_is_refused_by_a_member_of_the_union(gateway: Gateway, row: Row) -> None:
    name, fields, input_, *_ = row
    found = await gateway.data(document(name, fields), {"input": input_})
    assert (found[name]["__typename"], found[name]["code"]) == ("UnauthenticatedError", "LOGIN_REQUIRED")


@pytest.mark.parametrize(
    ("name", "rpc", "input_"),
    [
        ("createPlaylist", "CreatePlaylist", {"title": "Rain"}),
        ("addPlaylistEntries", "AddEntries", {"playlistId": PLAYLIST_ID, "trackIds": [TRACK_ID]}),
        ("copyPlaylist", "CopyPlaylist", {"playlistId": PLAYLIST_ID}),
        ("addComment", "AddComment", {"playlistId": PLAYLIST_ID, "text": "Hm"}),
        ("importPlaylist", "ImportPlaylist", {"format": "M3U8", "content": ""}),
        ("createStreamToken", "CreateStreamToken", {"playlistId": PLAYLIST_ID}),
    ],
)
async def test_without_a_key_each_request_is_one_of_its_own(
    gateway: Gateway, name: str, rpc: str, input_: dict[str, Any]
) -> None:
    keys = set()
    for _ in range(2):
        await gateway.data(document(name, "__typename"), {"input": input_}, gateway.bearer())
        keys.add(gateway.social.requests[rpc].idempotency_key)
    assert len(keys) == 2
    await gateway.data(document(name, "__typename"), {"input": input_ | {"idempotencyKey": ""}}, gateway.bearer())
    assert gateway.social.requests[rpc].idempotency_key == ""


def _ids(**more: Any) -> dict[str, Any]:
    return {"playlistId": PLAYLIST_ID, **more}


@pytest.mark.parametrize(
    ("name", "input_", "code", "field"),
    [
        ("createPlaylist", {"title": "T", "trackIds": [TRACK_ID, "x"]}, "ID_INVALID", "trackIds[1]"),
        (
            "createPlaylist",
            {"title": "T", "trackIds": [global_id("Job", TRACK_ID)]},
            "ID_OF_ANOTHER_TYPE",
            "trackIds[0]",
        ),
        ("addPlaylistEntries", _ids(playlistId="x", trackIds=[]), "ID_INVALID", "playlistId"),
        ("reorderPlaylist", _ids(version=1), "ORDER_AMBIGUOUS", "entryIds"),
        ("reorderPlaylist", _ids(version=1, entryIds=[], trackIds=[]), "ORDER_AMBIGUOUS", "entryIds"),
        ("reorderPlaylist", _ids(version=1, trackIds=["x"]), "ID_INVALID", "trackIds[0]"),
        (
            "editComment",
            {"commentId": global_id("Playlist", COMMENT_ID), "text": "Hm"},
            "ID_OF_ANOTHER_TYPE",
            "commentId",
        ),
        ("deleteComment", {"commentId": "x"}, "ID_INVALID", "commentId"),
        ("revokeStreamToken", {"tokenId": "x"}, "ID_INVALID", "tokenId"),
        ("createStreamToken", _ids(expiresAt="0001-01-01T00:00:00+14:00"), "OUT_OF_RANGE", "expiresAt"),
    ],
)
async def test_what_cannot_be_meant_is_refused_before_social(
    gateway: Gateway, name: str, input_: dict[str, Any], code: str, field: str
) -> None:
    found = await gateway.data(document(name, "__typename"), {"input": input_}, gateway.bearer())
    assert (found[name]["__typename"], found[name]["code"], found[name]["field"]) == ("InvalidInputError", code, field)
    assert gateway.behind.spent() == {}


async def test_refusals_of_social_name_the_input_as_clients_call_it(gateway: Gateway) -> None:
    gateway.social.faults["ReorderEntries"] = Aborted(
        "the version is 1, it is 2 now", reason="VERSION_CONFLICT", field="version", value=1, limit=2
    )
    input_ = {"playlistId": PLAYLIST_ID, "version": 1, "entryIds": [ENTRY_ID]}
    found = await gateway.data(document("reorderPlaylist", "__typename"), {"input": input_}, gateway.bearer())
    assert found["reorderPlaylist"] == {
        "__typename": "ConflictError",
        "code": "VERSION_CONFLICT",
        "message": "the version is 1, it is 2 now",
        "field": "version",
        "value": "1",
        "limit": "2",
        "retryAfterMs": None,
    }
    unknown = new_id()
    gateway.social.faults["AddEntries"] = NotFound(
        "there is no such track", reason="TRACK_NOT_FOUND", field="track_ids[0]", value=unknown
    )
    input_ = {"playlistId": PLAYLIST_ID, "trackIds": [unknown]}
    found = await gateway.data(document("addPlaylistEntries", "__typename"), {"input": input_}, gateway.bearer())
    assert found["addPlaylistEntries"]["__typename"] == "NotFoundError"
    assert (found["addPlaylistEntries"]["field"], found["addPlaylistEntries"]["value"]) == ("trackIds[0]", unknown)


async def test_playlist_that_came_out_of_an_edit_shows_its_entries(gateway: Gateway) -> None:
    tracks = gateway.social.add_tracks(2)
    playlist = gateway.social.add_playlist(tracks)
    gateway.social.answers["LikePlaylist"] = engagement_pb2.LikePlaylistResponse(playlist=playlist)
    fields = "playlist { entries { nodes { track { title } } } }"
    found = await gateway.data(
        document("likePlaylist", fields), {"input": {"playlistId": playlist.playlist_id}}, gateway.bearer()
    )
    nodes = found["likePlaylist"]["playlist"]["entries"]["nodes"]
    assert [node["track"]["title"] for node in nodes] == ["Track 000", "Track 001"]
    assert gateway.behind.spent() == {"LikePlaylist": 1, "BatchListEntries": 1, "BatchGetTracks": 1}


async def test_comments_bring_the_playlist_with_its_newest_count(gateway: Gateway) -> None:
    playlist_id = gateway.social.add_playlist([]).playlist_id
    gateway.social.playlists[playlist_id].playlist.comment_count = 7
    comment = engagement_pb2.Comment(comment_id=COMMENT_ID, text="Hm", playlist_id=playlist_id, created_at=timestamp())
    gateway.social.answers["AddComment"] = engagement_pb2.AddCommentResponse(comment=comment)
    gateway.social.answers["DeleteComment"] = engagement_pb2.DeleteCommentResponse(playlist_id=playlist_id)
    document = """mutation($p: ID!, $c: ID!) {
      addComment(input: {playlistId: $p, text: "Hm"}) { ... on AddCommentSuccess { playlist { commentCount } } }
      deleteComment(input: {commentId: $c}) { ... on DeleteCommentSuccess { playlist { commentCount } } } }"""
    ids = {"p": playlist_id, "c": COMMENT_ID}
    found = await gateway.data(document, ids, gateway.bearer())
    assert found == {
        "addComment": {"playlist": {"commentCount": 7}},
        "deleteComment": {"playlist": {"commentCount": 7}},
    }
    # By the call that knows the newest, not by that for lists.
    assert gateway.behind.spent() == {"AddComment": 1, "DeleteComment": 1, "GetPlaylist": 2}
    del gateway.social.playlists[playlist_id]  # private meanwhile
    assert await gateway.data(document, ids, gateway.bearer()) == {
        "addComment": {"playlist": None}, "deleteComment": {"playlist": None},
    }  # fmt: skip
