"""The whole mesh on one machine: PostgreSQL, NATS and the four services as children of one supervisor."""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from deploy.local import account, nats
from deploy.local.encoders import Encoders
from deploy.local.observe import observed
from deploy.local.parts import Parts
from deploy.local.ports import LOOPBACK, Ports, service_of
from deploy.local.postgres import Postgres, PostgresError
from deploy.local.process import Spec, StartError, SupervisedProcess
from deploy.local.restarts import Restarts
from deploy.local.settings import LocalSettings
from deploy.local.shipped_model import keep_shipped, refuse_another, startable
from deploy.local.state import Pin, State
from deploy.local.tables import console
from museed.social.v1 import accounts_pb2, accounts_pb2_grpc
from services.chassis.channel import connect
from services.chassis.errors import AlreadyExists

Announce = Callable[[str], None]
_AUTO = "auto"


class Mesh:
    """A local mesh. `start` returns when it works; `watch` keeps it so; `stop` ends it cleanly.

    Args:
        settings: Ports, encoder.
        state: Where everything is kept.
        announce: Called with sentences for people.
        more: Variables that every service gets.
    """

    def __init__(
        self, settings: LocalSettings, state: State, announce: Announce, more: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.ports = Ports.choose(settings)
        self._settings = settings
        self._state = state
        self._announce = announce
        self._postgres = Postgres.at(state / "postgres", state.secret("postgres"))
        self._parts = Parts(state, self.ports, self._postgres, settings.gateway_processes, more)
        self._running: list[SupervisedProcess] = []
        self._watching: asyncio.TaskGroup | None = None
        self._encoders = Encoders(state, self.ports, self._parts.embedder, self._add_all, self._drop_all, announce)
        self._restarts = Restarts(state, self._running, self._parts.stand_in, self._add, self._drop)

    async def start(self) -> None:
        """Start everything in order and wait until the gateway says that it is ready.

        Raises:
            StartError: A part did not start; what had started is stopped again.
        """
        try:
            await self._prepare_postgres()
            self._write_nats_config()
            await self._launch(self._parts.postgres(), self._parts.nats())
            encoder_id = await self._start_encoder()
            await self._launch_all(self._parts.social(), self._parts.retriever(encoder_id))
            await self._make_operator()
            await self._launch(self._parts.gateway())
        except BaseException:
            await self.stop()
            raise
        where = {"url": self.ports.url, "pid": os.getpid(), "metrics": self.ports.metrics_urls}
        self._state.write_json("mesh.json", where)

    async def watch(self) -> None:
        """Keep every part running, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._watching = tasks
            for process in self._running:
                tasks.create_task(process.watch())
            tasks.create_task(self._record())
            tasks.create_task(self._encoders.follow())
            tasks.create_task(self._restarts.follow())

    async def stop(self) -> None:
        """Stop everything in reverse order: first the door, last the truth."""
        (self._state / "mesh.json").unlink(missing_ok=True)
        for process in reversed(self._running):
            await process.stop()
        self._running.clear()

    async def _launch(self, *specs: Spec) -> list[SupervisedProcess]:
        started = time.monotonic()
        processes = [SupervisedProcess(spec, self._state / "logs", self._announce) for spec in specs]
        self._running += processes
        results = await asyncio.gather(*(process.start() for process in processes), return_exceptions=True)
        for process, result in zip(processes, results, strict=True):
            if isinstance(result, BaseException):
                if isinstance(result, StartError):
                    self._running.remove(process)
                raise result
        self._record_now()
        names = ", ".join(spec.name for spec in specs)
        self._announce(f"{names} ready in {time.monotonic() - started:.1f} s")
        return processes

    async def _launch_all(self, *specs: Spec) -> list[SupervisedProcess]:
        """Start all processes of services: first one of each, which makes what they share (schema, artifacts)."""
        processes = await self._launch(*specs)
        if others := [replica for spec in specs for replica in self._parts.replicas(spec)]:
            processes += await self._launch(*others)
        return processes

    async def _add(self, spec: Spec) -> SupervisedProcess:
        """Start a process, before or while the others are watched."""
        [process] = await self._launch(spec)
        if self._watching is not None:
            self._watching.create_task(process.watch())
        return process

    async def _add_all(self, spec: Spec) -> SupervisedProcess:
        """Start all processes of a service, or none; returns the first."""
        try:
            processes = await self._launch_all(spec)
        except BaseException:
            await self._drop_named(spec.name)
            raise
        if self._watching is not None:
            for process in processes:
                self._watching.create_task(process.watch())
        return processes[0]

    async def _drop_all(self, process: SupervisedProcess) -> None:
        await self._drop_named(process.spec.name)

    async def _drop_named(self, service: str) -> None:
        for process in [one for one in self._running if service_of(one.spec.name) == service]:
            await self._drop(process)

    async def _drop(self, process: SupervisedProcess) -> None:
        await process.stop()
        self._running.remove(process)

    async def _record(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            try:
                await asyncio.to_thread(self._record_now)
            except OSError as error:  # a full disk: the mesh goes on, only the next start clears less
                self._announce(f"cannot note the running processes: {error.strerror}")

    def _record_now(self) -> None:
        self._state.record_processes({p.spec.name: p.pid for p in self._running if p.pid is not None})

    async def _make_operator(self) -> None:
        """Make the first account, which is the admin, before the door opens: nobody else can be first."""
        who = account.operator(self._state)
        request = accounts_pb2.SignUpRequest(
            username=who.username, nickname=who.username, email=who.sign_up_email or "", password=who.password
        )
        async with connect(f"{LOOPBACK}:{self.ports.social}") as channel:
            with contextlib.suppress(AlreadyExists):
                await accounts_pb2_grpc.AccountServiceStub(channel).SignUp(request, timeout=20)

    async def _prepare_postgres(self) -> None:
        try:
            await asyncio.to_thread(self._postgres.initialise)
        except PostgresError as error:
            raise StartError(str(error)) from error

    def _write_nats_config(self) -> None:
        passwords = {user: self._state.secret(f"nats_{user}") for user in nats.PERMISSIONS}
        path = self._state / "nats.json"
        path.touch(mode=0o600)
        path.write_text(nats.render_config(self.ports.nats, self._state / "nats", passwords))

    async def _start_encoder(self) -> str:
        """Start the encoder that serves this library; vectors of two encoders do not mix, so no other will do."""
        pin = Pin.read(self._state)
        choice = _resolved(self._settings.encoder)
        if pin is not None and choice in (_AUTO, pin.choice):
            choice = await asyncio.to_thread(startable, self._state, pin.encoder_id, pin.choice)
        model = await self._encoders.start(choice)
        if pin is None:
            name = model.name if choice == _AUTO else choice
            Pin(model.encoder_id).remember(model.encoder_id, name).write(self._state)
        elif pin.encoder_id != model.encoder_id:
            raise refuse_another(pin.encoder_id, pin.choice, model.encoder_id, choice)
        try:
            await asyncio.to_thread(keep_shipped, self._state, model.encoder_id)
        except StartError as error:  # what serves now goes on; only a later version would miss the copy
            self._announce(str(error))
        self._announce(f"encoder {model.encoder_id}: {model.dimension} dimensions on {model.device}")
        return model.encoder_id


def _resolved(choice: str) -> str:
    """Make a folder absolute: it is kept, and read again from elsewhere."""
    return str(Path(choice).resolve()) if Path(choice).is_dir() else choice


@contextlib.asynccontextmanager
async def running_mesh(settings: LocalSettings, announce: Announce) -> AsyncIterator[Mesh]:
    """Run a mesh inside an `async with`; it is watched meanwhile and stopped at the end.

    Yields:
        The Mesh, ready.

    Raises:
        StateError: The state folder or a port is taken.
        StartError: A part did not start.
    """
    state = State.open(settings.state)
    with state.lock():
        async with observed(settings.observe, console) as more, _running(settings, state, announce, more) as mesh:
            yield mesh


@contextlib.asynccontextmanager
async def _running(
    settings: LocalSettings, state: State, announce: Announce, more: Mapping[str, str]
) -> AsyncIterator[Mesh]:
    if cleared := await asyncio.to_thread(state.clear_leftovers):
        announce(f"cleared what a killed mesh left behind: {', '.join(cleared)}")
    shutil.rmtree(state / "spool", ignore_errors=True)
    (state / "spool").mkdir()
    mesh = Mesh(settings, state, announce, more)
    await mesh.start()
    watching = asyncio.create_task(mesh.watch())
    try:
        yield mesh
    finally:
        watching.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        finally:
            await mesh.stop()
