"""Starts a limited process for each audio file whose picture is wanted, few at a time."""

import asyncio
import logging
import os
import signal
import sys

from services.chassis import confinement
from services.chassis.errors import Unavailable

logger = logging.getLogger(__name__)

_AT_A_TIME = 2
_MOST_WAITING = 64
_PATIENCE_S = 30.0
_RETRY_AFTER_MS = 1000
# It ended by what the file did to it: another try would end the same way.
_BY_THE_FILE = confinement.CRASHES | {signal.SIGXCPU, signal.SIGKILL}


class PictureExtraction:
    """Takes pictures out of audio files.

    Args:
        max_bytes: Larger pictures are passed over.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._turns = asyncio.Semaphore(_AT_A_TIME)
        self._waiting = 0

    async def picture_in(self, descriptor: int) -> bytes:
        """Return the picture in an open audio file; empty where there is none that can be read.

        Raises:
            Unavailable: COVERS_BUSY: too many wait, or the machine is too slow now.
        """
        if self._waiting >= _MOST_WAITING:
            raise _busy()
        self._waiting += 1
        try:
            async with self._turns:
                return await self._extract(descriptor)
        finally:
            self._waiting -= 1

    async def _extract(self, descriptor: int) -> bytes:
        arguments = (descriptor, os.getpid(), self._max_bytes)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.gateway.covers.child",
            *map(str, arguments),
            pass_fds=[descriptor],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=confinement.environment(),
        )
        try:
            async with asyncio.timeout(_PATIENCE_S):
                picture = await self._output(process)
                status = await process.wait()
        except TimeoutError:
            raise _busy() from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if -status in _BY_THE_FILE or len(picture) > self._max_bytes:
            logger.warning("cover_refused", extra={"status": status, "size_bytes": len(picture)})
            return b""
        return picture if status == 0 else b""

    async def _output(self, process: asyncio.subprocess.Process) -> bytes:
        assert process.stdout is not None  # it is piped
        chunks, size = [], 0
        while size <= self._max_bytes and (chunk := await process.stdout.read(1 << 16)):
            chunks.append(chunk)
            size += len(chunk)
        if size > self._max_bytes:
            process.kill()
        return b"".join(chunks)


def _busy() -> Unavailable:
    return Unavailable("too many covers are asked for now", reason="COVERS_BUSY", retry_after_ms=_RETRY_AFTER_MS)
