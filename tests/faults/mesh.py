"""A whole mesh in this process's hands, every connection of which goes over a link that can be broken."""

import asyncio
import contextlib
import json
import os
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import psutil

from deploy.local import process as local_process
from deploy.local import requests
from deploy.local.mesh import Announce, Mesh
from deploy.local.ports import LOOPBACK
from deploy.local.postgres import Postgres
from deploy.local.process import Spec, StartError, SupervisedProcess
from deploy.local.settings import LocalSettings
from deploy.local.state import State
from tests.conftest import free_port
from tests.faults.link import Address, Link
from tests.faults.plan import EDGES, SERVICES

_SOCKET = ".s.PGSQL.5432"
# Children that die often are started again as quickly as those that die once.
_LASTING_RUN_S = 1.0
# So that there are some to tear, and to start from, in a run of two minutes.
_SNAPSHOTS = {"RETRIEVER_SNAPSHOT_AFTER_CHANGES": "3", "RETRIEVER_SNAPSHOT_INTERVAL_S": "5"}


def clock_library() -> Path | None:
    """Return libfaketime, of the wheel or of the system; None where there is none and no clock can jump."""
    found = find_spec("libfaketime")
    places = [Path(found.origin).parent] if found is not None and found.origin is not None else []
    for folder in [
        *places,
        *Path("/usr/lib").glob("*/faketime"),
        Path(os.environ.get("LIBFAKETIME_FOLDER", "/nowhere")),
    ]:
        for library in sorted(folder.rglob("libfaketime.so.1")):
            return library
    return None


def clock_environment(file: Path) -> dict[str, str]:
    """Return what has a process read its clock from a file; nothing where no clock can jump."""
    if (library := clock_library()) is None:
        return {}
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        "NO_FAKE_STAT": "1",
        "FAKE_SLEEP": "0",
    }


def write_clock(file: Path, offset_s: float) -> None:
    """Say how far from the right time the clock is that is read from a file."""
    file.write_text(f"{offset_s:+.0f}")


def _ports(value: int | dict[str, int]) -> set[int]:
    return {value} if isinstance(value, int) else set(value.values())


