"""A process that is killed with -9 between commit and publish, and between publish and forgetting: each event once."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from museed.social.v1 import people_events_pb2
from services.chassis.bus import PEOPLE_EVENTS, Bus
from services.chassis.channel import connect
from tests.conftest import NatsServer
from tests.integration.social.client import Client
from tests.integration.social.conftest import Sql, until
from tests.integration.social.crashes.cluster import PATIENCE_S, SocialProcess

SIGNED_UP = "museed.social.v1.user_signed_up"
WAITS_FOR_LOCK = """
SELECT count(*) > 0 FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'DELETE FROM outbox%'
"""


@pytest.fixture
async def victim(tmp_path: Path, database_url: str, nats_server: NatsServer) -> AsyncIterator[SocialProcess]:
    process = SocialProcess(tmp_path, "victim", database_url, nats_server)
    await process.start()
    yield process
    await process.close()


@pytest.fixture
async def next_one(tmp_path: Path, database_url: str, nats_server: NatsServer) -> AsyncIterator[SocialProcess]:
    """Starts when the test says so."""
    process = SocialProcess(tmp_path, "next", database_url, nats_server)
    yield process
    await process.close()


async def sign_up(process: SocialProcess, *names: str) -> list[str]:
    async with connect(process.address) as channel:
        return [(await Client(channel).sign_up(name)).user_id for name in names]


@pytest.fixture
async def reader(database_url: str) -> AsyncIterator[Sql]:
    """Sees what happens while the test holds locks; inside of a transaction it would see one moment alone."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def until_quiet(sql: Sql) -> None:
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM outbox"), timeout_s=PATIENCE_S)


async def told(nats: NatsServer) -> list[str]:
    """Whose sign-up PEOPLE_EVENTS tells of, in order."""
    bus = await Bus.connect(nats.settings("social"), "social")
    try:
        last = (await bus.jetstream.stream_info(PEOPLE_EVENTS)).state.last_seq
        messages = [await bus.jetstream.get_msg(PEOPLE_EVENTS, sequence) for sequence in range(1, last + 1)]
    finally:
        await bus.close()
    found = [one.data or b"" for one in messages if one.subject == SIGNED_UP]
    return [people_events_pb2.UserSignedUp.FromString(data).user_id for data in found]


async def test_what_was_committed_and_not_published_is_published_by_the_next_process(
    victim: SocialProcess, next_one: SocialProcess, nats_server: NatsServer, sql: Sql
) -> None:
    before = await sign_up(victim, "before")
    await until_quiet(sql)
    nats_server.kill()
    people = before + await sign_up(victim, "one", "two", "three")
    await victim.kill()
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE subject = $1", SIGNED_UP) == 3
    nats_server.start()
    await next_one.start()
    await until_quiet(sql)
    assert sorted(await told(nats_server)) == sorted(people)


async def test_what_was_published_and_not_forgotten_is_not_told_again(
    victim: SocialProcess, next_one: SocialProcess, nats_server: NatsServer, sql: Sql, reader: Sql
) -> None:
    await sql.execute("CREATE TABLE kept (event_id uuid)")
    await until_quiet(sql)
    # Rows are written and read, and cannot be deleted while the test holds this table.
    await sql.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN LOCK TABLE kept; RETURN OLD; END $$"
    )
    await sql.execute("CREATE TRIGGER outbox_keep BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION keep()")
    async with sql.transaction():
        await sql.execute("LOCK TABLE kept")
        people = await sign_up(victim, "one")
        await until(lambda: reader.fetchval(WAITS_FOR_LOCK), timeout_s=PATIENCE_S)
        await victim.kill()
        assert await told(nats_server) == people
        assert await sql.fetchval("SELECT count(*) FROM outbox WHERE subject = $1", SIGNED_UP) == 1
    await next_one.start()
    await until_quiet(sql)
    assert await told(nats_server) == people
