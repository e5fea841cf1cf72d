"""Does to a mesh what a plan says, and heals it again."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import psutil

from clients.python.errors import ClientError
from deploy.local.process import StartError
from tests.faults.files import tear, tearable, wipe
from tests.faults.link import Link
from tests.faults.mesh import FaultyMesh
from tests.faults.plan import PROCESSES, Fault, Kind

_DEATH_S = 20.0
_RESTART_S = 60.0
# How long a fault waits for what it needs: a child, an upload that is coming, a snapshot.
_OCCASION_S = 20.0
_LOOK_INTERVAL_S = 0.005


class Inflictor:
    """Inflicts faults; several at once where a plan says so.

    Args:
        mesh: The victim.
        seed: Decides what a fault leaves open, as which file is torn.

    Attributes:
        done: What was done, in the order of the ends. What found no occasion is noted as the kill that it was.
        overlapping: How many began while another one lasted for the same process, or for a link of it.
    """

    def __init__(self, mesh: FaultyMesh, seed: int) -> None:
        self._mesh = mesh
        self._seed = seed
        self._restarting = {name: asyncio.Lock() for name in PROCESSES}
        self._replacing = asyncio.Lock()
        self._under_way: list[Fault] = []
        self.done: list[Fault] = []
        self.overlapping = 0

    async def run(self, faults: Sequence[Fault], announce: Callable[[Fault], None] = lambda _: None) -> None:
        """Inflict all faults of a plan, each at its time, and return when all are healed."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for fault in faults:
                    await asyncio.sleep(fault.after_s)
                    announce(fault)
                    tasks.create_task(self.inflict(fault))
        finally:
            self.heal()

    async def inflict(self, fault: Fault) -> None:
        """Inflict one fault and heal it."""
        self.overlapping += any(_victims(fault) & _victims(other) for other in self._under_way)
        self._under_way.append(fault)
        try:
            is_done = await self._do(fault)
        finally:
            self._under_way.remove(fault)
        self.done.append(fault if is_done else replace(fault, kind=Kind.KILL))

    def heal(self) -> None:
        """Take back whatever is still broken."""
        for link in self._mesh.links.values():
            link.heal()
        for name in PROCESSES:
            self._signal(self._mesh.whole(name), signal.SIGCONT)

    async def _do(self, fault: Fault) -> bool:
        """Do it; say whether it was what the plan says."""
        match fault.kind:
            case Kind.KILL:
                self._kill(fault.target)
            case Kind.KILL_CHILD:
                return await self._kill_child(fault)
            case Kind.BLACKOUT:
                for name in PROCESSES:
                    self._kill(name, with_children=True)
            case Kind.RESTART:
                await self._restart(fault.target)
            case Kind.REPLACE:
                await self._replace(fault.target)
            case Kind.PAUSE:
                await self._pause(fault)
            case Kind.OVERSLEEP:
                await self._oversleep(fault)
            case Kind.WIPE:
                self._kill_and_wait(fault.target)
                wipe(self._mesh)
            case Kind.TEAR:
                return await self._tear(fault)
            case Kind.FULL:
                await self._fill(fault)
            case Kind.CLOCK:
                self._mesh.set_clock(fault.target, fault.amount)
                await asyncio.sleep(fault.lasts_s)
                self._mesh.set_clock(fault.target, 0)
            case _:
                await self._break_link(fault, self._mesh.links[fault.target])
        return True

    def _kill(self, name: str, *, with_children: bool = False) -> None:
        self._signal(self._mesh.whole(name)[: None if with_children else 1], signal.SIGKILL)

    def _kill_and_wait(self, name: str) -> None:
        """Kill a process, and return before its supervisor, which this very thread runs, starts it again."""
        processes = self._mesh.whole(name)
        self._kill(name, with_children=True)
        deadline = time.monotonic() + _DEATH_S
        while any(_lives(process) for process in processes) and time.monotonic() < deadline:
            time.sleep(_LOOK_INTERVAL_S)

    async def _kill_child(self, fault: Fault) -> bool:
        if not await _comes(lambda: bool(self._mesh.whole(fault.target)[1:])):
            self._kill(fault.target)
            return False
        child = self._dice(fault).choice(self._mesh.whole(fault.target)[1:])
        self._signal([child], signal.SIGKILL)
        return True

    async def _restart(self, name: str) -> None:
        async with self._restarting[name]:
            process = self._mesh.process(name)
            if process.pid is not None:
                # It may be killed, or its link be silent, while it starts: then its supervisor goes on trying.
                with contextlib.suppress(StartError, TimeoutError):
                    await asyncio.wait_for(process.restart(), _RESTART_S)

    async def _replace(self, name: str) -> None:
        # Who asks while another waits is refused; so is who asks for what cannot start just now.
        async with self._replacing, self._restarting[name]:
            with contextlib.suppress(ClientError):
                await self._mesh.ask_for_restart(name)

    async def _pause(self, fault: Fault) -> None:
        paused = self._mesh.whole(fault.target)
        self._signal(paused, signal.SIGSTOP)
        await asyncio.sleep(fault.lasts_s)
        self._signal(paused, signal.SIGCONT)

    async def _oversleep(self, fault: Fault) -> None:
        """Pause a process until others have taken what it held, and let it find out."""
        async with self._restarting[fault.target], self._mesh.standing_in(fault.target):
            await self._pause(fault)

    async def _tear(self, fault: Fault) -> bool:
        """Kill a process while it has files that may be torn, and tear some of them."""

        def has_come() -> bool:
            if not tearable(self._mesh, fault.target):
                return False
            stopped = self._mesh.whole(fault.target)
            self._signal(stopped, signal.SIGSTOP)
            if found := bool(tearable(self._mesh, fault.target)):
                return found
            self._signal(stopped, signal.SIGCONT)
            return False

        await _comes(has_come)
        self._kill_and_wait(fault.target)
        return bool(tear(tearable(self._mesh, fault.target), fault.amount, self._dice(fault)))

    async def _fill(self, fault: Fault) -> None:
        """Have every write to a file fail, as on a full disk, for the processes that run now."""
        before = {}
        for process in self._mesh.whole(fault.target):
            with contextlib.suppress(psutil.Error):
                before[process] = _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
                process.rlimit(psutil.RLIMIT_FSIZE, (0, hard))
        await asyncio.sleep(fault.lasts_s)
        for process, limits in before.items():
            # A child that decodes may have set a lower bound for itself meanwhile.
            with contextlib.suppress(psutil.Error, ValueError):
                process.rlimit(psutil.RLIMIT_FSIZE, limits)

    async def _break_link(self, fault: Fault, link: Link) -> None:
        match fault.kind:
            case Kind.RESET:
                return link.reset()
            case Kind.STRAND:
                return link.strand()
            case Kind.DELAY:
                link.delay_s, link.jitter_s = fault.amount, fault.amount / 2
            case Kind.THROTTLE:
                link.bytes_per_s = fault.amount
            case Kind.SLOW_READER:
                link.bytes_per_s_down = fault.amount
            case Kind.CUT:
                link.cut()
            case Kind.SILENCE:
                link.silence()
        await asyncio.sleep(fault.lasts_s)
        if fault.kind == Kind.SLOW_READER:  # NATS ends the connection of who reads too slowly
            link.reset()
        link.heal()

    def _dice(self, fault: Fault) -> random.Random:
        return random.Random(f"{self._seed} {fault.number}")

    def _signal(self, processes: Sequence[psutil.Process], number: signal.Signals) -> None:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


async def _comes(is_there: Callable[[], bool]) -> bool:
    """Wait for an occasion, but not for ever, and say whether it came."""
    deadline = time.monotonic() + _OCCASION_S
    while not (found := is_there()) and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_INTERVAL_S)
    return found


def _victims(fault: Fault) -> set[str]:
    return set(PROCESSES) if fault.kind == Kind.BLACKOUT else set(fault.target.split("-"))


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
