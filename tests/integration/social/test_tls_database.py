"""PostgreSQL over TLS: by asyncpg's own variables social believes the server that the CA signed, and no other."""

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local.postgres import Postgres
from services.social import migrate
from services.social.store.database import Database
from services.social.store.locks import LaneLocks
from tests.conftest import free_port
from tests.fakes.certificates import Authority, Files

_PATIENCE_S = 60.0
_IS_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture(scope="module")
def certificates(memory_folder: Path) -> Files:
    return Authority().issue(memory_folder / "tls-postgres-ca", "localhost")


@pytest.fixture(scope="module")
def address(memory_folder: Path, certificates: Files) -> Iterator[str]:
    """A server of its own that listens on a port: there is no TLS on a unix socket."""
    server = Postgres.at(memory_folder / "tls-postgres" / "data", password="test")
    server.initialise()
    port = free_port()
    options = {"listen_addresses": "127.0.0.1", "port": port, "fsync": "off", "ssl": "on"}
    for name, path in (("ssl_cert_file", certificates.certificate), ("ssl_key_file", certificates.key)):
        copy = server.data_folder / path.name
        copy.write_bytes(path.read_bytes())
        server._own(copy)
        copy.chmod(0o600)
        options[name] = str(copy)
    command = [*server.command(), *(part for name, value in options.items() for part in ("-c", f"{name}={value}"))]
    with (server.data_folder.parent / "log").open("wb") as log:
        process = subprocess.Popen(
            command, user=server.user, group=server.user, extra_groups=[], stdout=log, stderr=log, cwd="/"
        )
    try:
        asyncio.run(_until_there(url := f"postgresql://postgres:test@localhost:{port}/postgres"))
        yield url
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)


async def _until_there(url: str) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            try:
                connection = await asyncpg.connect(url)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.05)
                continue
            await connection.close()
            return


@pytest.fixture
def _verified(monkeypatch: pytest.MonkeyPatch, certificates: Files) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(certificates.ca))


@pytest.mark.usefixtures("_verified")
async def test_pools_and_migrations_are_encrypted(address: str) -> None:
    database = await Database.connect(address, size=1, statement_timeout_ms=10_000)
    try:
        async with database.connection() as connection:
            assert await connection.fetchval(_IS_ENCRYPTED) is True
    finally:
        await database.close()
    connection = await migrate.connect(address)
    assert await connection.fetchval(_IS_ENCRYPTED) is True
    await connection.close()
    locks = LaneLocks(address)
    assert await (await locks._connected()).fetchval(_IS_ENCRYPTED) is True
    await locks.close()


@pytest.mark.usefixtures("_verified")
async def test_another_name_or_ca_is_not_believed(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        await asyncpg.connect(address.replace("localhost", "127.0.0.1"))
    monkeypatch.setenv("PGSSLROOTCERT", str(Authority("another-ca").issue(tmp_path, "localhost").ca))
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        await asyncpg.connect(address)
