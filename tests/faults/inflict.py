"""Does to a mesh what a plan says, and heals it again."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import psutil

from clients.python.errors import ClientError
from deploy.local.process import StartError
from tests.faults.files import tear, tearable, wipe
from tests.faults.link import Link
from tests.faults.mesh import FaultyMesh
from tests.faults.plan import PROCESSES, Fault, Kind

_DEATH_S = 20.0
_RESTART_S = 60.0
# A stand-in comes, the service goes and comes.
_REPLACED_S = 180.0
# How long a fault waits for what it needs: a child, an upload that is coming, a snapshot.
_OCCASION_S = 20.0
_LOOK_INTERVAL_S = 0.005


class Inflictor:
    """Inflicts faults; several at once where a plan says so.

    Args:
        mesh: The victim.
        seed: Decides what a fault leaves open, as which file is torn.

    Attributes:
        done: What was done, in the order of the ends, each as what it came to: see `_do`.
        missed: Those that found nothing to be done to, as a process that was away anyhow, or were refused.
        overlapping: How many began while another one lasted or waited for the same process, or for a link of it.
        wiped_at: When NATS was dead before its store was wiped last; None where it never was.
    """

    def __init__(self, mesh: FaultyMesh, seed: int) -> None:
        self._mesh = mesh
        self._seed = seed
        self._restarting = {name: asyncio.Lock() for name in PROCESSES}
        self._replacing = asyncio.Lock()
        self._under_way: list[Fault] = []
        self._asleep: set[psutil.Process] = set()
        self.done: list[Fault] = []
        self.missed: list[Fault] = []
        self.overlapping = 0
        self.wiped_at: datetime | None = None

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
            came_to = await self._do(fault)
        finally:
            self._under_way.remove(fault)
        if came_to is None:
            self.missed.append(fault)
        else:
            self.done.append(replace(fault, kind=came_to))

    def heal(self) -> None:
        """Take back whatever is still broken."""
        for link in self._mesh.links.values():
            link.heal()
        for name in PROCESSES:
            self._signal(self._mesh.whole(name), signal.SIGCONT)

    async def _do(self, fault: Fault) -> Kind | None:
        """Do it, and return what it came to: another kind where it was cut short, None where it was nothing."""
        name, is_done = fault.target, True
        match fault.kind:
            case Kind.KILL:
                is_done = self._kill(name)
            case Kind.KILL_CHILD:
                return await self._kill_child(fault)
            case Kind.BLACKOUT:
                for each in self._mesh.names:
                    self._kill(each, with_children=True)
            case Kind.RESTART:
                is_done = await self._restart(name)
            case Kind.REPLACE:
                is_done = await self._replace(name)
            case Kind.PAUSE:
                is_done = bool(await self._pause(fault))
            case Kind.OVERSLEEP:
                return await self._oversleep(fault)
            case Kind.WIPE:
                self._kill_and_wait(name)
                self.wiped_at = datetime.now(UTC)
                wipe(self._mesh)
            case Kind.TEAR:
                return await self._tear(fault)
            case Kind.FULL:
                is_done = await self._fill(fault)
            case Kind.CLOCK:
                self._mesh.set_clock(name, fault.amount)
                await asyncio.sleep(fault.lasts_s)
                self._mesh.set_clock(name, 0)
            case _:
                await self._break_link(fault, self._mesh.links[name])
        return fault.kind if is_done else None

    def _kill(self, name: str, *, with_children: bool = False) -> bool:
        killed = self._mesh.whole(name)[: None if with_children else 1]
        self._signal(killed, signal.SIGKILL)
        return bool(killed)

    def _kill_and_wait(self, name: str) -> bool:
        """Kill a process, and return before its supervisor, which this very thread runs, starts it again."""
        processes = self._mesh.whole(name)
        self._kill(name, with_children=True)
        deadline = time.monotonic() + _DEATH_S
        while any(_lives(process) for process in processes) and time.monotonic() < deadline:
            time.sleep(_LOOK_INTERVAL_S)
        return bool(processes)

    async def _kill_child(self, fault: Fault) -> Kind | None:
        children: list[psutil.Process] = []

        def has_come() -> bool:
            children[:] = [child for child in self._mesh.whole(fault.target)[1:] if _lives(child)]
            return bool(children)

        if not await _comes(has_come):
            return Kind.KILL if self._kill(fault.target) else None
        self._signal([self._dice(fault).choice(children)], signal.SIGKILL)
        return fault.kind

    async def _restart(self, name: str) -> bool:
        async with self._restarting[name]:
            process = self._mesh.process(name)
            if process.pid is None:
                return False
            # It may be killed, or its link be silent, while it starts: then its supervisor goes on trying.
            with contextlib.suppress(StartError, TimeoutError):
                await asyncio.wait_for(process.restart(), _RESTART_S)
            return True

    async def _replace(self, name: str) -> bool:
        # Who asks while another waits is refused; so is who asks for what cannot start just now.
        async with self._replacing, self._restarting[name]:
            with contextlib.suppress(ClientError, TimeoutError):
                await asyncio.wait_for(self._mesh.ask_for_restart(name), _REPLACED_S)
                return True
        return False

    async def _pause(self, fault: Fault) -> list[psutil.Process]:
        paused = [process for process in self._mesh.whole(fault.target) if process not in self._asleep]
        self._signal(paused, signal.SIGSTOP)
        await asyncio.sleep(fault.lasts_s)
        self._signal([process for process in paused if process not in self._asleep], signal.SIGCONT)
        return paused

    async def _oversleep(self, fault: Fault) -> Kind | None:
        """Pause a process until others have taken what it held, and let it find out; a pause where that ends before."""
        name = fault.target
        async with self._restarting[name], self._mesh.standing_in(name) as does_stand_in:
            sleeping = self._mesh.whole(name)
            self._asleep |= {*sleeping}
            self._signal(sleeping, signal.SIGSTOP)
            try:
                await asyncio.sleep(fault.lasts_s)
                has_overslept = bool(sleeping) and _is_stopped(sleeping[0])
            finally:
                self._asleep -= {*sleeping}
                self._signal(sleeping, signal.SIGCONT)
        if does_stand_in and has_overslept:
            return fault.kind
        return Kind.PAUSE if sleeping else None

    async def _tear(self, fault: Fault) -> Kind | None:
        """Kill a process while it has files that may be torn, and tear some of them."""
        name, since = fault.target, time.time()

        def has_come() -> bool:
            if not tearable(self._mesh, name, since):
                return False
            stopped = self._mesh.whole(name)
            self._signal(stopped, signal.SIGSTOP)
            if found := bool(stopped and tearable(self._mesh, name, since)):
                return found
            self._signal(stopped, signal.SIGCONT)
            return False

        await _comes(has_come)
        is_killed = self._kill_and_wait(name)
        if tear(tearable(self._mesh, name, since), fault.amount, self._dice(fault)):
            return fault.kind
        return Kind.KILL if is_killed else None

    async def _fill(self, fault: Fault) -> bool:
        """Have every write to a file fail, as on a full disk, for the processes that run now."""
        filled = {}
        for process in self._mesh.whole(fault.target):
            with contextlib.suppress(psutil.Error):
                _, filled[process] = process.rlimit(psutil.RLIMIT_FSIZE)
                process.rlimit(psutil.RLIMIT_FSIZE, (0, filled[process]))
        await asyncio.sleep(fault.lasts_s)
        for process, hard in filled.items():
            # A child that decodes may have set a lower bound for itself meanwhile.
            with contextlib.suppress(psutil.Error, ValueError):
                process.rlimit(psutil.RLIMIT_FSIZE, (hard, hard))
        return bool(filled)

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


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
