"""What people do with playlists, through the gateway as it is run, before a real social."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.social.conftest import Client, Library, Mesh, Person, Sql
from tests.integration.social.gateway_process import Door, gateway_before

ENTRIES = "entries { nodes { entryId trackId } }"
WHOLE = f"playlist {{ playlistId version shareSlug shareUrl visibility isLiked likeCount {ENTRIES} }}"


@pytest.fixture
async def door(mesh: Mesh, library: Library, tmp_path: Path) -> AsyncIterator[Door]:
    async with gateway_before(mesh, tmp_path) as running:
        yield running


def track_ids(playlist: dict[str, Any]) -> list[str]:
    return [entry["trackId"] for entry in playlist["entries"]["nodes"]]


def entry_ids(playlist: dict[str, Any]) -> list[str]:
    return [entry["entryId"] for entry in playlist["entries"]["nodes"]]


async def refused(door: Door, name: str, input: dict[str, Any], who: Person | None) -> tuple[str, str]:
    """Run a mutation that must be refused; return the type of the refusal and its code."""
    kind = name[0].upper() + name[1:]
    document = f"""mutation($input: {kind}Input!) {{ result: {name}(input: $input) {{
      __typename ... on UserError {{ code }} }} }}"""
    found = await door.run(document, who.access_token if who else "", input)
    return found["__typename"], found["code"]


async def test_playlist_is_made_edited_and_put_in_order(door: Door, library: Library, social: Client) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    a, b, c, d = library.track_ids[:4]

    async def do(name: str, wanted: str = WHOLE, **input: Any) -> dict[str, Any]:
        return await door.do(name, input, ann.access_token, wanted)

    made = (await do("createPlaylist", title="Rain", trackIds=[a, b], idempotencyKey="k"))["playlist"]
    again = (await do("createPlaylist", title="Rain", trackIds=[a, b], idempotencyKey="k"))["playlist"]
    assert (track_ids(made), made["visibility"], again["playlistId"]) == ([a, b], "PRIVATE", made["playlistId"])
    own = {"playlistId": made["playlistId"]}
    grown = (await do("addPlaylistEntries", **own, trackIds=[c, a], position=1))["playlist"]
    assert track_ids(grown) == [a, c, a, b]
    assert await refused(door, "addPlaylistEntries", {**own, "trackIds": [a, made["playlistId"]]}, ann) == (
        "NotFoundError",
        "TRACK_NOT_FOUND",
    )
    first, second, third, fourth = entry_ids(grown)
    moved = (await do("movePlaylistEntry", **own, entryId=fourth, position=0))["playlist"]
    assert entry_ids(moved) == [fourth, first, second, third]
    stale = {**own, "version": made["version"], "entryIds": [first, second, third, fourth]}
    assert await refused(door, "reorderPlaylist", stale, ann) == ("ConflictError", "VERSION_CONFLICT")
    order = {**stale, "version": moved["version"]}
    assert entry_ids((await do("reorderPlaylist", **order))["playlist"]) == [first, second, third, fourth]
    version = moved["version"] + 1
    by_tracks = (await do("reorderPlaylist", **own, version=version, trackIds=[a, a, b, c]))["playlist"]
    assert (track_ids(by_tracks), entry_ids(by_tracks)) == ([a, a, b, c], [first, third, fourth, second])
    left = (await do("removePlaylistEntries", **own, entryIds=[first, second]))["playlist"]
    assert entry_ids(left) == [third, fourth]
    for name, more in (
        ("addPlaylistEntries", {"trackIds": [d]}),
        ("removePlaylistEntries", {"entryIds": [third]}),
        ("movePlaylistEntry", {"entryId": third, "position": 1}),
        ("copyPlaylist", {}),
        ("likePlaylist", {}),
        ("addComment", {"text": "Hm"}),
        ("createStreamToken", {}),
        ("rotateShareSlug", {}),
        ("deletePlaylist", {}),
    ):
        assert await refused(door, name, {**own, **more}, bob) == ("NotFoundError", "PLAYLIST_NOT_FOUND"), name
    await do("deletePlaylist", "deletedPlaylistId", **own)
    assert await refused(door, "deletePlaylist", own, ann) == ("NotFoundError", "PLAYLIST_NOT_FOUND")


async def test_playlist_is_shared_liked_copied_and_talked_about(door: Door, library: Library, social: Client) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    input_ = {"title": "Rain", "trackIds": library.track_ids[:2], "visibility": "UNLISTED"}
    made = (await door.do("createPlaylist", input_, ann.access_token, WHOLE))["playlist"]
    own = {"playlistId": made["playlistId"]}
    assert made["shareUrl"] == f"/p/{made['shareSlug']}"
    page = await door.http.get(made["shareUrl"])
    assert (page.status_code, page.headers["x-robots-tag"]) == (200, "noindex")
    assert "Track 0" in page.text
    liked = (await door.do("likePlaylist", own, bob.access_token, WHOLE))["playlist"]
    assert (liked["isLiked"], liked["likeCount"]) == (True, 1)
    said = {**own, "text": "좋다"}
    comment = (await door.do("addComment", said, bob.access_token, "comment { commentId }"))["comment"]["commentId"]
    document = f"""{{ result: playlistByShareSlug(shareSlug: "{made["shareSlug"]}") {{ isLiked likeCount
      likers {{ nodes {{ username }} }} comments {{ nodes {{ text author {{ username }} }} }} }} }}"""
    found = await door.run(document, ann.access_token)
    assert found == {
        "isLiked": False,
        "likeCount": 1,
        "likers": {"nodes": [{"username": "bob"}]},
        "comments": {"nodes": [{"text": "좋다", "author": {"username": "bob"}}]},
    }
    mine = "{ result: likedPlaylists { nodes { title } } }"
    assert await door.run(mine, bob.access_token) == {"nodes": [{"title": "Rain"}]}
    of_ann = f'{{ result: playlistsOfUser(userId: "{ann.user_id}") {{ nodes {{ title }} }} }}'
    assert await door.run(of_ann) == {"nodes": []}
    copied = "playlist { visibility copiedFrom { title } entries { nodes { track { title } } } }"
    copy = (await door.do("copyPlaylist", own, bob.access_token, copied))["playlist"]
    assert (copy["visibility"], copy["copiedFrom"]) == ("PRIVATE", {"title": "Rain"})
    assert [entry["track"]["title"] for entry in copy["entries"]["nodes"]] == ["Track 0", "Track 1"]
    edit = {"commentId": comment, "text": "아주 좋다"}
    edited = await door.do("editComment", edit, bob.access_token, "comment { text }")
    assert edited["comment"] == {"text": "아주 좋다"}
    assert await refused(door, "editComment", edit, ann) == ("NotFoundError", "COMMENT_NOT_FOUND")
    await door.do("deleteComment", {"commentId": comment}, ann.access_token, "deletedCommentId")
    await door.do("unlikePlaylist", own, bob.access_token, "playlist { likeCount }")
    rotated = (await door.do("rotateShareSlug", own, ann.access_token, WHOLE))["playlist"]
    assert (await door.http.get(made["shareUrl"])).status_code == 404
    assert (await door.http.get(rotated["shareUrl"])).status_code == 200
    change = {**own, "version": rotated["version"], "visibility": "PRIVATE"}
    await door.do("updatePlaylist", change, ann.access_token, "playlist { version }")
    assert (await door.http.get(rotated["shareUrl"])).status_code == 404


async def test_private_playlist_goes_out_plays_by_its_token_and_comes_back(
    door: Door, library: Library, social: Client, sql: Sql, tmp_path: Path
) -> None:
    audio = bytes(range(250)) * 4
    for number in range(2):
        (tmp_path / f"Track {number}.ogg").write_bytes(audio)
    await sql.execute("UPDATE roots SET location = $1", str(tmp_path))
    ann = await social.sign_up("ann")
    input_ = {"title": "비 오는 날", "trackIds": library.track_ids[:2]}
    wanted = "playlist { playlistId exportUrl(format: JSPF) }"
    made = (await door.do("createPlaylist", input_, ann.access_token, wanted))["playlist"]
    bearer = {"Authorization": f"Bearer {ann.access_token}"}
    bare, _, _ = made["exportUrl"].partition("?")
    assert (await door.http.get(bare)).status_code == 404
    assert (await door.http.get(bare, headers=bearer)).status_code == 200
    file = await door.http.get(made["exportUrl"])  # the token is sealed in it
    assert [track["title"] for track in file.json()["playlist"]["track"]] == ["Track 0", "Track 1"]
    back = await door.http.post("/playlists/import?format=jspf", content=file.content, headers=bearer)
    assert (back.status_code, back.json()["title"], back.json()["entryCount"]) == (201, "비 오는 날", 2)
    text = {"format": "JSPF", "content": file.text, "title": "Again"}
    imported = await door.do("importPlaylist", text, ann.access_token, "rowCount unmatched { row } playlist { title }")
    assert (imported["rowCount"], imported["unmatched"], imported["playlist"]) == (2, [], {"title": "Again"})
    own = {"playlistId": made["playlistId"]}
    wanted = "token { tokenId } secret exportUrl(format: M3U8)"
    token = await door.do("createStreamToken", own, ann.access_token, wanted)
    played = await door.http.get(token["exportUrl"])
    addresses = [line for line in played.text.splitlines() if not line.startswith("#")]
    # Social knows the mesh by another address than this test does.
    paths = [address.removeprefix("http://127.0.0.1:8080") for address in addresses]
    assert paths == [f"/stream/{token['secret']}/{track_id}" for track_id in library.track_ids[:2]]
    for path in paths:
        part = await door.http.get(path, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, audio[10:20])
    other = await door.http.get(f"/stream/{token['secret']}/{library.track_ids[2]}")
    assert (other.status_code, other.json()["error"]["reason"]) == (403, "STREAM_TOKEN_REFUSED")
    listed = f'{{ result: streamTokens(playlistId: "{made["playlistId"]}") {{ nodes {{ tokenId }} }} }}'
    assert await door.run(listed, ann.access_token) == {"nodes": [{"tokenId": token["token"]["tokenId"]}]}
    revoke = {"tokenId": token["token"]["tokenId"]}
    await door.do("revokeStreamToken", revoke, ann.access_token, "revokedTokenId")
    assert await door.run(listed, ann.access_token) == {"nodes": []}
    for address in (token["exportUrl"], *paths):
        gone = await door.http.get(address)
        assert (gone.status_code, gone.json()["error"]["reason"]) == (403, "STREAM_TOKEN_REFUSED")
