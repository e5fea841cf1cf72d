"""The newest schema: what its triggers and constraints keep right, whoever writes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import asyncpg
import pytest

from tests.integration.social import old_release as old
from tests.integration.social.conftest import Sql, sha, until
from tests.integration.social.old_release import (
    NOW,
    WEEK,
    add_playlist,
    add_tracks,
    begin_session,
    columns,
    measures,
    new,
    sign_up,
)


async def counted(sql: Sql, kind: str, user_id: str | None = None) -> int:
    total = "SELECT coalesce(sum(amount), 0) FROM signals WHERE kind = $1 AND user_id IS NOT DISTINCT FROM $2"
    return int(await sql.fetchval(total, kind, user_id))


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Sql]:
    """A second connection."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_every_foreign_key_has_an_index_and_lets_older_releases_delete(sql: Sql) -> None:
    keys = await sql.fetch("""
        SELECT conrelid::regclass::text AS of, confrelid::regclass::text AS to, confdeltype::text AS on_delete,
            EXISTS (
                SELECT FROM pg_index
                WHERE indrelid = conrelid AND indisvalid AND indkey[0] = conkey[1]
            ) AS has_index
        FROM pg_constraint WHERE contype = 'f'
    """)
    # Encoders and roots are few and stay.
    assert {key["to"] for key in keys if not key["has_index"]} == {"encoders", "roots"}
    swept = {"playlists", "sessions", "refresh_tokens", "embedding_work", "embedding_failures", "outbox"}
    swept |= {"idempotency_keys", "uploads"}
    assert {key["on_delete"] for key in keys if key["to"] in swept} <= {"c", "n"}
    assert await sql.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0


# Counts of entries.


async def test_counts_follow_statements_of_many_rows_in_many_playlists(sql: Sql) -> None:
    ann = await sign_up(sql)
    _, (short, long) = await add_tracks(sql, 60.0, 200.5)
    one, two, three = [await add_playlist(sql, ann) for _ in range(3)]
    given = [(one, short, 0), (one, long, 1), (two, long, 0), (one, short, 2)]
    added = await sql.fetch(
        """INSERT INTO playlist_entries (entry_id, playlist_id, track_id, position)
        SELECT uuidv7(), * FROM unnest($1::uuid[], $2::uuid[], $3::int[]) RETURNING entry_id""",
        *map(list, zip(*given, strict=True)),
    )
    assert [await measures(sql, each) for each in (one, two, three)] == [(3, 320.5), (1, 200.5), (0, 0.0)]
    await sql.execute("UPDATE playlist_entries SET position = 2 - position WHERE playlist_id = $1", one)
    gone = [added[0]["entry_id"], added[2]["entry_id"]]
    await sql.execute("DELETE FROM playlist_entries WHERE entry_id = ANY ($1::uuid[])", gone)
    assert [await measures(sql, each) for each in (one, two, three)] == [(2, 260.5), (0, 0.0), (0, 0.0)]
    await sql.execute("DELETE FROM playlist_entries WHERE false")
    await sql.execute("DELETE FROM playlists WHERE playlist_id = ANY ($1::uuid[])", [one, two])
    assert await sql.fetchval("SELECT count(*) FROM playlist_entries") == 0


async def test_track_that_lasts_longer_by_now_takes_away_what_it_added(sql: Sql) -> None:
    ann = await sign_up(sql)
    _, tracks = await add_tracks(sql, 60.0, 30.0)
    playlist_id = await add_playlist(sql, ann, tracks)
    await sql.execute("UPDATE tracks SET header_seconds = 100 WHERE track_id = $1", tracks[0])
    await sql.execute("DELETE FROM playlist_entries WHERE track_id = $1", tracks[0])
    assert await measures(sql, playlist_id) == (1, 30.0)


