"""The migration runner on a real database: once, whole, and never edited."""

import asyncio
import contextlib
import os
import sys
from dataclasses import replace

import asyncpg
import pytest

from deploy.local.postgres import Postgres
from services.social.domain.ids import new_id
from services.social.migrate import Migration, MigrationError, migrate, read_migrations
from services.social.migrating import lacking, wait_for_schema
from tests.integration.social.conftest import Sql, until


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """Here its tables are made."""
    return empty_database_url


async def tables(sql: Sql) -> set[str]:
    rows = await sql.fetch("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    return {row["table_name"] for row in rows}


async def test_three_starters_at_once_apply_each_file_once(database_url: str, sql: Sql) -> None:
    migrations = read_migrations()
    applied = await asyncio.gather(*(migrate(database_url, migrations) for _ in range(3)))
    assert sorted(applied) == [0, 0, len(migrations)]
    rows = await sql.fetch("SELECT number FROM migrations ORDER BY number")
    assert [row["number"] for row in rows] == [migration.number for migration in migrations]
    assert {"users", "tracks", "jobs", "outbox"} <= await tables(sql)


async def test_a_database_that_dies_under_a_starter_is_waited_for(database_url: str, sql: Sql) -> None:
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    async def has_begun() -> bool:
        return bool(await sql.fetchval(f"SELECT count(*) {others} AND query LIKE '%pg_sleep%'"))

    slow = Migration(2, "0002_slow.sql", "CREATE TABLE slow (); SELECT pg_sleep(1)")
    applying = asyncio.create_task(
        migrate(database_url, [Migration(1, "0001_quick.sql", "CREATE TABLE quick ()"), slow])
    )
    await until(has_begun)
    await sql.fetch(f"SELECT pg_terminate_backend(pid) {others}")
    assert await applying == 1  # the other was there
    assert await tables(sql) == {"migrations", "quick", "slow"}


async def test_edited_file_is_refused(database_url: str) -> None:
    migrations = read_migrations()
    await migrate(database_url, migrations)
    edited = [*migrations[:-1], replace(migrations[-1], sql=migrations[-1].sql + "\n-- edited")]
    with pytest.raises(MigrationError) as refusal:
        await migrate(database_url, edited)
    assert f"{migrations[-1].name} was edited" in str(refusal.value)


@pytest.mark.parametrize(
    "locale", ["LOCALE_PROVIDER libc LOCALE 'C'", "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_CTYPE 'C'"]
)
async def test_database_that_knows_no_letters_is_refused_while_it_is_empty(
    postgres: Postgres, sql: Sql, locale: str
) -> None:
    name = f"test_{new_id()}"
    await sql.execute(f'CREATE DATABASE "{name}" TEMPLATE template0 ENCODING UTF8 {locale}')
    try:
        with pytest.raises(MigrationError, match=r"knows no letters but a to z \(LC_CTYPE C\).*--lc-ctype=C.UTF-8"):
            await migrate(postgres.url(name), read_migrations())
        assert await lacking(postgres.url(name), read_migrations()[:1]) == [read_migrations()[0].name]
    finally:
        await sql.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


async def test_older_release_starts_while_a_newer_one_migrates(database_url: str, sql: Sql) -> None:
    older = [Migration(1, "0001_table.sql", "CREATE TABLE things (a int)")]
    newer = [*older, Migration(2, "0002_wider.sql", "ALTER TABLE things ADD COLUMN b int")]
    await migrate(database_url, older)
    async with sql.transaction():
        await sql.execute("LOCK TABLE things IN ACCESS SHARE MODE")
        migrating = asyncio.create_task(migrate(database_url, newer))
        await until(lambda: sql.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"))
        async with asyncio.timeout(60):
            assert await migrate(database_url, older) == 0
        assert not migrating.done()
    assert await migrating == 1


async def test_failing_file_leaves_nothing_behind(database_url: str, sql: Sql) -> None:
    good = Migration(1, "0001_good.sql", "CREATE TABLE good (a int)")
    bad = Migration(2, "0002_bad.sql", "CREATE TABLE bad (a int); SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(database_url, [good, bad])
    assert await tables(sql) == {"migrations", "good"}
    assert await migrate(database_url, [good, replace(bad, sql="CREATE TABLE bad (a int)")]) == 1
    assert await tables(sql) == {"migrations", "good", "bad"}


async def test_older_release_starts_on_a_newer_schema(database_url: str) -> None:
    migrations = read_migrations()
    newer = Migration(len(migrations) + 1, "0099_newer.sql", "ALTER TABLE users ADD COLUMN avatar text")
    assert await migrate(database_url, [*migrations, newer]) == len(migrations) + 1
    assert await migrate(database_url, migrations) == 0


async def test_index_is_built_concurrently_while_others_wait_for_their_turn(database_url: str, sql: Sql) -> None:
    migrations = [
        Migration(1, "0001_table.sql", "CREATE TABLE things (a int)"),
        Migration(2, "0002_index.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY things_a ON things (a)"),
    ]
    async with asyncio.timeout(60):
        applied = await asyncio.gather(*(migrate(database_url, migrations) for _ in range(3)))
    assert sorted(applied) == [0, 0, 2]
    assert await sql.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'things_a'::regclass") is True


async def test_migration_that_waits_for_a_table_holds_nobody_up(
    database_url: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.social.migrate._LOCK_TIMEOUT_MS", 100)
    table = Migration(1, "0001_table.sql", "CREATE TABLE things (a int)")
    wider = Migration(2, "0002_wider.sql", "ALTER TABLE things ADD COLUMN b int")
    await migrate(database_url, [table])
    other = await asyncpg.connect(database_url)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(other.close)
        async with sql.transaction():
            await sql.execute("INSERT INTO things VALUES (1)")
            migrating = asyncio.create_task(migrate(database_url, [table, wider]))
            await until(lambda: other.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"))
            async with asyncio.timeout(60):
                await other.execute("INSERT INTO things VALUES (2)")
            assert not migrating.done()
        async with asyncio.timeout(60):
            assert await migrating == 1
    assert await sql.fetchval("SELECT count(*) FROM things WHERE b IS NULL") == 2


async def test_traces_are_added_in_the_order_in_which_rows_are_locked(database_url: str, sql: Sql) -> None:
    """A release that runs meanwhile locks a job, and then writes what that promises."""
    migrations = read_migrations()
    await migrate(database_url, migrations[:6])
    other = await asyncpg.connect(database_url)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(other.close)
        async with asyncio.timeout(60):
            async with sql.transaction():
                await sql.execute("LOCK TABLE jobs IN ROW EXCLUSIVE MODE")
                migrating = asyncio.create_task(migrate(database_url, migrations[:7]))
                await until(lambda: other.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"))
                held = (
                    "SELECT count(*) FROM pg_locks WHERE relation = 'outbox'::regclass AND mode = 'AccessExclusiveLock'"
                )
                assert await other.fetchval(held) == 0
                await sql.execute("LOCK TABLE outbox IN ROW EXCLUSIVE MODE")
            assert await migrating == 1


async def test_index_whose_building_was_interrupted_is_built_anew(database_url: str, sql: Sql) -> None:
    """A doubled value makes the building fail midway, as a crash would: an invalid index stays."""
    migrations = [
        Migration(1, "0001_table.sql", "CREATE TABLE things (a int); INSERT INTO things VALUES (1), (1)"),
        Migration(2, "0002_index.sql", "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY things_a ON things (a)"),
    ]
    is_valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'things_a'::regclass"
    for _ in range(2):
        with pytest.raises(asyncpg.UniqueViolationError):
            await migrate(database_url, migrations)
        assert await sql.fetchval(is_valid) is False
    await sql.execute("DELETE FROM things; INSERT INTO things VALUES (1)")
    assert await migrate(database_url, migrations) == 1
    assert await sql.fetchval(is_valid) is True


async def test_index_that_was_built_and_not_noted_is_taken_as_it_is(database_url: str, sql: Sql) -> None:
    migrations = [
        Migration(1, "0001_table.sql", "CREATE TABLE things (a int)"),
        Migration(2, "0002_index.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY things_a ON things (a)"),
    ]
    await migrate(database_url, migrations)
    built = await sql.fetchval("SELECT 'things_a'::regclass::oid")
    await sql.execute("DELETE FROM migrations WHERE number = 2")
    assert await migrate(database_url, migrations) == 1
    assert await sql.fetchval("SELECT 'things_a'::regclass::oid") == built
    assert await sql.fetchval("SELECT count(*) FROM migrations") == 2


async def test_who_waits_for_the_schema_changes_nothing_and_goes_on_when_it_is_there(
    database_url: str, sql: Sql
) -> None:
    migrations = [Migration(number, f"000{number}_table.sql", f"CREATE TABLE made_{number} ()") for number in (1, 2, 3)]
    assert await lacking(database_url, migrations) == ["0001_table.sql", "0002_table.sql", "0003_table.sql"]
    waiting = asyncio.create_task(wait_for_schema(database_url, migrations, interval_s=0.05))
    await asyncio.sleep(0.3)
    assert await tables(sql) == set()
    await migrate(database_url, migrations[:2])
    assert await lacking(database_url, migrations) == ["0003_table.sql"]
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await migrate(database_url, migrations)
    await asyncio.wait_for(waiting, 60)


async def test_schema_of_a_newer_release_is_not_waited_for(database_url: str) -> None:
    migrations = [Migration(number, f"000{number}_table.sql", f"CREATE TABLE made_{number} ()") for number in (1, 2)]
    await migrate(database_url, migrations)
    await asyncio.wait_for(wait_for_schema(database_url, migrations[:1], interval_s=0.05), 60)


async def test_command_migrates_and_then_has_nothing_to_wait_for(database_url: str, sql: Sql) -> None:
    for options in ([], ["--wait"]):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.social.migrate",
            *options,
            env={**os.environ, "SOCIAL_DATABASE_URL": database_url},
        )
        assert await asyncio.wait_for(process.wait(), 120) == 0
    assert await sql.fetchval("SELECT count(*) FROM migrations") == len(read_migrations())
