"""Does to a mesh what a plan says, and heals it again."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from deploy.local.process import StartError
from tests.faults.link import Link
from tests.faults.mesh import FaultyMesh
from tests.faults.plan import PROCESSES, Fault, Kind

_DEATH_S = 20.0
_RESTART_S = 60.0


class Inflictor:
    """Inflicts faults; several at once where a plan says so.

    Args:
        mesh: The victim.
        seed: Decides what a fault leaves open, as which file is torn.
    """

    def __init__(self, mesh: FaultyMesh, seed: int) -> None:
        self._mesh = mesh
        self._seed = seed
        self._restarting = {name: asyncio.Lock() for name in PROCESSES}
        self.done: list[Fault] = []

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
        match fault.kind:
            case Kind.KILL:
                self._kill(fault.target)
            case Kind.BLACKOUT:
                for name in PROCESSES:
                    self._kill(name, with_children=True)
            case Kind.RESTART:
                await self._restart(fault.target)
            case Kind.PAUSE:
                await self._pause(fault)
            case Kind.WIPE:
                self._kill_and(fault.target, self._wipe)
            case Kind.TEAR:
                self._kill_and(fault.target, lambda: self._tear(fault))
            case Kind.FULL:
                await self._fill(fault)
            case Kind.CLOCK:
                self._mesh.set_clock(fault.target, fault.amount)
                await asyncio.sleep(fault.lasts_s)
                self._mesh.set_clock(fault.target, 0)
            case _:
                await self._break_link(fault, self._mesh.links[fault.target])
        self.done.append(fault)

    def heal(self) -> None:
        """Take back whatever is still broken."""
        for link in self._mesh.links.values():
            link.heal()
        for name in PROCESSES:
            for process in self._mesh.whole(name):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    def _kill(self, name: str, *, with_children: bool = False) -> None:
        for process in self._mesh.whole(name)[: None if with_children else 1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _kill_and(self, name: str, change: Callable[[], None]) -> None:
        """Kill a process and change its files before its supervisor, which this very thread runs, starts it again."""
        processes = self._mesh.whole(name)
        self._kill(name, with_children=True)
        deadline = time.monotonic() + _DEATH_S
        while any(_lives(process) for process in processes) and time.monotonic() < deadline:
            time.sleep(0.005)
        change()

    async def _restart(self, name: str) -> None:
        async with self._restarting[name]:
            process = self._mesh.process(name)
            if process.pid is not None:
                # It may be killed, or its link be silent, while it starts: then its supervisor goes on trying.
                with contextlib.suppress(StartError, TimeoutError):
                    await asyncio.wait_for(process.restart(), _RESTART_S)

    async def _pause(self, fault: Fault) -> None:
        paused = self._mesh.whole(fault.target)
        for process in paused:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(fault.lasts_s)
        for process in paused:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

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

    def _wipe(self) -> None:
        shutil.rmtree(self._mesh.nats_store, ignore_errors=True)
        self._mesh.nats_store.mkdir(mode=0o700, exist_ok=True)

    def _tear(self, fault: Fault) -> None:
        """Leave files as a power failure does: what was not synced is there in part.

        NATS syncs each message, so a torn one lies behind the last, and what it keeps to start faster may be torn. A
        snapshot and an upload that is coming may be cut off anywhere.
        """
        dice = random.Random(f"{self._seed} {fault.number}")
        if fault.target == "nats":
            for block in _files(self._mesh.nats_store, "*.blk"):
                data = block.read_bytes()
                if data and dice.random() < 0.5:
                    with block.open("ab") as file:
                        file.write(data[: max(1, int(fault.amount * 200))])
            torn = _files(self._mesh.nats_store, "index.db")
        elif fault.target == "retriever":
            torn = _files(self._mesh.state / "snapshots", "*")
        else:
            torn = _files(self._mesh.state / "blobs" / "incoming", "*")
        for path in torn:
            if dice.random() < 0.5:
                os.truncate(path, int(fault.amount * path.stat().st_size))

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
        link.heal()


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.rglob(pattern) if path.is_file())