async def test_two_who_add_to_one_playlist_are_both_counted(sql: Sql, other: Sql) -> None:
    ann = await sign_up(sql)
    _, tracks = await add_tracks(sql, 60.0, 30.5)
    playlist_id = await add_playlist(sql, ann)

    async def add(connection: Sql, track_id: str, place: int) -> None:
        await connection.execute(old.ADD_ENTRY, new(), playlist_id, track_id, place, False, 0.5, [], [])

    async with asyncio.timeout(60):
        async with sql.transaction():
            await add(sql, tracks[0], 0)
            second = asyncio.create_task(add(other, tracks[1], 1))
            await asyncio.wait([second], timeout=0.1)
            assert not second.done()
        await second
        assert await measures(sql, playlist_id) == (2, 90.5)
        async with sql.transaction():
            await sql.execute("DELETE FROM playlist_entries WHERE track_id = $1", tracks[0])
            third = asyncio.create_task(add(other, tracks[1], 2))
            await asyncio.wait([third], timeout=0.1)
        await third
    assert await measures(sql, playlist_id) == (2, 61.0)


async def test_playlists_are_counted_in_the_order_of_their_ids(sql: Sql, other: Sql, database_url: str) -> None:
    """Who waits for the first holds none of the later ones: two who add to both never wait for each other."""
    ann = await sign_up(sql)
    _, (track_id,) = await add_tracks(sql, 60.0)
    first, second = sorted([await add_playlist(sql, ann), await add_playlist(sql, ann)])
    statements = [
        """INSERT INTO playlist_entries (entry_id, playlist_id, track_id, position)
        SELECT uuidv7(), playlist_id, $1, 0 FROM unnest($2::uuid[]) AS playlist_id""",
        "DELETE FROM playlist_entries WHERE track_id = $1 AND playlist_id = ANY ($2::uuid[])",
    ]
    third = await asyncpg.connect(database_url)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(third.close)
        for statement in statements:
            async with asyncio.timeout(60):
                async with sql.transaction():
                    await sql.execute("SELECT FROM playlists WHERE playlist_id = $1 FOR NO KEY UPDATE", first)
                    waiting = asyncio.create_task(other.execute(statement, track_id, [second, first]))
                    await until(lambda: third.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"))
                    await third.execute("SELECT FROM playlists WHERE playlist_id = $1 FOR NO KEY UPDATE NOWAIT", second)
                await waiting
    assert await measures(sql, first) == await measures(sql, second) == (0, 0.0)


async def test_entry_keeps_its_track_and_its_playlist(sql: Sql) -> None:
    ann = await sign_up(sql)
    _, tracks = await add_tracks(sql, 60.0, 30.5)
    playlist_id, elsewhere = await add_playlist(sql, ann, tracks[:1]), await add_playlist(sql, ann)
    for change, value in (("track_id", tracks[1]), ("playlist_id", elsewhere)):
        with pytest.raises(asyncpg.CheckViolationError) as refusal:
            await sql.execute(f"UPDATE playlist_entries SET {change} = $1", value)
        assert refusal.value.constraint_name == "playlist_entries_keep_track"
    assert await measures(sql, playlist_id) == (1, 60.0)


# What is public.


async def test_playlist_is_listed_when_it_becomes_public(sql: Sql) -> None:
    ann = await sign_up(sql)
    playlist_id = await add_playlist(sql, ann)

    async def change(visibility: str, now: datetime) -> datetime | None:
        await sql.execute(old.CHANGE_PLAYLIST, playlist_id, "Title", "", visibility, 2, now)
        listed: datetime | None = await sql.fetchval("SELECT listed_at FROM playlists")
        return listed

    later = NOW + timedelta(hours=1)
    assert await change("UNLISTED", NOW) is None
    assert await change("PUBLIC", later) == later
    assert await change("PUBLIC", later + WEEK) == later
    await sql.execute("UPDATE playlists SET hidden_at = $1, hidden_from = visibility, visibility = 'PRIVATE'", NOW)
    await sql.execute("UPDATE playlists SET hidden_at = NULL, hidden_from = NULL, visibility = hidden_from")
    assert await sql.fetchval("SELECT visibility FROM playlists") == "PUBLIC"
    assert await sql.fetchval("SELECT listed_at FROM playlists") == later
    await change("PRIVATE", later)
    assert await change("PUBLIC", later + WEEK) == later + WEEK


@pytest.mark.parametrize("visibility", ["PUBLIC", "UNLISTED"])
async def test_hidden_playlist_is_not_shown_again(sql: Sql, visibility: str) -> None:
    playlist_id = await add_playlist(sql, await sign_up(sql), visibility="PUBLIC")
    await sql.execute("UPDATE playlists SET hidden_at = $1, hidden_from = visibility, visibility = 'PRIVATE'", NOW)
    with pytest.raises(asyncpg.CheckViolationError) as refusal:
        await sql.execute(old.CHANGE_PLAYLIST, playlist_id, "New", "", visibility, 2, NOW)
    assert refusal.value.constraint_name == "playlists_hidden_stays_private"
    await sql.execute(old.CHANGE_PLAYLIST, playlist_id, "New", "", "PRIVATE", 2, NOW)
    assert await sql.fetchval("SELECT title || visibility FROM playlists") == "NewPRIVATE"


# Signals of what every release writes.


async def test_counters_and_their_signals_are_together_what_is_there(sql: Sql) -> None:
    ann, bob = await sign_up(sql), await sign_up(sql)
    await add_tracks(sql, 60.0, 30.0, 20.0)
    assert await sql.fetchval("SELECT count(*) FROM signals WHERE kind = 'track_count'") == 1
    first = await add_playlist(sql, ann, visibility="PUBLIC")
    await sql.execute(
        """INSERT INTO playlists (playlist_id, owner_id, title, visibility, created_at)
        SELECT uuidv7(), owner, 'T', visibility, $3 FROM unnest($1::uuid[], $2::text[]) AS given (owner, visibility)""",
        [ann, ann, bob], ["PUBLIC", "PRIVATE", "PUBLIC"], NOW,
    )  # fmt: skip
    await sql.execute(old.CHANGE_PLAYLIST, first, "Title", "", "PRIVATE", 2, NOW)
    await sql.execute(old.CHANGE_PLAYLIST, first, "Other", "", "UNLISTED", 3, NOW)
    found = {
        kind: (await counted(sql, kind, ann), await counted(sql, kind, bob))
        for kind in ("playlist_count", "playlist_created", "public_playlist_count")
    }
    assert found == {"playlist_count": (3, 1), "playlist_created": (3, 1), "public_playlist_count": (1, 1)}
    await sql.execute("DELETE FROM playlists")
    assert [await counted(sql, "playlist_count", who) for who in (ann, bob)] == [0, 0]
    assert [await counted(sql, "public_playlist_count", who) for who in (ann, bob)] == [0, 0]
    assert [await counted(sql, "playlist_created", who) for who in (ann, bob)] == [3, 1]
    assert (await counted(sql, "user_count"), await counted(sql, "track_count")) == (2, 3)
    assert await sql.fetchval("SELECT bool_and(at = $1) FROM signals WHERE amount > 0 AND kind LIKE 'play%'", NOW)


# People.


@pytest.mark.parametrize("column", ["suspended_at", "deleted_at"])
async def test_suspended_person_gets_no_session(sql: Sql, column: str) -> None:
    ann, bob = await sign_up(sql), await sign_up(sql)
    await sql.execute(f"UPDATE users SET {column} = $2 WHERE user_id = $1", ann, NOW)
    with pytest.raises(asyncpg.CheckViolationError) as refusal:
        await begin_session(sql, ann)
    assert refusal.value.constraint_name == "sessions_refuse_suspended"
    await begin_session(sql, bob)
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 1


async def test_log_in_waits_for_a_suspension_under_way(sql: Sql, other: Sql) -> None:
    ann = await sign_up(sql)
    async with asyncio.timeout(60):
        async with sql.transaction():
            await sql.execute("UPDATE users SET suspended_at = $2 WHERE user_id = $1", ann, NOW)
            log_in = asyncio.create_task(begin_session(other, ann))
            await asyncio.wait([log_in], timeout=0.1)
            assert not log_in.done()
        with pytest.raises(asyncpg.CheckViolationError):
            await log_in
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 0


async def test_audit_log_is_only_added_to(sql: Sql) -> None:
    await sql.execute(
        "INSERT INTO audit_log (entry_id, action, subject_kind, at) VALUES (uuidv7(), 'SUSPEND', 'USER', $1)", NOW
    )
    for statement in ("UPDATE audit_log SET because = ''", "DELETE FROM audit_log", "TRUNCATE audit_log"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await sql.execute(statement)
    assert await sql.fetchval("SELECT count(*) FROM audit_log") == 1


# Tracks.


async def test_names_that_an_older_release_changes_are_refined_again(sql: Sql) -> None:
    root_id, tracks = await add_tracks(sql, 60.0, 30.0)
    refine = "UPDATE tracks SET refined = 1, artist_key = 'somebody', search_jamo = title"
    again = "SELECT refined FROM tracks ORDER BY track_id"

    async def refined() -> list[int]:
        return [row["refined"] for row in await sql.fetch(again)]

    await sql.execute(refine)
    await sql.execute(old.CHANGE_TRACKS, root_id, tracks, *columns(tracks, [61.0, 31.0]))
    assert await refined() == [1, 1]
    renamed = columns(tracks, [61.0, 31.0])
    renamed[5] = [tracks[0], "Another title"]
    await sql.execute(old.CHANGE_TRACKS, root_id, tracks, *renamed)
    assert await refined() == [1, 0]
    await sql.execute(refine)
    assert await refined() == [1, 1]
    await sql.execute("UPDATE tracks SET title = 'New', search_jamo = 'New'")
    assert await refined() == [1, 1]


# Uploads.


async def test_blobs_know_how_many_uploads_refer_to_them(sql: Sql) -> None:
    ann = await sign_up(sql)
    for digest, lent_for in (("a", WEEK), ("a", 2 * WEEK), ("b", WEEK)):
        await sql.execute(old.ADD_UPLOAD, new(), ann, sha(digest), NOW, NOW + lent_for)

    async def blobs() -> list[tuple[int, datetime | None]]:
        rows = await sql.fetch("SELECT * FROM upload_blobs ORDER BY digest = $1", sha("b"))
        return [(row["reference_count"], row["released_at"]) for row in rows]

    assert await blobs() == [(2, None), (1, None)]
    swept = await sql.fetch(old.SWEEP_UPLOADS, NOW + WEEK, 100)
    assert [row["digest"] for row in swept] == [sha("b")]
    assert await blobs() == [(1, None), (0, NOW + WEEK)]
    await sql.execute(old.ADD_UPLOAD, new(), ann, sha("b"), NOW, NOW + 3 * WEEK)
    assert await blobs() == [(1, None), (1, None)]
    await sql.execute("DELETE FROM uploads WHERE swept_at IS NOT NULL")
    assert await blobs() == [(1, None), (1, None)]
    await sql.execute("DELETE FROM uploads WHERE digest = $1", sha("a"))
    assert (await blobs())[0][0] == 0
    assert await sql.fetchval("SELECT released_at IS NOT NULL FROM upload_blobs WHERE digest = $1", sha("a"))


async def test_uploads_that_a_recipe_names_are_known_from_it(sql: Sql) -> None:
    ann = await sign_up(sql)
    uploads = [new(), new()]
    for upload_id in uploads:
        await sql.execute(old.ADD_UPLOAD, upload_id, ann, sha("a"), NOW, NOW + WEEK)
    playlist_id = await add_playlist(sql, ann, upload_id=uploads[0])
    for unknown in (new(), "no id", None):
        await add_playlist(sql, ann, upload_id=unknown)
    named = "SELECT playlist_id::text, upload_id::text FROM playlist_uploads"
    assert [tuple(row) for row in await sql.fetch(named)] == [(playlist_id, uploads[0])]
    recipe = json.dumps({"seeds": [{"upload_id": uploads[1]}, {"upload_id": uploads[1]}]})
    await sql.execute("UPDATE playlists SET recipe = $2 WHERE playlist_id = $1", playlist_id, recipe)
    assert [tuple(row) for row in await sql.fetch(named)] == [(playlist_id, uploads[1])]
    await sql.execute("UPDATE playlists SET recipe = NULL")
    assert await sql.fetch(named) == []
