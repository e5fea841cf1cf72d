"""A peer that is gone without a word: whoever speaks to it finds out, and does not wait for the kernel to give up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2

from deploy.local.postgres import Postgres
from services.chassis import channel as chassis_channel
from services.chassis.channel import connect
from services.chassis.errors import DomainError
from services.chassis.server import Server
from services.social.store.database import Database
from tests.faults.link import Link

PATIENCE_S = 120.0


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    """A link to a server of the mesh."""
    server = Server("127.0.0.1:0", {})
    await server.start()
    await server.set_serving(True)
    made = Link(("127.0.0.1", server.port))
    await made.open()
    yield made
    await made.close()
    await server.grpc.stop(None)


@pytest.mark.parametrize("addresses", ["one", "two"])
async def test_channel_leaves_a_peer_that_is_gone_without_a_word(
    link: Link, monkeypatch: pytest.MonkeyPatch, addresses: str
) -> None:
    monkeypatch.setattr(chassis_channel, "_KEEPALIVE_MS", 500)
    monkeypatch.setattr(chassis_channel, "_KEEPALIVE_TIMEOUT_MS", 500)
    assert isinstance(link.address, tuple)
    target = f"127.0.0.1:{link.address[1]}"
    async with connect(target if addresses == "one" else f"ipv4:{target},127.0.0.1:1") as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        await check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        link.strand()
        with pytest.raises(DomainError):
            await check(health_pb2.HealthCheckRequest(), timeout=0.2)
        async with asyncio.timeout(PATIENCE_S):
            answer = None
            while answer is None:
                with contextlib.suppress(DomainError):
                    answer = await check(health_pb2.HealthCheckRequest(), timeout=1.0)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("addresses", ["one", "two"])
async def test_channel_waits_for_a_peer_that_is_slow_to_take_it(link: Link, addresses: str) -> None:
    assert isinstance(link.address, tuple)
    target = f"127.0.0.1:{link.address[1]}"
    link.silence()
    async with connect(target if addresses == "one" else f"ipv4:{target},127.0.0.1:1") as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        asked = asyncio.ensure_future(check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S))
        await asyncio.sleep(1.5)  # longer than until it comes again
        link.heal()
        assert (await asked).status == health_pb2.HealthCheckResponse.SERVING


async def test_pool_leaves_a_database_that_is_gone_without_a_word(
    postgres: Postgres, database_url: str, tmp_path: Path
) -> None:
    name = ".s.PGSQL.5432"
    link = Link(postgres.socket_folder / name)
    await link.open(tmp_path / name)
    url = database_url.replace(str(postgres.socket_folder), str(tmp_path))
    database = await Database.connect(url, size=4, statement_timeout_ms=200)

    async def ask() -> int:
        async with database.connection() as connection:
            return int(await connection.fetchval("SELECT 1"))

    assert await asyncio.gather(*(ask() for _ in range(4))) == [1] * 4
    assert link.connections == 4
    link.strand()
    answers: list[int] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(answers) < 8:  # all four are tried, and left
            with contextlib.suppress(DomainError, TimeoutError):
                # Whoever asks gives up before the pool does.
                answers += await asyncio.wait_for(asyncio.gather(*(ask() for _ in range(4))), 0.5)
    assert answers == [1] * 8
    await database.close()
    await link.close()
