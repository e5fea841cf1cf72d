"""A process that is killed with -9 while it migrates: the next one finishes, and the schema is as if nothing was."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local.postgres import Postgres
from services.social.migrate import migrate, read_migrations
from tests.conftest import NatsServer, fresh_database
from tests.integration.social import old_release as old
from tests.integration.social.conftest import Sql, until
from tests.integration.social.crashes.cluster import PATIENCE_S, SocialProcess

# Everything that migrations make, by its definition.
SCHEMA = """
SELECT 'column', table_name || '.' || column_name, data_type || is_nullable || coalesce(column_default, '')
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'valid', indexrelid::regclass::text, indisvalid::text FROM pg_index
    WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid) || convalidated
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname, prosrc FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c')
UNION ALL SELECT 'migration', number::text, encode(sha256, 'hex') FROM migrations
ORDER BY 1, 2, 3
"""
WAITS = """
SELECT count(*) > 0 FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'museed-social-migrate' AND wait_event_type = 'Lock'
    AND query LIKE $1
"""


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """Here its tables are made."""
    return empty_database_url


@pytest.fixture
async def whole(postgres: Postgres, migrated: str) -> list[tuple[str, ...]]:
    """The schema of a database whose migration nobody disturbed."""
    async with fresh_database(postgres, migrated) as url:
        return await schema(url)


async def schema(url: str) -> list[tuple[str, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(SCHEMA)]
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def started(
    tmp_path: Path, database_url: str, nats: NatsServer, count: int
) -> AsyncIterator[list[SocialProcess]]:
    processes = [SocialProcess(tmp_path, f"social-{number}", database_url, nats) for number in range(count)]
    try:
        yield processes
    finally:
        await asyncio.gather(*(process.close() for process in processes))


async def test_process_killed_in_a_file_leaves_nothing_of_it_and_the_next_one_finishes(
    tmp_path: Path, database_url: str, sql: Sql, nats_server: NatsServer, whole: list[tuple[str, ...]]
) -> None:
    migrations = read_migrations()
    await migrate(database_url, migrations[:4])
    ann = await old.sign_up(sql)
    _, tracks = await old.add_tracks(sql, 60.0, 30.5)
    playlist_id = await old.add_playlist(sql, ann, tracks, "PUBLIC")
    reader = await asyncpg.connect(database_url)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(reader.close)
        (victim, *rest) = await stack.enter_async_context(started(tmp_path, database_url, nats_server, 3))
        async with sql.transaction():
            await sql.execute("LOCK TABLE playlist_entries IN ACCESS SHARE MODE")
            await victim.spawn()
            # By then this file has changed playlists already.
            await until(lambda: reader.fetchval(WAITS, "%ADD COLUMN share_slug%"), timeout_s=PATIENCE_S)
            await victim.kill()
            assert await reader.fetchval("SELECT max(number) FROM migrations") == 17
        await asyncio.gather(*(process.start() for process in rest))
    assert await schema(database_url) == whole
    assert await old.measures(sql, playlist_id) == (2, 90.5)


async def test_process_killed_while_it_builds_an_index_leaves_none_that_is_broken(
    tmp_path: Path, database_url: str, sql: Sql, nats_server: NatsServer, whole: list[tuple[str, ...]]
) -> None:
    await migrate(database_url, read_migrations()[:11])
    reader = await asyncpg.connect(database_url)
    is_invalid = "SELECT count(*) = 1 FROM pg_index WHERE NOT indisvalid"
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(reader.close)
        (victim, *rest) = await stack.enter_async_context(started(tmp_path, database_url, nats_server, 3))
        async with sql.transaction():
            await sql.execute("LOCK TABLE tracks IN ROW EXCLUSIVE MODE")
            await victim.spawn()
            await until(lambda: reader.fetchval(WAITS, "%CREATE INDEX CONCURRENTLY%"), timeout_s=PATIENCE_S)
            await victim.kill()
            for process in rest:
                await process.spawn()
            # What the killed one began is over, and one of the next ones takes the broken index away.
            await until(lambda: reader.fetchval(WAITS, "%DROP INDEX CONCURRENTLY%"), timeout_s=PATIENCE_S)
            assert await reader.fetchval(is_invalid)
            assert await reader.fetchval("SELECT max(number) FROM migrations") == 11
        await asyncio.gather(*(process.until_serving() for process in rest))
    assert await schema(database_url) == whole
