"""Names that an older release folded otherwise: found as they are typed today, under the ids that they had."""

import asyncio

from museed.social.v1 import catalog_pb2
from services.social.domain.folding import folded
from services.social.domain.ids import new_id
from services.social.domain.terms import asked
from services.social.store import search
from services.social.store.database import Database
from services.social.workers.refining import Refiner
from tests.integration.social.conftest import TIMEOUT_S, Client, Sql, registration
from tests.integration.social.old_release import sign_up
from tests.integration.social.test_library import until_refined

ARTIST = "INSERT INTO artists (artist_id, name, name_key, search_name) VALUES ($1, $2, $3, $3)"
ALBUM = """
INSERT INTO albums (album_id, title, title_key, search_title, artist_id, folder_key) VALUES ($1, $2, $3, $3, $4, $5)
"""
TRACK = """
INSERT INTO tracks (track_id, root_id, relative_path, file_hash, audio_hash, size_bytes, content_type, title, artist,
    album, raw_genre, genre, is_genre_known, year, header_seconds, search_title, search_text, artist_key, artist_id,
    album_id, refined)
SELECT $1, root_id, $2::bytea, sha256($2::bytea), sha256($2::bytea), 1, 'audio/ogg', $3, $4, $5, '', 'Pop', false, 0, 1,
    $6, $6, '', $7, $8, 1 FROM roots
"""


async def test_what_was_folded_otherwise_keeps_its_ids(database: Database, sql: Sql) -> None:
    """Two processes at once, over rows as the release before wrote them; two artists of one name become one."""
    await sql.execute("INSERT INTO roots (root_id, location) VALUES ($1, '/music')", new_id())
    trio, other_trio, child, plain = (new_id() for _ in range(4))
    for artist_id, name, key in (
        (trio, "Hawaiʻi Trio", "hawaiʻi trio"),
        (other_trio, "Hawai'i Trio", "hawai i trio"),
        (child, "Destiny's Child", "destiny s child"),
        (plain, "Destinys Child", "destinys child"),
    ):
        await sql.execute(ARTIST, artist_id, name, key)
    aloha, other_aloha, best, same = (new_id() for _ in range(4))
    albums: tuple[tuple[str, str, str, str | None, str], ...] = (
        (aloha, "Aloha ʻOe", "aloha ʻoe", trio, ""),
        (other_aloha, "Aloha 'Oe", "aloha oe", other_trio, ""),
        (best, "Best", "best", None, "mum s"),
        (same, "Plain", "plain", plain, ""),
    )
    for album_id, title, key, of_artist, folder in albums:
        await sql.execute(ALBUM, album_id, title, key, of_artist, folder)
    tracks: dict[bytes, tuple[str, str, str, str, str | None, str | None]] = {
        b"a": ("Aloha ʻOe", "Hawaiʻi Trio", "Aloha ʻOe", "aloha ʻoe", trio, aloha),
        b"b": ("Don't", "Hawai'i Trio", "Aloha 'Oe", "don t", other_trio, other_aloha),
        b"c": ("Can’t", "Destiny's Child", "", "can t", child, None),
        b"Mum's/d": ("One", "", "Best", "one", None, best),
        b"e": ("Two", "Destinys Child", "Plain", "two", plain, same),
    }
    for path, values in tracks.items():
        await sql.execute(TRACK, new_id(), path, *values)
    ann, bob = await sign_up(sql), await sign_up(sql)
    for person, artist_id in ((ann, other_trio), (bob, other_trio), (bob, trio), (ann, child)):
        await sql.execute("INSERT INTO blocked_artists VALUES ($1, $2, now())", person, artist_id)

    counts = await asyncio.gather(*(Refiner(database, batch_size=2).catch_up() for _ in range(2)))
    assert sum(counts) + await Refiner(database).catch_up() == 5

    rows = await sql.fetch("SELECT relative_path, artist_id::text, album_id::text, refined FROM tracks")
    assert {row["relative_path"]: tuple(row)[1:] for row in rows} == {
        b"a": (trio, aloha, 2),
        b"b": (trio, aloha, 2),
        b"c": (plain, None, 2),
        b"Mum's/d": (None, best, 2),
        b"e": (plain, same, 2),
    }
    assert await sql.fetchval("SELECT count(*) FROM albums") == 4
    assert await sql.fetchval("SELECT count(*) FROM artists") == 4
    blocks = await sql.fetch("SELECT user_id::text, artist_id::text FROM blocked_artists")
    assert {tuple(row) for row in blocks} >= {(ann, trio), (bob, trio), (ann, plain)}

    async def found(shelf: search.Shelf, query: str) -> list[str]:
        async with database.transaction() as connection:
            return [one.name for one in await search.search(connection, shelf, asked(folded(query)), None, 10)]

    for query in ("aloha oe", "ALOHA 'OE", "aloha ʻoe"):
        assert await found(search.TRACKS, query) == ["aloha oe", "dont"]
        assert await found(search.ALBUMS, query) == ["aloha oe"]
    assert await found(search.ARTISTS, "hawaii") == ["hawaii trio"]
    assert await found(search.ARTISTS, "destiny’s") == ["destinys child"]
    assert await found(search.TRACKS, "dont") == await found(search.TRACKS, "don't") == ["dont"]


async def test_an_apostrophe_is_typed_or_not(social: Client, sql: Sql) -> None:
    admin = await social.sign_up("admin")
    root_id = await social.register_root(admin)
    titles = ["Aloha ʻOe", "Don’t Stop", "Rock'n'Roll", "L'Amour"]
    files = [registration(title, title=title, artist="Nobody", album="") for title in titles]
    await social.register(admin, root_id, files)
    await until_refined(sql)
    for typed, title in (
        ("aloha oe", "Aloha ʻOe"),
        ("aloha 'oe", "Aloha ʻOe"),
        ("dont stop", "Don’t Stop"),
        ("don't", "Don’t Stop"),
        ("rock n roll", "Rock'n'Roll"),
        ("rock'n'roll", "Rock'n'Roll"),
        ("l amour", "L'Amour"),
        ("l’amour", "L'Amour"),
        ("amour", "L'Amour"),
    ):
        request = catalog_pb2.SearchTracksRequest(query=typed)
        answer = await social.catalog.SearchTracks(request, timeout=TIMEOUT_S)
        assert [track.title for track in answer.tracks] == [title], typed
