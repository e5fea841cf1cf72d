"""A social service of several processes with a PostgreSQL and a NATS of its own, any of which is killed with -9."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
from grpc_health.v1 import health_pb2

from deploy.local.postgres import Postgres
from services.chassis.channel import connect
from services.chassis.errors import DomainError
from tests.conftest import NatsServer, free_port

# Of a machine on which everything else runs as well.
PATIENCE_S = 120.0

# What was committed, written by the very transactions that commit it.
NOTE_COMMITTED = """
CREATE TABLE committed_events (id bigint PRIMARY KEY, key text, event_id text, subject text);
CREATE FUNCTION note_committed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO committed_events VALUES (NEW.id, NEW.key, NEW.event_id, NEW.subject);
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_note AFTER INSERT ON outbox FOR EACH ROW WHEN (NEW.kind = 'event')
    EXECUTE FUNCTION note_committed();
"""


class PostgresServer:
    """A PostgreSQL that comes back from what it wrote to disk."""

    def __init__(self, folder: Path) -> None:
        self._server = Postgres.at(folder / "data", password="test")
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self._server.url()

    async def start(self) -> None:
        """Start it, again and again while processes of a killed one are still there."""
        await asyncio.to_thread(self._server.initialise)
        async with asyncio.timeout(PATIENCE_S):
            while not await self._answers():
                if self._process is None or self._process.poll() is not None:
                    self._spawn()
                await asyncio.sleep(0.05)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _spawn(self) -> None:
        user = self._server.user
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._server.command(),
                user=user,
                group=user,
                extra_groups=None if user is None else [],
                stdout=log,
                stderr=log,
                cwd="/",
            )

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url, timeout=30)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True


class SocialProcess:
    """`python -m services.social` on a port of its own."""

    def __init__(self, folder: Path, name: str, database_url: str, nats: NatsServer, **more: str) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.log = folder / f"{name}.log"
        bus = nats.settings("social")
        self._environment = {
            **os.environ,
            "SOCIAL_DATABASE_URL": database_url,
            "SOCIAL_LISTEN": self.address,
            "SOCIAL_EMBEDDER_ADDRESS": "127.0.0.1:1",
            "SOCIAL_RETRIEVER_ADDRESS": "127.0.0.1:1",
            "SOCIAL_DATABASE_POOL_SIZE": "8",
            "SOCIAL_BACKGROUND_POOL_SIZE": "8",
            "SOCIAL_STATEMENT_TIMEOUT_MS": "60000",
            # The long form says more than a person may.
            "SOCIAL_COMMENTS_PER_USER_AND_HOUR": "10000",
            "NATS_URL": bus.url,
            "NATS_USER": bus.user,
            "NATS_PASSWORD": bus.password,
            **more,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def spawn(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.social", env=self._environment, stdout=log, stderr=log
            )

    async def start(self) -> None:
        await self.spawn()
        await self.until_serving()

    async def until_serving(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not await self._is_serving():
                self.check_runs()
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """Kill it while it runs; it must not have ended by itself."""
        self.check_runs()
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    def check_runs(self) -> None:
        assert self._process is not None
        assert self._process.returncode is None, self.log.read_text()[-4000:]

    async def close(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _is_serving(self) -> bool:
        async with connect(self.address) as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            with contextlib.suppress(DomainError):
                answer = await check(health_pb2.HealthCheckRequest(), timeout=5.0)
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
        return False


class Cluster:
    """Everything that may be killed."""

    def __init__(self, folder: Path, nats: NatsServer, size: int) -> None:
        self.postgres = PostgresServer(folder)
        self.nats = nats
        self.processes = [
            SocialProcess(folder, f"social-{number}", self.postgres.url, nats, SOCIAL_TASTE_DELAY_S="1")
            for number in range(size)
        ]

    async def start(self) -> None:
        """Start PostgreSQL, and every process at once on an empty database; note from then on what is committed."""
        await self.postgres.start()
        await asyncio.gather(*(process.start() for process in self.processes))
        async with self.sql() as sql:
            await sql.execute(NOTE_COMMITTED)

    @contextlib.asynccontextmanager
    async def sql(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        connection = await asyncpg.connect(self.postgres.url)
        try:
            yield connection
        finally:
            await connection.close()

    async def close(self) -> None:
        await asyncio.gather(*(process.close() for process in self.processes))
        self.postgres.kill()
