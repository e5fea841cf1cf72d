"""Runs social as the process that it is, over a population that is loaded once and kept."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from benchmarks.embedder_.service import await_ready
from benchmarks.people.population import Population, Sizes, load, loaded
from deploy.local.postgres import Postgres
from services.chassis.bus import BusSettings
from services.social.domain.accounts import Role
from services.social.domain.ids import SessionId, UserId, new_id
from services.social.domain.tokens import SigningKey, TokenIssuer
from services.social.migrate import migrate, read_migrations
from tests.conftest import NatsServer, free_port

_START_S = 60
_UNREFINED = "SELECT EXISTS (SELECT FROM tracks WHERE refined < 1)"


@dataclass(frozen=True, slots=True)
class Social:
    """A running service.

    Attributes:
        address: Where it listens.
        database_url: Of its database.
        bus: How to reach its NATS, as social.
        folder: Of this run, on the disk that PostgreSQL writes to.
        postgres_log: What PostgreSQL says.
        population: Who is there.
        issuer: Signs tokens as the service does.
    """

    address: str
    database_url: str
    bus: BusSettings
    folder: Path
    postgres_log: Path
    population: Population
    issuer: TokenIssuer

    def token(self, user_id: str, role: Role = Role.USER) -> str:
        """Return an access token of a person; valid for 15 minutes."""
        return self.issuer.access_token(UserId(user_id), role, SessionId(new_id()), datetime.now(UTC))[0]


@contextlib.contextmanager
def running_social(sizes: Sizes, kept: Path | None = None, processes: int = 1) -> Iterator[Social]:
    """Run PostgreSQL, NATS and social until the context ends.

    Args:
        sizes: Of the population.
        kept: Folder where the loaded database stays, to be used again; None for one that goes with the run.
        processes: Of social, all alike; the first one answers.
    """
    with tempfile.TemporaryDirectory(prefix="museed-bench-") as text, contextlib.ExitStack() as stack:
        folder = Path(text)
        postgres = Postgres.at((kept or folder) / "postgres" / "data", password="benchmark")
        postgres.initialise()
        log = folder / "postgres.log"
        stack.enter_context(_process(postgres.command(), log, user=postgres.user))
        url = asyncio.run(_prepared(postgres, sizes))
        population = asyncio.run(loaded(url))
        if population is None:
            asyncio.run(load(url, sizes))
            population = asyncio.run(loaded(url))
        assert population is not None
        nats = NatsServer(folder)
        nats.start()
        stack.callback(nats.kill)
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(processes)]
        bus = nats.settings("social")
        for number, address in enumerate(addresses):
            environment = {
                "SOCIAL_DATABASE_URL": url,
                "SOCIAL_LISTEN": address,
                # Nobody listens on the discard port: there is neither embedder nor retriever.
                "SOCIAL_EMBEDDER_ADDRESS": "127.0.0.1:9",
                "SOCIAL_RETRIEVER_ADDRESS": "127.0.0.1:9",
                "SOCIAL_LOG_LEVEL": "WARNING",
                "NATS_URL": bus.url,
                "NATS_USER": bus.user,
                "NATS_PASSWORD": bus.password,
            }
            service_log = folder / f"social-{number}.log"
            command = [sys.executable, "-m", "services.social"]
            process = stack.enter_context(_process(command, service_log, environment=environment))
            await_ready(address, process, service_log, _START_S)
        asyncio.run(_refined(url))
        key = asyncio.run(_signing_key(url))
        yield Social(addresses[0], url, bus, folder, log, population, TokenIssuer([key]))


async def _prepared(postgres: Postgres, sizes: Sizes) -> str:
    """Return the address of a migrated database for a population of that size."""
    name = f"people_{sizes.users}_{sizes.playlists}_{sizes.likes}_{sizes.tracks}"
    deadline = time.monotonic() + 30
    while True:
        try:
            sql = await asyncpg.connect(postgres.url())
            break
        except (OSError, asyncpg.PostgresError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
    try:
        if not await sql.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name):
            await sql.execute(f'CREATE DATABASE "{name}"')
    finally:
        await sql.close()
    url = postgres.url(name)
    await migrate(url, read_migrations())
    return url


async def _refined(url: str) -> None:
    """Wait until the service has made artists, albums and Korean letters of all tracks, as it does after an upgrade."""
    sql = await asyncpg.connect(url, command_timeout=600)
    try:
        was_refined = not await sql.fetchval(_UNREFINED)
        while await sql.fetchval(_UNREFINED):
            await sql.execute("SELECT pg_sleep(0.5)")
        if not was_refined:
            await sql.execute("VACUUM ANALYZE tracks")
    finally:
        await sql.close()


async def _signing_key(url: str) -> SigningKey:
    sql = await asyncpg.connect(url)
    try:
        row = await sql.fetchrow("SELECT key_id, private_key FROM signing_keys ORDER BY created_at DESC LIMIT 1")
    finally:
        await sql.close()
    assert row is not None  # the service has made one
    return SigningKey(row["key_id"], row["private_key"])


@contextlib.contextmanager
def _process(
    command: list[str], log: Path, environment: dict[str, str] | None = None, user: str | None = None
) -> "Iterator[subprocess.Popen[bytes]]":
    others = {"user": user, "group": user, "extra_groups": []} if user else {}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=os.environ | (environment or {}), stdout=file, stderr=file, cwd="/" if user else None, **others
        )
        try:
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timedelta(seconds=60).total_seconds())
            process.kill()
