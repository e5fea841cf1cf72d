"""Makes a file's audio smaller or another format, each only once however many ask, and keeps it for those who come."""

import asyncio
import contextvars
import logging
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.chassis.errors import DomainError, Unavailable, Unimplemented
from services.gateway.transcoding.cache import TranscodeCache
from services.gateway.transcoding.formats import Target
from services.gateway.transcoding.process import TranscodeLimits, TranscodeProcesses

logger = logging.getLogger(__name__)

_MAX_WAITING = 16
# Files that one caller has made or waits for: the others have music, too.
_MAX_OF_ONE = 4
_BUSY_RETRY_MS = 5000
# Proxies give up on an answer that does not begin; the work goes on for who comes again.
_PATIENCE_S = 50.0
_TRIM_INTERVAL_S = 60.0
# A file that is refused is refused again, without another try, for so long.
_REFUSAL_LIFE_S = 600.0
_MAX_REFUSALS = 1000

OpenSource = Callable[[], Awaitable[int]]


class Transcoder:
    """Transcodes in limited processes, over a cache in a folder.

    Args:
        folder: Of the cache; processes may share it.
        max_bytes: Of the cache, beside what is being made.
        at_once: Processes; 0 transcodes nothing.
        limits: What one file may cost.
    """

    def __init__(self, folder: Path, max_bytes: int, at_once: int, limits: TranscodeLimits | None = None) -> None:
        self._cache = TranscodeCache(folder, max_bytes)
        self._processes = TranscodeProcesses(limits or TranscodeLimits())
        self._at_once = at_once
        self._free = asyncio.Semaphore(at_once)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._of_caller: Counter[str] = Counter()
        self._refusals: dict[str, tuple[float, DomainError]] = {}

    async def open(
        self, name: str, target: Target, open_source: OpenSource, *, is_private: bool = False, caller: str = ""
    ) -> int:
        """Return a file's audio as another one, opened for reading; the caller closes it.

        Args:
            name: Names the bytes of the original: a digest in hexadecimal digits.
            target: What to make.
            open_source: Opens the original; called if it must be read.
            is_private: Kept for minutes only.
            caller: Stands for whoever asks, who gets no more than a share of the places; empty is not counted.

        Raises:
            Unimplemented: TRANSCODING_OFF.
            Unavailable: TRANSCODER_BUSY: too many wait already, of all or of this caller; TRANSCODING_UNDER_WAY: it
                takes long, come again; or TRANSCODING_LOST.
            FailedPrecondition: TRANSCODING_FAILED.
            ResourceExhausted: TRANSCODING_LIMIT.
            DomainError: What `open_source` raises.
        """
        if not self._at_once:
            raise Unimplemented("nothing is transcoded here, ask for format=raw", reason="TRANSCODING_OFF")
        key = f"{name}.{target.name}"
        for _ in range(2):  # it may go between the moment when it is kept and that when it is opened
            found = await self._kept(key, is_private)
            if found is not None:
                return found
            await self._make_once(key, target, open_source, is_private, caller)
        found = await self._kept(key, is_private)
        if found is None:
            raise Unavailable("the cache of transcoded files is too small", reason="TRANSCODING_LOST")
        return found

    async def run(self) -> None:
        """Delete what is over, for ever."""
        while True:
            try:
                await asyncio.to_thread(self._cache.trim)
            except OSError as error:  # the folder is away: next time
                logger.warning("transcodes_not_trimmed", extra={"error": repr(error)})
            await asyncio.sleep(_TRIM_INTERVAL_S)

    async def close(self) -> None:
        """End what is being made."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._processes.close()

    async def _kept(self, key: str, is_private: bool) -> int | None:
        try:
            return await asyncio.to_thread(self._cache.open, key, is_private=is_private)
        except OSError as error:
            raise _lost(error) from error

    async def _make_once(
        self, key: str, target: Target, open_source: OpenSource, is_private: bool, caller: str
    ) -> None:
        self._raise_refusal(key)
        flight = f"{'private ' if is_private else ''}{key}"
        task = self._running.get(flight)
        if task is None:
            if len(self._running) >= self._at_once + _MAX_WAITING:
                raise _busy(len(self._running), self._at_once + _MAX_WAITING)
            if caller and self._of_caller[caller] >= _MAX_OF_ONE:
                raise _busy(self._of_caller[caller], _MAX_OF_ONE)
            # The caller opens the original, under their own token; what follows is nobody's in particular.
            source = await open_source()
            if flight in self._running:
                os.close(source)
                task = self._running[flight]
            else:
                making = self._make(source, key, target, is_private)
                task = asyncio.create_task(making, context=contextvars.Context(), name=f"transcode {key}")
                self._running[flight] = task
                self._of_caller[caller] += 1
                task.add_done_callback(lambda done: self._forget(flight, key, caller, done))
        try:
            # Shielded: who leaves must not take it from the others, nor from who comes again.
            async with asyncio.timeout(_PATIENCE_S):
                await asyncio.shield(task)
        except TimeoutError:
            raise Unavailable(
                f"the file is not transcoded within {_PATIENCE_S:g} s, come again",
                reason="TRANSCODING_UNDER_WAY",
                limit=_PATIENCE_S,
                retry_after_ms=_BUSY_RETRY_MS,
            ) from None

    async def _make(self, source: int, key: str, target: Target, is_private: bool) -> None:
        try:
            async with self._free:
                began = time.monotonic()
                path, sink = await asyncio.to_thread(self._cache.begin)
                try:
                    await self._processes.run(source, sink, target)
                    size = os.fstat(sink).st_size
                    await asyncio.to_thread(self._cache.keep, path, key, is_private=is_private)
                except BaseException:
                    path.unlink(missing_ok=True)
                    raise
                finally:
                    os.close(sink)
                taken_ms = round((time.monotonic() - began) * 1000)
                logger.info("transcoded", extra={"target": target.name, "size_bytes": size, "duration_ms": taken_ms})
        except OSError as error:
            raise _lost(error) from error
        finally:
            os.close(source)

    def _forget(self, flight: str, key: str, caller: str, done: asyncio.Task[None]) -> None:
        del self._running[flight]
        self._of_caller -= Counter({caller: 1})  # drops what comes to nothing
        error = None if done.cancelled() else done.exception()
        if isinstance(error, DomainError) and not isinstance(error, Unavailable):
            if len(self._refusals) >= _MAX_REFUSALS:
                del self._refusals[next(iter(self._refusals))]
            self._refusals[key] = (time.monotonic() + _REFUSAL_LIFE_S, error)

    def _raise_refusal(self, key: str) -> None:
        until, error = self._refusals.get(key, (0.0, None))
        if error is None:
            return
        if time.monotonic() < until:
            raise error.with_traceback(None)
        del self._refusals[key]


def _busy(count: int, limit: int) -> Unavailable:
    return Unavailable(
        f"{count} files are or wait to be transcoded, limit is {limit}",
        reason="TRANSCODER_BUSY",
        value=count,
        limit=limit,
        retry_after_ms=_BUSY_RETRY_MS,
    )


def _lost(error: OSError) -> Unavailable:
    return Unavailable(f"the file could not be transcoded now: {error.strerror}", reason="TRANSCODING_LOST")
