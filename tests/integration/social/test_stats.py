"""Counts of everything: exact while that is little, else the tallier's and of a moment ago."""

import pytest

from services.social.actions import library_stats
from services.social.actions.library_stats import LibraryStats
from services.social.domain.ids import new_id
from services.social.store.database import Database
from services.social.store.stats import GenreCount
from tests.integration.social.conftest import Sql

ADD_TRACKS = """
INSERT INTO tracks (track_id, root_id, relative_path, file_hash, audio_hash, size_bytes, content_type, title, artist,
    album, raw_genre, genre, is_genre_known, year, header_seconds, search_title, search_text)
SELECT uuidv7(), $1, $2::text::bytea || n::text::bytea, sha256(n::text::bytea), sha256(n::text::bytea), 1, 'audio/ogg',
    't', '', '', '', $2, n > 1, 0, 1, 't', 't'
FROM generate_series(1, $3::int) AS n
"""


@pytest.fixture
async def root_id(sql: Sql) -> str:
    root_id = new_id()
    await sql.execute("INSERT INTO roots (root_id, location) VALUES ($1, '/music')", root_id)
    return root_id


async def test_little_is_counted_at_once(database: Database, sql: Sql, root_id: str) -> None:
    stats = LibraryStats(database, lambda: 0.0)
    assert (await stats.read()).tracks == 0
    await sql.execute(ADD_TRACKS, root_id, "Rock", 3)
    found = await stats.read()
    assert (found.tracks, found.users, found.playlists, found.indexed) == (3, 0, 0, 0)
    assert found.genres[0] == GenreCount("Rock", 3, 1)
    assert len(found.genres) == 16
    await sql.execute("UPDATE counters SET value = 5 WHERE name = 'plays'")
    assert (await stats.read()).plays == 5


async def test_much_is_counted_by_the_tallier_and_genres_now_and_then(
    database: Database, sql: Sql, root_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library_stats, "COUNTED_AT_ONCE", 2)
    await sql.execute(ADD_TRACKS, root_id, "Rock", 3)
    await sql.execute("UPDATE counters SET value = 106574 WHERE name = 'tracks'")
    await sql.execute("UPDATE counters SET value = 7 WHERE name = 'users'")
    now = 100.0
    stats = LibraryStats(database, lambda: now)
    found = await stats.read()
    assert (found.tracks, found.users, found.playlists) == (106_574, 7, 0)
    assert found.genres[0] == GenreCount("Rock", 3, 1)
    await sql.execute(ADD_TRACKS, root_id, "Pop", 4)
    await sql.execute("UPDATE counters SET value = 8 WHERE name = 'users'")
    now = 114.9
    found = await stats.read()
    assert (found.users, found.genres[0]) == (8, GenreCount("Rock", 3, 1))
    await sql.execute("UPDATE counters SET value = 5 WHERE name = 'plays'")
    assert (await stats.read()).plays == 5
    now = 115.0
    assert (await stats.read()).genres[:2] == [GenreCount("Pop", 4, 1), GenreCount("Rock", 3, 1)]
