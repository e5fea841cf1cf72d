"""Real servers for the tests that need them: started once a session, emptied for each test by a name of its own."""

import asyncio
import contextlib
import gc
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import hypothesis
import pytest
from uuid_utils.compat import uuid7

from deploy.local import nats as local_nats
from deploy.local.ports import bind_loopback
from deploy.local.postgres import Postgres
from services.chassis.bus import Bus, BusSettings

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores already: threads of theirs, and of their processes, would only wait for each other.
    for _library in ("OMP", "MKL", "OPENBLAS"):
        os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

# How long an example takes tells of the machine.
hypothesis.settings.register_profile("museed", deadline=None)
hypothesis.settings.load_profile("museed")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and would pass that on to all processes that are to be interrupted here.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 2 * 1024**3
_MEMORY_PREFIX = "museed-tests-"

# What takes longest comes first, so that no worker sits idle beside another that has just begun with it.
_ORDER = ("tests/e2e/", "tests/integration/training/", "tests/integration/", "tests/contract/")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Collect without the garbage collector, and let it never look again at what was collected.

    Tests and modules live to the end: to walk through them again and again took a fifth of the time of collecting.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Every second worker begins at the end, so that each finds half of the asserts rewritten by the other."""
    report = yield
    if isinstance(collector, pytest.Directory) and _worker() % 2:
        report.result.reverse()
    return report


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep in one worker what shares a server: a file, and all files that use the same mesh."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return

    def place(item: pytest.Item) -> tuple[int, str]:
        folder = next((place for place, folder in enumerate(_ORDER) if item.nodeid.startswith(folder)), len(_ORDER))
        return folder, item.nodeid.partition("::")[0]

    items.sort(key=place)
    for item in items:
        path = item.nodeid.partition("::")[0]
        uses_mesh = path.startswith("tests/e2e/") and "mesh" in getattr(item, "fixturenames", ())
        is_shared = uses_mesh and not hasattr(getattr(item, "module", None), "mesh")
        item.add_marker(pytest.mark.xdist_group("mesh" if is_shared else path))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run where groups are not kept: each worker would start every shared mesh for itself."""
    if getattr(session.config.option, "loadgroup", False) and not all("@" in item.nodeid for item in session.items):
        raise pytest.UsageError("this pytest-xdist keeps no groups with this pytest: see pyproject.toml")


_GIVEN_PORTS: deque[int] = deque(maxlen=100)


def _worker() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listens on now, and that neither a test nor the kernel gives away.

    Who shall listen there does so only later, and gRPC lets two servers share a port: each worker of a run has ports of
    its own, and gives none of the last hundred again.
    """
    workers, worker = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)), _worker()
    while True:
        with socket.socket() as probe:
            bind_loopback(probe, 0)
            port: int = probe.getsockname()[1]
        if port not in _GIVEN_PORTS and port % workers == worker:
            _GIVEN_PORTS.append(port)
            return port


@pytest.fixture(scope="session")
def memory_folder() -> Iterator[Path]:
    """A folder for what servers keep: in memory where there is enough of it.

    On a disk, ext4 needs up to a second for the 700 files of a database, and most of that is computing.
    """
    for left in _MEMORY.glob(f"{_MEMORY_PREFIX}*"):
        if not Path("/proc", left.name.split("-")[2]).exists():  # killed before it could tidy up
            shutil.rmtree(left, ignore_errors=True)
    has_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _MEMORY_BYTES
    with tempfile.TemporaryDirectory(
        prefix=f"{_MEMORY_PREFIX}{os.getpid()}-", dir=_MEMORY if has_memory else None, ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL refuses to run as root: another user must come to its own
        yield folder


@pytest.fixture(scope="session")
def postgres(memory_folder: Path) -> Iterator[Postgres]:
    """A PostgreSQL 18 of this session's own. It waits for no disk: a process that is killed loses nothing by that."""
    server = Postgres.at(memory_folder / "postgres" / "data", password="test")
    server.initialise()
    log = (server.data_folder.parent / "log").open("wb")
    process = subprocess.Popen(
        [*server.command(), "-c", "fsync=off"],
        user=server.user,
        group=server.user,
        extra_groups=[],
        stdout=log,
        stderr=log,
        cwd="/",
    )
    try:
        asyncio.run(_until_postgres_answers(server))
        yield server
    finally:
        process.terminate()
        process.wait(60)
        log.close()


async def _until_postgres_answers(server: Postgres) -> None:
    for _ in range(1_200):
        try:
            connection = await asyncpg.connect(server.url())
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.05)
            continue
        # Each of ten connections a test would hash the password 4,096 times, here and there.
        await connection.execute("SET scram_iterations = 1")
        await connection.execute(f"ALTER ROLE postgres PASSWORD '{server.password}'")
        await connection.close()
        return
    raise TimeoutError("PostgreSQL did not start")


@contextlib.asynccontextmanager
async def fresh_database(postgres: Postgres, template: str = "template1") -> AsyncIterator[str]:
    """Yield the address of a copy of a database that nobody uses; without one, of an empty database."""
    name = f"test_{uuid7().hex}"
    await _in_no_database(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
    try:
        yield postgres.url(name)
    finally:
        await _in_no_database(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _in_no_database(postgres: Postgres, statement: str) -> None:
    connection = await asyncpg.connect(postgres.url())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def empty_database_url(postgres: Postgres) -> AsyncIterator[str]:
    """Address of an empty database of this test's own."""
    async with fresh_database(postgres) as url:
        yield url


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """Address of the database that a test works on."""
    return empty_database_url


class NatsServer:
    """A nats-server with JetStream that a test may stop, start again, and rob of its store."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.store = folder / "store"
        self._config = folder / "nats.json"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._config.write_text(
            local_nats.render_config(self.port, self.store, {name: name for name in local_nats.PERMISSIONS})
        )

    def settings(self, service: str = "social") -> BusSettings:
        """Return the settings under which a service connects."""
        return BusSettings(url=f"nats://127.0.0.1:{self.port}", user=service, password=service)

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(local_nats.command(self._config), stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return
            time.sleep(0.02)
        raise TimeoutError("nats-server did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None


@pytest.fixture
def nats_server(memory_folder: Path) -> Iterator[NatsServer]:
    """A NATS of this test's own, with an empty store."""
    with tempfile.TemporaryDirectory(prefix="nats-", dir=memory_folder, ignore_cleanup_errors=True) as name:
        server = NatsServer(Path(name))
        server.start()
        yield server
        server.kill()


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    """Social's connection to this test's NATS, streams provisioned."""
    connection = await Bus.connect(nats_server.settings("social"), "social")
    await connection.ensure_streams()
    yield connection
    await connection.close()