class FaultyMesh(Mesh):
    """A mesh whose processes find each other over links, and read their clocks from files.

    Args:
        state: Where everything is kept.
        announce: Called with sentences for people.
        dice: Decides how far delays stray.
    """

    def __init__(self, state: State, announce: Announce, dice: random.Random) -> None:
        settings = LocalSettings(
            state=state.folder, gateway_port=0, social_port=0, embedder_port=0, retriever_port=0, nats_port=0
        )
        super().__init__(settings, state, announce)
        self.state = state
        # Not one of those that are taken only when their processes start.
        taken = {port for value in asdict(self.ports).values() for port in _ports(value)}
        self._monitor_port = next(port for port in iter(free_port, None) if port not in taken)
        self.links = {f"{caller}-{called}": Link(self._server(called), dice) for caller, called in EDGES}

    @property
    def database(self) -> Postgres:
        """The database itself, over no link."""
        return self._postgres

    @property
    def nats_store(self) -> Path:
        """Where JetStream keeps its streams."""
        return self.state / "nats"

    @property
    def nats_monitor_url(self) -> str:
        """Where NATS tells of itself."""
        return f"http://{LOOPBACK}:{self._monitor_port}"

    @property
    def people_url(self) -> str:
        """Where people find the gateway, over a link."""
        return self._url("people", "gateway")

    def process(self, name: str) -> SupervisedProcess:
        """Return one of the processes."""
        return next(process for process in self._running if process.spec.name == name)

    @property
    def names(self) -> list[str]:
        """Names of all processes, those included that stand in for others."""
        return [process.spec.name for process in self._running]

    def whole(self, name: str) -> list[psutil.Process]:
        """Return a process and its children, as far as they are there now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if (pid := self.process(name).pid) is not None:
                top = psutil.Process(pid)
                return [top, *top.children(recursive=True)]
        return []

    async def is_whole(self) -> bool:
        """Whether every process runs and says that it works."""
        return all([process.pid is not None and await process.spec.is_ready() for process in self._running])

    def set_clock(self, name: str, offset_s: float) -> None:
        """Have a service's clock jump to so many seconds from the right time."""
        write_clock(self.state / f"clock-{name}", offset_s)

    @contextlib.asynccontextmanager
    async def standing_in(self, name: str) -> AsyncIterator[bool]:
        """Have somebody stand in for a service meanwhile, as while it is restarted; False where nobody can start."""
        stand_in = None
        with contextlib.suppress(StartError, OSError):
            stand_in = await self._restarts.standing_in(self.process(name).spec)
        try:
            yield stand_in is not None
        finally:
            if stand_in is not None:
                await self._restarts.leave(stand_in)

    async def ask_for_restart(self, name: str) -> None:
        """Ask for a service to be started again while somebody stands in for it, as `museed restart` does.

        Raises:
            ClientError: It was refused, or did not succeed.
        """
        await asyncio.to_thread(requests.ask, self.state, name, requests.RESTART)

    async def open_links(self) -> None:
        """Listen on every link; before `start`."""
        for (_, called), link in zip(EDGES, self.links.values(), strict=True):
            if called == "postgres":
                folder = self.state / "link"
                folder.mkdir(exist_ok=True)
                (folder / _SOCKET).unlink(missing_ok=True)
                await link.open(folder / _SOCKET)
            else:
                await link.open()

    async def close_links(self) -> None:
        """Close all of them; they pass on what they held back before."""
        for link in self.links.values():
            link.heal()
            await link.close()

    def _write_nats_config(self) -> None:
        super()._write_nats_config()
        path = self.state / "nats.json"
        config = {**json.loads(path.read_text()), "http": f"{LOOPBACK}:{self._monitor_port}"}
        path.write_text(json.dumps(config))

    async def _launch(self, *specs: Spec) -> list[SupervisedProcess]:
        return await super()._launch(*(replace(spec, environment=self._environment(spec)) for spec in specs))

    def _environment(self, spec: Spec) -> Mapping[str, str]:
        name = spec.name.removesuffix("-stand-in")
        if name not in SERVICES:
            return spec.environment
        changed = dict(spec.environment)
        for caller, called in EDGES:
            if caller != name:
                continue
            if called == "nats":
                changed["NATS_URL"] = self._url(name, called).replace("http", "nats")
            elif called == "postgres":
                url = changed["SOCIAL_DATABASE_URL"]
                changed["SOCIAL_DATABASE_URL"] = url.replace(
                    f"host={self._postgres.socket_folder}", f"host={self.state / 'link'}"
                )
            else:
                setting, (_, port) = f"{caller}_{called}_ADDRESS".upper(), self._tcp(caller, called)
                # The second address is of who stands in for it: nobody, as most of the time.
                changed[setting] = f"ipv4:{LOOPBACK}:{port},{LOOPBACK}:{self.ports.stand_ins[called]}"
        return {**changed, **_SNAPSHOTS, **self._clock(name)}

    def _clock(self, name: str) -> dict[str, str]:
        if not (self.state / f"clock-{name}").exists():  # it may be off just now, also for who stands in
            self.set_clock(name, 0)
        return clock_environment(self.state / f"clock-{name}")

    def _server(self, called: str) -> Address:
        if called == "postgres":
            return self._postgres.socket_folder / _SOCKET
        return LOOPBACK, getattr(self.ports, called)

    def _tcp(self, caller: str, called: str) -> tuple[str, int]:
        address = self.links[f"{caller}-{called}"].address
        assert isinstance(address, tuple)
        return address

    def _url(self, caller: str, called: str) -> str:
        host, port = self._tcp(caller, called)
        return f"http://{host}:{port}"


@contextlib.asynccontextmanager
async def faulty_mesh(folder: Path, announce: Announce, dice: random.Random) -> AsyncIterator[FaultyMesh]:
    """Run a mesh of its own in a folder; it is watched meanwhile and stopped at the end, whatever was done to it."""
    state = State.open(folder)
    lasting_run_s, local_process._LASTING_RUN_S = local_process._LASTING_RUN_S, _LASTING_RUN_S
    with state.lock():
        mesh = FaultyMesh(state, announce, dice)
        await mesh.open_links()
        try:
            await mesh.start()
            watching = asyncio.create_task(mesh.watch())
            try:
                yield mesh
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
                await mesh.stop()
        finally:
            await mesh.close_links()
            local_process._LASTING_RUN_S = lasting_run_s
