"""Things that `node` does not know have a global id too: caches tell them apart by it, and inputs take it."""

import base64
from typing import Any

import pytest

from tests.fakes.answers import made_up_id
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAYLIST_ID = made_up_id("playlist_id")
# Field of the root, what its nodes call their UUID, what inputs call their type.
LISTS = [
    ("notifications", "notificationId", "Notification"),
    ("mySessions", "sessionId", "Session"),
    ("myApiTokens", "tokenId", "ApiToken"),
    (f'streamTokens(playlistId: "{PLAYLIST_ID}")', "tokenId", "StreamToken"),
    ("history", "playId", "Play"),
    ("feed", "activityId", "Activity"),
    ("reports", "reportId", "Report"),
    ("roots", "rootId", "Root"),
]
TAKEN = [
    ("markNotificationsRead", "upToId", "Notification", "MarkRead", "up_to_id"),
    ("movePlaylistEntry", "entryId", "PlaylistEntry", "MoveEntry", "entry_id"),
    ("revokeSession", "sessionId", "Session", "RevokeSession", "session_id"),
    ("revokeApiToken", "tokenId", "ApiToken", "RevokeApiToken", "token_id"),
    ("revokeStreamToken", "tokenId", "StreamToken", "RevokeStreamToken", "token_id"),
]


@pytest.mark.parametrize(("field", "uuid", "kind"), LISTS, ids=[kind for _, _, kind in LISTS])
async def test_each_of_a_list_has_one(gateway: Gateway, field: str, uuid: str, kind: str) -> None:
    document = f"{{ list: {field} {{ nodes {{ id {uuid} }} }} }}"
    nodes: list[dict[str, Any]] = (await gateway.data(document, headers=gateway.bearer(role="admin")))["list"]["nodes"]
    assert nodes
    assert [base64.b64decode(node["id"]).decode() for node in nodes] == [f"{kind}:{node[uuid]}" for node in nodes]


@pytest.mark.parametrize(("mutation", "field", "kind", "rpc", "sent"), TAKEN, ids=[mutation for mutation, *_ in TAKEN])
async def test_inputs_take_it(gateway: Gateway, mutation: str, field: str, kind: str, rpc: str, sent: str) -> None:
    given = base64.b64encode(f"{kind}:{PLAYLIST_ID}".encode()).decode()
    beside = f', playlistId: "{PLAYLIST_ID}", position: 0' if field == "entryId" else ""
    document = f'mutation {{ {mutation}(input: {{{field}: "{given}"{beside}}}) {{ __typename }} }}'
    found = await gateway.data(document, headers=gateway.bearer())
    assert found[mutation]["__typename"].endswith("Success")
    assert getattr(gateway.social.requests[rpc], sent) == PLAYLIST_ID


async def test_entries_are_named_by_it_wherever_they_are_named(gateway: Gateway) -> None:
    given = base64.b64encode(f"PlaylistEntry:{PLAYLIST_ID}".encode()).decode()
    of_track = base64.b64encode(f"Track:{PLAYLIST_ID}".encode()).decode()
    shown = gateway.social.add_playlist(gateway.social.add_tracks(2))
    document = f'{{ playlist(id: "{shown.playlist_id}") {{ entries {{ nodes {{ id entryId }} }} }} }}'
    nodes = (await gateway.data(document, headers=gateway.bearer()))["playlist"]["entries"]["nodes"]
    assert [base64.b64decode(node["id"]).decode() for node in nodes] == [
        f"PlaylistEntry:{node['entryId']}" for node in nodes
    ]
    assert len(nodes) == 2
    for mutation, rpc, beside in (
        ("removePlaylistEntries", "RemoveEntries", ""),
        ("reorderPlaylist", "ReorderEntries", ", version: 1"),
    ):
        for each, told in ((given, None), (of_track, "ID_OF_ANOTHER_TYPE"), ("x", "ID_INVALID")):
            said = f'playlistId: "{PLAYLIST_ID}", entryIds: ["{each}"]{beside}'
            document = f"mutation {{ {mutation}(input: {{{said}}}) {{ ... on UserError {{ code field }} }} }}"
            refused = (await gateway.data(document, headers=gateway.bearer()))[mutation]
            assert refused == ({} if told is None else {"code": told, "field": "entryIds[0]"})
        assert list(gateway.social.requests[rpc].entry_ids) == [PLAYLIST_ID]
