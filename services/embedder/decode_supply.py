"""Starts decoding processes, keeps those that are idle, and replaces those that end. Gives none a file."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from services.embedder.decode_process import RETRY_AFTER_MS, DecodeProcess
from services.embedder.errors import DecoderLost, DecoderNotStarted

logger = logging.getLogger(__name__)

_START_TIMEOUT_S = 30.0
# Libraries leak and address spaces fall to pieces; a fresh process costs a third of a second.
_JOBS_PER_PROCESS = 500
# What one file may leave behind in a process that is kept: twice what FFmpeg's code and the heap grow to on common
# files. What hostile ones leave behind would be held for hundreds of files.
_MAX_GROWTH_BYTES = 96 * 1024 * 1024
# Who comes at once starts a process and waits for no other; and those that die again and again keep no core busy.
_REPLACE_AFTER_S = 0.5


class DecodeSupply:
    """The processes of one pool that have no file.

    Args:
        size: Processes, those in use too.
        memory_mib: Address space of each beyond that of an idle one.
        niceness: How much each gives way to others, 0 to 19.
        on_start: Told of each process that was started.
    """

    def __init__(self, size: int, memory_mib: int, niceness: int, on_start: Callable[[], None]) -> None:
        self._size = size
        self._memory_mib = memory_mib
        self._niceness = niceness
        self._on_start = on_start
        self._idle: list[DecodeProcess] = []
        self._in_use = 0  # or being started for somebody
        self._replacing: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False
        # Its one thread lives as long as the pool: the kernel ends the children with the thread that started them.
        self._starter = ThreadPoolExecutor(1, "decoder-starter")

    @property
    def process_ids(self) -> list[int]:
        """Ids of the processes that are idle."""
        return [process.pid for process in self._idle]

    async def fill(self) -> None:
        """Start what is missing.

        Raises:
            DecoderNotStarted: One does not start, for example because a library is missing.
        """
        while len(self._idle) + self._in_use < self._size:
            process = await self._start()
            if self._is_closed or len(self._idle) + self._in_use >= self._size:  # somebody was quicker
                await self._end(process)
                return
            self._keep(process)

    async def take(self) -> DecodeProcess:
        """Return an idle process, or start one; it must be given back.

        Raises:
            DecoderNotStarted: None starts.
        """
        self._in_use += 1
        try:
            if not self._idle:
                return await self._start()
            process = self._idle.pop()
            process.unwatch()
            return process
        except BaseException:
            self._in_use -= 1
            raise

    async def exchange(self, dead: DecodeProcess) -> DecodeProcess:
        """Return a new process for one that was taken and is dead.

        Raises:
            DecoderNotStarted: None starts; nothing is to be given back.
        """
        try:
            await self._end(dead)
            return await self._start()
        except BaseException:
            self._in_use -= 1
            raise

    async def give_back(self, process: DecodeProcess, *, is_clean: bool) -> None:
        """Keep a process that came to the end of its file; one that is still at it would mix up the next."""
        self._in_use -= 1
        is_wanted = process.jobs < _JOBS_PER_PROCESS and len(self._idle) < self._size and not self._is_closed
        if is_clean and is_wanted and process.is_alive() and process.growth_bytes() <= _MAX_GROWTH_BYTES:
            self._keep(process)
        else:
            self._replace()
            await self._end(process)

    async def close(self) -> None:
        """End all processes."""
        self._is_closed = True
        if self._replacing is not None:
            self._replacing.cancel()
            await asyncio.gather(self._replacing, return_exceptions=True)
        idle, self._idle = self._idle, []
        for process in idle:
            process.unwatch()
            await self._end(process)
        await asyncio.gather(*self._ending)
        # Behind a process whose start nobody waits for any more: it is ended when it is there.
        await asyncio.get_running_loop().run_in_executor(self._starter, lambda: None)
        self._starter.shutdown()

    def _keep(self, process: DecodeProcess) -> None:
        self._idle.append(process)
        process.watch(lambda: self._lose(process))

    def _lose(self, process: DecodeProcess) -> None:
        """Reap a process that died while it was idle, and have another one started."""
        process.unwatch()
        self._idle.remove(process)
        logger.warning("idle_decoder_lost", extra={"pid": process.pid})
        ending = asyncio.create_task(self._end(process))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        self._replace()

    def _replace(self) -> None:
        if not self._is_closed and (self._replacing is None or self._replacing.done()):
            self._replacing = asyncio.create_task(self._fill_soon(), name="decoder-replacement")

    async def _fill_soon(self) -> None:
        await asyncio.sleep(_REPLACE_AFTER_S)
        try:
            await self.fill()
        except DecoderLost as error:  # whoever comes next tries again, and is told
            logger.warning("decoder_not_replaced", extra={"reason": error.reason})

    async def _start(self) -> DecodeProcess:
        starting = asyncio.get_running_loop().run_in_executor(
            self._starter, DecodeProcess, self._memory_mib, self._niceness
        )
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_end_started)
            raise
        except OSError as error:  # the machine has no process, descriptor or memory left
            raise DecoderNotStarted(
                f"no decoding process can be started: {error.strerror}", retry_after_ms=RETRY_AFTER_MS
            ) from error
        try:
            await process.receive(_START_TIMEOUT_S)  # READY
        except (TimeoutError, ConnectionError) as error:
            await self._end(process)
            raise DecoderNotStarted(
                "no decoding process starts: are soundfile, soxr and av installed?", retry_after_ms=RETRY_AFTER_MS
            ) from error
        except asyncio.CancelledError:
            process.end()
            raise
        self._on_start()
        return process

    async def _end(self, process: DecodeProcess) -> None:
        # Shielded: a caller who leaves now must not leave it behind.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._starter, process.end))


def _end_started(starting: asyncio.Future[DecodeProcess]) -> None:
    """End a process whose caller had left before it was there; takes a millisecond."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result().end()
