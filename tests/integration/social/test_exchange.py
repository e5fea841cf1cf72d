"""Playlists as files, and tokens with which others play them, over a real socket."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from museed.social.v1 import exchange_pb2
from services.chassis.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from services.social.domain.ids import new_id
from tests.integration.social.client import TIMEOUT_S, Client, registration
from tests.integration.social.conftest import Sql
from tests.integration.social.hands import PRIVATE, PUBLIC, Hands

M3U8 = exchange_pb2.PLAYLIST_FORMAT_M3U8
JSPF = exchange_pb2.PLAYLIST_FORMAT_JSPF
XSPF = exchange_pb2.PLAYLIST_FORMAT_XSPF
TOKEN = exchange_pb2.PLAYLIST_LINKS_TOKEN
MBID = "0b6b4ba0-d36f-47bd-b4ea-6a5b91842d29"


@pytest.fixture
async def admin(social: Client) -> Hands:
    return Hands(social, await social.sign_up("admin"))


@pytest.fixture
async def owner(social: Client, admin: Hands) -> Hands:
    return Hands(social, await social.sign_up("owner"))


async def register(admin: Hands, *files: dict[str, object]) -> list[str]:
    """Register tracks, each with the fields that matter."""
    assert admin.person is not None
    root_id = await admin.client.register_root(admin.person)
    given = [registration(f"file {number}", **file) for number, file in enumerate(files)]
    return [track.track_id for track in await admin.client.register(admin.person, root_id, given)]


async def export(
    who: Hands,
    playlist_id: str,
    format_: exchange_pb2.PlaylistFormat.ValueType,
    links: exchange_pb2.PlaylistLinks.ValueType = exchange_pb2.PLAYLIST_LINKS_UNSPECIFIED,
    secret: str = "",
) -> exchange_pb2.ExportPlaylistResponse:
    request = exchange_pb2.ExportPlaylistRequest(
        playlist_id=playlist_id, format=format_, links=links, stream_secret=secret
    )
    return await who.exchange.ExportPlaylist(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def import_(
    who: Hands,
    format_: exchange_pb2.PlaylistFormat.ValueType,
    content: bytes,
    title: str = "",
    key: str = "",
) -> exchange_pb2.ImportPlaylistResponse:
    request = exchange_pb2.ImportPlaylistRequest(
        idempotency_key=key or new_id(), format=format_, content=content, title=title
    )
    return await who.exchange.ImportPlaylist(request, timeout=TIMEOUT_S, metadata=who.metadata)


def jspf(*rows: dict[str, object], title: str = "") -> bytes:
    return json.dumps({"playlist": {"title": title, "track": rows}}).encode()


async def tracks_of(who: Hands, playlist_id: str) -> list[str]:
    return [entry.track_id for entry in (await who.get(playlist_id)).entries]


@pytest.mark.parametrize("format_", [M3U8, JSPF, XSPF])
async def test_exported_playlist_comes_back_the_same(
    admin: Hands, owner: Hands, sql: Sql, format_: exchange_pb2.PlaylistFormat.ValueType
) -> None:
    tracks = await register(
        admin,
        {"title": "좋은 날", "artist": "IU", "duration_seconds": 233.4},
        {"title": "A - B", "artist": "C - D", "duration_seconds": 100.0},
        {"title": "Same", "artist": "Twin", "duration_seconds": 100.0},
        {"title": "Same", "artist": "Twin", "duration_seconds": 200.0},
        {"title": "Café", "artist": "", "duration_seconds": 50.0},
    )
    await sql.execute("UPDATE tracks SET artist_key = 'iu' WHERE artist = 'IU'")
    order = [tracks[number] for number in (3, 0, 1, 2, 4, 0)]
    made = (await owner.create(order, "Mine: all", PRIVATE)).playlist
    answer = await export(owner, made.playlist_id, format_)
    assert (
        answer.content_type
        == {
            M3U8: "audio/x-mpegurl",
            JSPF: "application/json",
            XSPF: "application/xspf+xml",
        }[format_]
    )
    assert answer.file_name == f"Mine_ all.{exchange_pb2.PlaylistFormat.Name(format_)[16:].lower()}"
    back = await import_(owner, format_, answer.content)
    assert (list(back.unmatched), back.row_count, back.playlist.title) == ([], 6, "Mine: all")
    assert await tracks_of(owner, back.playlist.playlist_id) == order
    shown = await owner.get(back.playlist.playlist_id)
    assert {entry.added_by for entry in shown.entries} == {owner.user_id}
    assert shown.playlist.visibility == PRIVATE


async def test_recording_is_believed_before_isrc_and_that_before_a_name(admin: Hands, owner: Hands, sql: Sql) -> None:
    tracks = await register(
        admin,
        {"title": "By recording", "duration_seconds": 10.0},
        {"title": "By ISRC", "duration_seconds": 20.0},
        {"title": "By name", "artist": "Án Artist", "duration_seconds": 30.0},
    )
    await sql.execute("UPDATE tracks SET musicbrainz_recording_id = $2 WHERE track_id = $1", tracks[0], MBID)
    await sql.execute("UPDATE tracks SET isrc = 'USUM71703861' WHERE track_id = $1", tracks[1])
    named = {"title": "by NAME", "creator": "an artist", "duration": 32_900}
    isrc = "urn:isrc:US-UM7-17-03861"
    content = jspf(
        named | {"identifier": [isrc, f"https://musicbrainz.org/recording/{MBID}"]},
        named | {"identifier": isrc},
        named,
        named | {"duration": 33_100},
        named | {"duration": 0},
        named | {"creator": "Another"},
        named | {"identifier": f"https://musicbrainz.org/recording/{new_id()}"},
    )
    answer = await import_(owner, JSPF, content)
    assert await tracks_of(owner, answer.playlist.playlist_id) == [*tracks, tracks[2], tracks[2]]
    left = [(row.row, row.title, row.artist, row.duration_seconds, row.reason) for row in answer.unmatched]
    assert left == [
        (4, "by NAME", "an artist", 33.1, "NO_TRACK_FOUND"),
        (6, "by NAME", "Another", 32.9, "NO_TRACK_FOUND"),
    ]
    assert (answer.row_count, answer.playlist.title) == (7, "Imported playlist")


async def test_several_recordings_of_one_name_are_told_apart_or_left_out(admin: Hands, owner: Hands, sql: Sql) -> None:
    tracks = await register(
        admin,
        {"title": "Song", "album": "First"},
        {"title": "Song", "album": "Second"},
        {"title": "Other"},
    )
    row = {"title": "Song", "creator": "Somebody", "duration": 60_000}
    answer = await import_(owner, JSPF, jspf(row, row | {"album": "second"}, {"title": "Other", "duration": 61_000}))
    assert await tracks_of(owner, answer.playlist.playlist_id) == [tracks[1], tracks[2]]
    assert [(one.row, one.reason) for one in answer.unmatched] == [(1, "AMBIGUOUS")]
    await sql.execute("UPDATE tracks SET isrc = 'USUM71703861' WHERE title = 'Song'")
    again = await import_(owner, JSPF, jspf(row))
    assert await tracks_of(owner, again.playlist.playlist_id) == [min(tracks[:2])]


async def test_file_is_imported_once_by_its_key(admin: Hands, owner: Hands, sql: Sql) -> None:
    await register(admin, {"title": "Song"})
    content = jspf({"title": "Song", "creator": "Somebody"}, {"title": "None"}, title="File")
    first, second = await asyncio.gather(*(import_(owner, JSPF, content, key="a") for _ in range(2)))
    assert first.playlist == second.playlist
    assert [(one.row_count, [row.row for row in one.unmatched]) for one in (first, second)] == [(2, [2])] * 2
    with pytest.raises(InvalidArgument) as reused:
        await import_(owner, JSPF, content + b" ", key="a")
    assert reused.value.reason == "IDEMPOTENCY_KEY_REUSED"
    assert await sql.fetchval("SELECT count(*) FROM playlists") == 1


async def test_file_that_gives_no_playlist_leaves_nothing(admin: Hands, owner: Hands, sql: Sql) -> None:
    await register(admin, {"title": "Song"})
    with pytest.raises(FailedPrecondition) as unmatched:
        await import_(owner, JSPF, jspf({"title": "None"}), key="a")
    assert (unmatched.value.reason, unmatched.value.value) == ("NO_ROW_MATCHED", "1")
    with pytest.raises(InvalidArgument) as unreadable:
        await import_(owner, XSPF, b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><playlist>&e;</playlist>')
    assert unreadable.value.reason == "PLAYLIST_FILE_UNREADABLE"
    for wrong in (0, 9):
        with pytest.raises(InvalidArgument) as malformed:
            await import_(owner, wrong, b"")  # type: ignore[arg-type]
        assert malformed.value.field == "format"
    with pytest.raises(InvalidArgument) as large:
        await import_(owner, M3U8, b"#" * 5_000_001)
    assert (large.value.field, large.value.limit) == ("content", "5000000")
    for table in ("playlists", "idempotency_keys", "activities"):
        assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_export_is_of_what_the_caller_may_open(admin: Hands, owner: Hands, social: Client) -> None:
    tracks = await register(admin, {"title": "Song", "relative_path": b"A/\xff.mp3"})
    playlist_id = (await owner.create(tracks)).playlist.playlist_id
    other, guest = Hands(social, await social.sign_up()), Hands(social, None)
    for who in (other, guest):
        with pytest.raises(NotFound):
            await export(who, playlist_id, M3U8)
    await owner.show(playlist_id, PUBLIC)
    for who in (other, guest):
        assert b"\nA/%FF.mp3\n" in (await export(who, playlist_id, M3U8)).content
    with pytest.raises(InvalidArgument) as refusal:
        await export(guest, playlist_id, M3U8, 9)  # type: ignore[arg-type]
    assert refusal.value.field == "links"


async def test_file_that_could_not_be_read_again_is_not_written(admin: Hands, owner: Hands, sql: Sql) -> None:
    tracks = await register(admin, {"title": "Song"})
    made = (await owner.create(tracks * 500)).playlist
    await owner.add(made.playlist_id, tracks * 500)
    await sql.execute("UPDATE tracks SET relative_path = $1", "곡".encode() * 1_365)
    assert len((await export(owner, made.playlist_id, M3U8)).content) < 5_000_000
    for format_ in (JSPF, XSPF):
        with pytest.raises(InvalidArgument) as refusal:
            await export(owner, made.playlist_id, format_)
        assert (refusal.value.reason, refusal.value.field, refusal.value.limit) == ("OUT_OF_RANGE", "format", "5000000")


async def test_thousand_rows_find_their_tracks(admin: Hands, owner: Hands, sql: Sql) -> None:
    files: Sequence[dict[str, object]] = [{"title": f"Song {number}"} for number in range(500)]
    tracks = await register(admin, *files)
    rows: list[dict[str, object]] = [
        {"title": f"Song {number % 500}", "creator": "Somebody", "duration": 60_000} for number in range(1_000)
    ]
    answer = await import_(owner, JSPF, jspf(*rows))
    assert await tracks_of(owner, answer.playlist.playlist_id) == [*tracks, *tracks]
    assert answer.playlist.entry_count == 1_000
