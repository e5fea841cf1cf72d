"""What is read from the replica, and that what the process does on its own takes no connection from requests."""

import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest
from pydantic import SecretStr

from deploy.local.postgres import Postgres
from museed.social.v1 import catalog_pb2
from services.chassis.telemetry import Metrics
from services.social.errors import DatabaseUnavailable
from services.social.settings import SocialSettings
from services.social.store.database import Database
from services.social.wiring import PARTS
from services.social.wiring.tools import opened
from tests.conftest import NatsServer, free_port, fresh_database
from tests.integration.social.conftest import TIMEOUT_S, Mesh

NAME = "SELECT current_database()"


@contextlib.asynccontextmanager
async def connected(url: str, replica_url: str = "") -> AsyncIterator[Database]:
    database = await Database.connect(url, size=2, statement_timeout_ms=5_000, replica_url=replica_url)
    yield database
    await database.close()


@pytest.fixture
async def replica_url(postgres: Postgres, migrated: str) -> AsyncIterator[str]:
    """Another database in the replica's place."""
    async with fresh_database(postgres, migrated) as url:
        yield url


async def test_public_lists_are_read_from_the_replica_and_all_else_is_not(database_url: str, replica_url: str) -> None:
    async with connected(database_url, replica_url) as database:
        first = await asked(database_url)
        async with database.reading() as connection:
            assert await connection.fetchval(NAME) == await asked(replica_url) != first
        async with database.connection() as connection:
            assert await connection.fetchval(NAME) == first
        async with database.transaction() as connection:
            assert await connection.fetchval(NAME) == first


async def test_replica_is_never_written_to(database_url: str, replica_url: str) -> None:
    async with connected(database_url, replica_url) as database:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with database.reading() as connection:
                await connection.execute("DELETE FROM users")


async def test_without_a_replica_lists_are_read_from_the_first(database_url: str) -> None:
    async with connected(database_url) as database, database.reading() as connection:
        assert await connection.fetchval(NAME) == await asked(database_url)


async def test_replica_that_is_away_is_told_and_hinders_nothing_else(database_url: str) -> None:
    async with connected(database_url, f"postgresql://nobody@127.0.0.1:{free_port()}/away") as database:
        with pytest.raises(DatabaseUnavailable):
            async with database.reading():
                pass
        async with database.transaction() as connection:
            assert await connection.fetchval(NAME) == await asked(database_url)


async def test_requests_are_answered_while_loops_hold_all_their_connections(
    settings: SocialSettings, nats_server: NatsServer
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        tools = await stack.enter_async_context(opened(settings, nats_server.settings("social"), Metrics()))
        for _ in range(settings.background_pool_size):
            await stack.enter_async_context(tools.background.connection())
        async with tools.database.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1
        assert tools.background is not tools.database
        assert [wire(tools) for wire in PARTS]


async def test_service_reads_its_own_truth_where_a_replica_is_set(mesh: Mesh, replica_url: str) -> None:
    mesh.settings = mesh.settings.model_copy(update={"database_replica_url": SecretStr(replica_url)})
    social = await mesh.start()
    await social.sign_up()
    counts = await social.catalog.GetStats(catalog_pb2.GetStatsRequest(), timeout=TIMEOUT_S)
    assert counts.user_count == 1


async def asked(url: str) -> str:
    connection = await asyncpg.connect(url)
    name: str = await connection.fetchval(NAME)
    await connection.close()
    return name
