"""Starts services of a running mesh again, one after the other, without anybody noticing: `museed restart`."""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import psutil
import typer

from deploy.local import requests
from deploy.local.encoder_commands import DEFAULT_STATE, StateOption
from deploy.local.parts import STAND_IN_SNAPSHOTS
from deploy.local.ports import service_of
from deploy.local.process import Spec, StartError, SupervisedProcess
from deploy.local.requests import RESTART, Refused, Requests
from deploy.local.state import State
from deploy.local.tables import console
from deploy.local.trouble import told_errors
from services.chassis.channel import LONGEST_RECONNECT_MS

# In this order: who is called before who calls.
RESTARTABLE = ("embedder", "embedder-2", "social", "retriever", "gateway")
_INTERVAL_S = 0.2
# A worker's start and the drain of the one before, on a busy machine.
_LONGEST_WORKER_S = 400.0
# Until everybody has tried the address of a newcomer once more.
_FOUND_S = 1.5 * LONGEST_RECONNECT_MS / 1000


class Restarts:
    """The supervisor's side: somebody stands in for a service while that is started again.

    Args:
        state: Holds the requests.
        running: The processes of the mesh.
        stand_in: Describes who stands in for a process.
        add: Starts and supervises a process; raises StartError.
        drop: Ends a process.
    """

    def __init__(
        self,
        state: State,
        running: list[SupervisedProcess],
        stand_in: Callable[[Spec], Spec],
        add: Callable[[Spec], Awaitable[SupervisedProcess]],
        drop: Callable[[SupervisedProcess], Awaitable[None]],
    ) -> None:
        self._state = state
        self._running = running
        self._stand_in = stand_in
        self._add = add
        self._drop = drop
        self._requests = Requests(state, RESTART)
        # By name: who stays until a service that did not come back has; they go then.
        self._staying: dict[str, asyncio.Task[None]] = {}

    async def follow(self) -> None:
        """Serve requests for ever."""
        self._requests.clear()
        while True:
            with contextlib.suppress(OSError):  # a full disk
                await self._requests.serve(self._restart)
            await asyncio.sleep(_INTERVAL_S)

    async def _restart(self, choice: str) -> str:
        if choice and choice not in RESTARTABLE:
            raise Refused("NOTHING_TO_RESTART", f"{choice} is none of {', '.join(RESTARTABLE)}")
        done = []
        for name in [choice] if choice else RESTARTABLE:
            processes = [one for one in self._running if service_of(one.spec.name) == name]
            if processes:
                try:
                    await (self._gateway(processes[0]) if name == "gateway" else self._service(processes))
                except (StartError, OSError) as error:
                    raise Refused("RESTART_FAILED", str(error)) from error
                done.append(name)
        if not done:
            raise Refused("NOTHING_TO_RESTART", f"no {choice} runs in this mesh")
        return ", ".join(done)

    async def _service(self, processes: Sequence[SupervisedProcess]) -> None:
        stand_in = await self.standing_in(processes[0].spec)
        try:
            await asyncio.sleep(_FOUND_S)
            for process in processes:
                if not await _comes_back(stand_in.spec):
                    raise StartError(
                        f"{stand_in.spec.name} does not serve, so nothing was ended; its log: {stand_in.log}"
                    )
                try:
                    await process.restart()
                except StartError:  # tried again meanwhile
                    if not await _comes_back(process.spec):
                        raise
                await asyncio.sleep(_FOUND_S)
        except StartError:
            staying = asyncio.create_task(self._stay_until_back(stand_in, processes))
            self._staying[stand_in.spec.name] = staying
            raise
        await self.leave(stand_in)

    async def standing_in(self, spec: Spec) -> SupervisedProcess:
        """Start who stands in for a process, or take the one that stayed since an earlier attempt failed.

        Raises:
            StartError: It does not start.
        """
        wanted = self._stand_in(spec)
        if staying := self._staying.pop(wanted.name, None):
            await asyncio.wait([staying])  # who is already leaving does so first
        found = next((one for one in self._running if one.spec.name == wanted.name), None)
        return found or await self._add(wanted)

    async def _stay_until_back(self, stand_in: SupervisedProcess, processes: Sequence[SupervisedProcess]) -> None:
        for process in processes:
            while not await process.spec.is_ready():
                if stand_in.spec.name not in self._staying:  # asked to stand in once more
                    return
                await asyncio.sleep(_INTERVAL_S)
        await self.leave(stand_in)

    async def leave(self, stand_in: SupervisedProcess) -> None:
        """End who stood in, and delete what it kept."""
        await self._drop(stand_in)
        kept = self._state / STAND_IN_SNAPSHOTS
        if stand_in.spec.environment.get("RETRIEVER_SNAPSHOT_FOLDER") == str(kept):
            await asyncio.to_thread(shutil.rmtree, kept, ignore_errors=True)

    async def _gateway(self, process: SupervisedProcess) -> None:
        if process.spec.environment["GATEWAY_WORKERS"] == "1":  # nobody keeps its port meanwhile
            await process.restart()
            return
        try:
            keeper = psutil.Process(process.pid or 0)
            before = set(keeper.children())
            keeper.send_signal(signal.SIGHUP)
            async with asyncio.timeout(_LONGEST_WORKER_S * len(before)):
                await _until_replaced(keeper, before)
        except (psutil.Error, TimeoutError) as error:
            raise StartError(f"not all workers of the gateway were replaced; its log: {process.log}") from error


async def _until_replaced(keeper: psutil.Process, before: set[psutil.Process]) -> None:
    """Wait until none of these is left; raises TimeoutError where one of those that come does not stay."""
    came: set[psutil.Process] = set()
    while before & (found := set(keeper.children())):
        if came - found:
            raise TimeoutError
        came |= found - before
        await asyncio.sleep(_INTERVAL_S)


async def _comes_back(spec: Spec) -> bool:
    try:
        async with asyncio.timeout(spec.start_timeout_s):
            while not await spec.is_ready():  # noqa: ASYNC110  # processes tell nobody
                await asyncio.sleep(_INTERVAL_S)
    except TimeoutError:
        return False
    return True


def restart_command(
    part: Annotated[str, typer.Argument(help=f"One of {', '.join(RESTARTABLE)}; without it all of them.")] = "",
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Start services of the running mesh again, one after the other, while others stand in for them.

    A gateway of one process is away for some seconds; with `museed up --replicas 2` no request notices.
    """
    with told_errors(), console.status(f"starting {part or 'everything'} again …"):
        done = requests.ask(State.open(state), part, RESTART)
    console.print(f"Started again: {done}.")
