"""What one statement may take: sweeps go in batches, and what rewrites a whole table is waited for."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.bus import VECTORS
from services.social.domain.ids import new_id
from services.social.errors import DatabaseUnavailable
from services.social.store import listening, mail, tastes, vector_log
from services.social.store.batches import BATCH_SIZE
from services.social.store.database import Connection, Database
from services.social.workers.sweeping import sweep_keys, sweep_sessions
from tests.integration.social.conftest import Sql, until
from tests.integration.social.test_tallier import make_person

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ROWS = 2 * BATCH_SIZE + 1
# $1 a person, $2 a session; each row is over by one second.
TABLES = {
    "idempotency_keys": "SELECT $1::uuid, 'Op', n::text, '\\x00', uuidv7(), $3 FROM generate_series(1, $4) AS n",
    "sessions": "SELECT uuidv7(), $1::uuid, $3, $3, $3 FROM generate_series(1, $4)",
    "refresh_tokens": "SELECT sha256(n::text::bytea), $2::uuid, $3, $3 FROM generate_series(1, $4) AS n",
    "mail_tokens": "SELECT uuidv7(), sha256(n::text::bytea), $1::uuid, 'VERIFY', '', $3, $3"
    " FROM generate_series(1, $4) AS n",
    "forgotten_plays": "SELECT uuidv7(), $3 FROM generate_series(1, $4)",
}
NOTE_DELETIONS = """
CREATE TABLE deletions (count bigint);
CREATE FUNCTION note_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO deletions SELECT count(*) FROM gone;
    RETURN NULL;
END $$;
"""
WAITS_LONG = """
SELECT count(*) > 0 FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > '4 s'::interval
"""


async def sweep_mail_tokens(database: Database, now: datetime) -> None:
    async with database.connection() as connection:
        await mail.delete_expired_tokens(connection, now)


async def sweep_forgotten(database: Database, now: datetime) -> None:
    async with database.connection() as connection:
        await listening.sweep_forgotten(connection, now)


@pytest.mark.parametrize(
    ("table", "sweep"),
    [
        ("idempotency_keys", sweep_keys),
        ("sessions", sweep_sessions),
        ("refresh_tokens", sweep_sessions),
        ("mail_tokens", sweep_mail_tokens),
        ("forgotten_plays", sweep_forgotten),
    ],
)
async def test_sweep_of_much_goes_in_batches(
    database: Database, sql: Sql, table: str, sweep: Callable[[Database, datetime], Awaitable[None]]
) -> None:
    person, session = await make_person(sql, "person"), new_id()
    await sql.execute("INSERT INTO sessions VALUES ($1, $2, $3, $3, $3)", session, person, NOW + timedelta(days=1))
    columns = "(user_id, operation, key, request_digest, result_id, expires_at)" if table == "idempotency_keys" else ""
    rows = TABLES[table]
    used = "WITH given AS (SELECT $1::uuid, $2::uuid, $3::timestamptz, $4::int)"
    insert = f"{used} INSERT INTO {table} {columns} {rows}"
    for at, count in ((NOW - timedelta(seconds=1), ROWS), (NOW + timedelta(days=1), 0)):
        await sql.execute(insert, person, session, at, count)
    await sql.execute(NOTE_DELETIONS)
    await sql.execute(
        f"CREATE TRIGGER note AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone"
        " FOR EACH STATEMENT EXECUTE FUNCTION note_deletion()"
    )
    await sweep(database, NOW)
    assert await sql.fetchval("SELECT sum(count) FROM deletions") == ROWS
    assert await sql.fetchval("SELECT max(count) FROM deletions") == BATCH_SIZE
    assert await sql.fetchval("SELECT count(*) FROM sessions WHERE session_id = $1", session) == 1


async def rebuild(connection: Connection) -> None:
    await vector_log.note_stream(connection, VECTORS, NOW)
    await vector_log.rebuild(connection)


async def tell_tastes(connection: Connection) -> None:
    await tastes.publish_all_again(connection, NOW)


@pytest.mark.parametrize(("work", "table"), [(rebuild, "track_embeddings"), (tell_tastes, "tastes")])
async def test_rewriting_a_whole_table_may_take_longer_than_any_other_statement(
    database_url: str,
    sql: Sql,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Connection], Awaitable[None]],
    table: str,
) -> None:
    monkeypatch.setattr("services.social.store.database._COMMAND_TIMEOUT_MARGIN_S", 1.0)
    async with contextlib.AsyncExitStack() as stack:
        database = await Database.connect(database_url, size=2, statement_timeout_ms=2_000)
        stack.push_async_callback(database.close)

        async def at_once() -> None:
            async with database.transaction() as connection:
                await work(connection)

        async def usual() -> None:
            async with database.connection() as connection:
                await connection.execute(f"DELETE FROM {table}")

        async with database.connection() as reader, sql.transaction():
            await sql.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            working = asyncio.create_task(at_once())
            await until(lambda: working.done() or reader.fetchval(WAITS_LONG), timeout_s=60)
            assert not working.done()
        await working
        async with sql.transaction():
            await sql.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(DatabaseUnavailable):
                await usual()
