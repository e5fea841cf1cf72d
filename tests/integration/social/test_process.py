"""The process as it is run: `python -m services.social`, its signals, its settings, the loss of its database."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator

from grpc_health.v1 import health_pb2

from museed.social.v1 import catalog_pb2, catalog_pb2_grpc
from services.chassis.channel import connect
from services.chassis.errors import DomainError
from services.social.settings import SocialSettings
from tests.conftest import NatsServer
from tests.integration.social.conftest import TIMEOUT_S, Client, Mesh, Sql, until


def environment(settings: SocialSettings, nats: NatsServer) -> dict[str, str]:
    bus = nats.settings("social")
    return {
        **os.environ,
        "SOCIAL_DATABASE_URL": settings.database_url.get_secret_value(),
        "SOCIAL_LISTEN": settings.listen,
        "SOCIAL_EMBEDDER_ADDRESS": settings.embedder_address,
        "SOCIAL_RETRIEVER_ADDRESS": settings.retriever_address,
        "NATS_URL": bus.url,
        "NATS_USER": bus.user,
        "NATS_PASSWORD": bus.password,
    }


@contextlib.asynccontextmanager
async def process(variables: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.social", env=variables, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def is_serving(address: str) -> bool:
    async with connect(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=30)
        except DomainError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def test_missing_settings_are_all_told_at_once() -> None:
    variables = {key: value for key, value in os.environ.items() if not key.startswith("SOCIAL_")}
    async with process({**variables, "SOCIAL_DATABASE_POOL_SIZE": "many"}) as started:
        _, told = await started.communicate()
    assert started.returncode == 1
    for name in ("DATABASE_URL", "EMBEDDER_ADDRESS", "RETRIEVER_ADDRESS", "DATABASE_POOL_SIZE"):
        assert f"SOCIAL_{name}:" in told.decode()


async def test_process_migrates_serves_and_ends_cleanly_on_sigterm(
    settings: SocialSettings, nats_server: NatsServer
) -> None:
    async with process(environment(settings, nats_server)) as started:
        await until(lambda: is_serving(settings.listen), timeout_s=60)
        async with connect(settings.listen) as channel:
            stub: catalog_pb2_grpc.CatalogServiceAsyncStub = catalog_pb2_grpc.CatalogServiceStub(channel)
            assert (await stub.GetStats(catalog_pb2.GetStatsRequest(), timeout=TIMEOUT_S)).track_count == 0
        started.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await started.wait() == 0


async def test_process_serves_before_nats_is_there_and_ends_on_sigterm(
    settings: SocialSettings, nats_server: NatsServer
) -> None:
    nats_server.kill()
    async with process(environment(settings, nats_server)) as started:
        await until(lambda: is_serving(settings.listen), timeout_s=60)
        started.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await started.wait() == 0


async def test_lost_connections_are_told_and_made_again(mesh: Mesh, social: Client, sql: Sql) -> None:
    """As when PostgreSQL is killed and started again: nothing but connections is lost."""
    reasons: set[str] = set()
    await social.sign_up("before")
    await sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    async def works_again() -> bool:
        try:
            await social.sign_up("after")
        except DomainError as error:
            reasons.add(error.reason)
            return False
        return True

    await until(works_again)
    assert reasons <= {"DATABASE_UNAVAILABLE"}
    await until(lambda: sql.fetchval("SELECT count(*) = 2 FROM users"))
