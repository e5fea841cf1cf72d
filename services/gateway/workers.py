"""Several gateway processes behind one listening socket: started, also after they died, replaced, and drained."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Sequence
from dataclasses import dataclass

logger = logging.getLogger(__name__)

# A successor that is slow on a busy machine keeps nobody waiting: the one before serves on.
_START_TIMEOUT_S = 300.0
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 10.0
# Who lived so long did not die of its start.
_SETTLED_S = 60.0
_READY = b"r"


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker is told on its command line.

    Attributes:
        number: From 0; another process in its place has the same.
        listener_descriptor: Of the listening socket, inherited.
        tether_descriptor: Of the line to its keeper, inherited.
        is_successor: Whether somebody still serves in this place, and leaves it when this one does.
    """

    number: int
    listener_descriptor: int
    tether_descriptor: int
    is_successor: bool

    @classmethod
    def of(cls, arguments: Sequence[str]) -> "Place | None":
        """Read a command line; without arguments the process is nobody's worker."""
        if not arguments:
            return None
        number, listener, tether, is_successor = map(int, arguments)
        return cls(number, listener, tether, bool(is_successor))

    def arguments(self) -> list[str]:
        """Write it."""
        found = (self.number, self.listener_descriptor, self.tether_descriptor, self.is_successor)
        return [str(int(each)) for each in found]

    def listener(self) -> socket.socket:
        """Return the listening socket, which all workers share."""
        return socket.socket(fileno=self.listener_descriptor)

    def tether(self) -> "Tether":
        """Return the line to the keeper."""
        return Tether(socket.socket(fileno=self.tether_descriptor))


class Tether:
    """A worker's line to its keeper: it says by it that it serves, and ends when nobody holds the other end.

    Args:
        line: It.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._line.setblocking(False)

    def tell_ready(self) -> None:
        """Tell that requests are served."""
        with contextlib.suppress(OSError):
            self._line.send(_READY)

    async def follow(self) -> None:
        """End this process, as SIGTERM does, when the keeper has gone, however it went."""
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_recv(self._line, 1)
        os.kill(os.getpid(), signal.SIGTERM)


class Worker:
    """One process.

    Args:
        process: It.
        line: This end of its tether.
    """

    def __init__(self, process: Process, line: socket.socket) -> None:
        self._process = process
        self._line = line

    @classmethod
    async def start(cls, number: int, listener: socket.socket, *, is_successor: bool = False) -> "Worker":
        """Start a process that serves a listening socket."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        place = Place(number, listener.fileno(), theirs.fileno(), is_successor)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.gateway",
                *place.arguments(),
                pass_fds=(place.listener_descriptor, place.tether_descriptor),
                stdin=asyncio.subprocess.DEVNULL,
            )
        return cls(process, ours)

    async def until_ready(self) -> bool:
        """Wait until it serves; say whether it does."""
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(_START_TIMEOUT_S):
                return await asyncio.get_running_loop().sock_recv(self._line, 1) == _READY
        return False

    async def until_ended(self) -> int:
        """Wait for its end; returns its status."""
        status = await self._process.wait()
        self._line.close()
        return status

    def drain(self) -> None:
        """Tell it to end in its own time."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


class Workers:
    """Keeps so many of them.

    Args:
        count: 1 or more.
        listener: Bound and listening; each of them accepts from it.
    """

    def __init__(self, count: int, listener: socket.socket) -> None:
        self._count = count
        self._listener = listener
        self._workers: dict[int, Worker] = {}
        self._leaving: set[Worker] = set()

    async def run(self) -> None:
        """Keep them until SIGTERM or SIGINT, then drain all; SIGHUP replaces them without a pause.

        Raises:
            SystemExit: They do not start.
        """
        loop = asyncio.get_running_loop()
        to_end, to_replace = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, to_end.set)
        loop.add_signal_handler(signal.SIGHUP, to_replace.set)
        try:
            if not all(await asyncio.gather(*(self._start(number, is_first=True) for number in range(self._count)))):
                raise SystemExit("the gateway's workers do not start: see their log lines")
            logger.info("workers_serve", extra={"workers": self._count})
            async with asyncio.TaskGroup() as tasks:
                kept = [tasks.create_task(self._keep(number)) for number in range(self._count)]
                kept.append(tasks.create_task(self._replace_when(to_replace)))
                await to_end.wait()
                logger.info("stopping")
                for task in kept:
                    task.cancel()
        finally:
            await self._drain()

    async def _start(self, number: int, *, is_first: bool = False) -> bool:
        """Put a worker in a place; says whether it serves."""
        # Whoever was there before the one that died may still drain.
        worker = self._workers[number] = await Worker.start(number, self._listener, is_successor=not is_first)
        return await worker.until_ready()

    async def _keep(self, number: int) -> None:
        """Put another worker in the place of one that died."""
        delay_s = _FIRST_DELAY_S
        while True:
            worker, since = self._workers[number], time.monotonic()
            status = await worker.until_ended()
            self._leaving.discard(worker)
            if self._workers[number] is not worker:
                continue  # it was replaced
            logger.error("worker_died", extra={"worker": number, "status": status})
            if time.monotonic() - since > _SETTLED_S:
                delay_s = _FIRST_DELAY_S
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _LONGEST_DELAY_S)
            if self._workers[number] is worker:  # nobody has taken its place meanwhile
                await self._start_again(number)

    async def _start_again(self, number: int) -> None:
        try:
            await self._start(number)
        except OSError as error:  # no room now; the one that ended is still in this place, and so it is tried again
            logger.error("worker_not_started", extra={"worker": number, "error": str(error)})

    async def _replace_when(self, asked: asyncio.Event) -> None:
        while True:
            await asked.wait()
            asked.clear()
            for number in range(self._count):
                await self._replace(number)

    async def _replace(self, number: int) -> None:
        """Let another worker take the place of one that serves, and let that one drain."""
        try:
            new = await Worker.start(number, self._listener, is_successor=True)
        except OSError as error:  # no room now: the one before serves on
            logger.error("worker_not_replaced", extra={"worker": number, "error": str(error)})
            return
        if not await new.until_ready():
            logger.error("worker_not_replaced", extra={"worker": number})
            new.kill()
            await new.until_ended()
            return
        old, self._workers[number] = self._workers[number], new
        self._leaving.add(old)
        old.drain()
        logger.info("worker_replaced", extra={"worker": number})

    async def _drain(self) -> None:
        """Let all of them drain, and wait for their end: each has its own bound."""
        self._listener.close()
        everybody = {*self._workers.values(), *self._leaving}
        for worker in everybody:
            worker.drain()
        await asyncio.gather(*(worker.until_ended() for worker in everybody))
