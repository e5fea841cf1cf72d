"""PostgreSQL over TLS: by asyncpg's own variables social believes the server that the CA signed, and no other.

The server at hand is built without TLS, so a door of the test's does the server's side of it.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from deploy.local.postgres import Postgres
from services.social import migrate
from services.social.store.database import Database
from services.social.store.locks import LaneLocks
from tests.fakes.certificates import Authority, Files

_SSL_REQUEST = bytes.fromhex("0000000804d2162f")


class Door:
    """Takes connections with TLS, and passes on what is said over them; all others are closed."""

    def __init__(self, files: Files, socket: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.certificate, files.key)
        self._socket = socket
        self._serving: set[asyncio.Task[None]] = set()
        self.taken = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        task = asyncio.ensure_future(self._pass_on(reader, writer))
        self._serving.add(task)
        try:
            await task
        finally:
            self._serving.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def close(self) -> None:
        """End all connections, and wait for that: what is collected later is an error of some other test."""
        while self._serving:
            for task in self._serving:
                task.cancel()
            await asyncio.sleep(0.01)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if await reader.readexactly(len(_SSL_REQUEST)) == _SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(self._context)
                self.taken += 1
                behind_reader, behind_writer = await asyncio.open_unix_connection(self._socket)
                await asyncio.gather(_passed(reader, behind_writer), _passed(behind_reader, writer))


async def _passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while said := await reader.read(65_536):
            writer.write(said)
            await writer.drain()
    writer.close()


@pytest.fixture
def certificates(tmp_path: Path) -> Files:
    return Authority().issue(tmp_path / "postgres", "localhost")


@pytest.fixture
async def door(postgres: Postgres, certificates: Files) -> AsyncIterator[tuple[Door, str]]:
    [socket] = postgres.socket_folder.glob(".s.PGSQL.*[0-9]")
    made = Door(certificates, socket)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield made, f"postgresql://postgres:{postgres.password}@localhost:{port}/postgres"
    finally:
        server.close()
        await made.close()


@pytest.fixture(autouse=True)
def _verified(monkeypatch: pytest.MonkeyPatch, certificates: Files) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(certificates.ca))


async def test_pools_migrations_and_locks_are_encrypted(door: tuple[Door, str]) -> None:
    made, address = door
    database = await Database.connect(address, size=1, statement_timeout_ms=10_000)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await database.close()
    pooled = made.taken
    assert pooled > 0
    migrating = await migrate.connect(address)
    locks = LaneLocks(address)
    assert await (await locks._connected()).fetchval("SELECT 1") == 1
    assert made.taken == pooled + 2
    await migrating.close()
    await locks.close()


async def test_another_name_or_ca_is_not_believed(
    door: tuple[Door, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, address = door
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        await asyncpg.connect(address.replace("localhost", "127.0.0.1"))
    monkeypatch.setenv("PGSSLROOTCERT", str(Authority("another-ca").issue(tmp_path, "localhost").ca))
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        await asyncpg.connect(address)
    assert made.taken == 0


async def test_server_without_tls_is_told_nothing() -> None:
    heard: list[bytes] = []
    is_over = asyncio.Event()

    async def decline(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.write(b"N")
        heard.append(await reader.read(100))
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        is_over.set()

    server = await asyncio.start_server(decline, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(ConnectionError, match="rejected SSL upgrade"):
        await asyncpg.connect(f"postgresql://postgres:password@localhost:{port}/postgres")
    await asyncio.wait_for(is_over.wait(), 60)
    server.close()
    assert heard == [_SSL_REQUEST, b""]
