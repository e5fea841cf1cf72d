"""Runs one limited process that transcodes one file, and says what came of it."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from services.chassis import confinement
from services.chassis.errors import DomainError, FailedPrecondition, ResourceExhausted, Unavailable
from services.gateway.transcoding import child
from services.gateway.transcoding.formats import Target

_REPORT_BYTES = 4096
_RETRY_AFTER_MS = 2000


@dataclass(frozen=True, slots=True)
class TranscodeLimits:
    """What one file may cost.

    Attributes:
        max_bytes: Of what is made.
        max_seconds: Of sound.
        memory_mib: Address space beyond that of an idle process.
        cpu_s: CPU seconds.
        wait_s: Seconds on the clock. More than `cpu_s`: what decides must be the file, not how busy the machine is.
    """

    max_bytes: int = 512 * 1024 * 1024
    max_seconds: int = 4 * 3600
    memory_mib: int = 512
    cpu_s: int = 300
    wait_s: float = 900.0


class TranscodeProcesses:
    """Starts them, each for one file.

    Args:
        limits: What one file may cost.
    """

    def __init__(self, limits: TranscodeLimits) -> None:
        self._limits = limits
        # Its one thread lives as long as this: the kernel ends the children with the thread that started them.
        self._starter = ThreadPoolExecutor(1, "transcoder-starter")

    async def run(self, source: int, sink: int, target: Target) -> None:
        """Transcode an open file into another one.

        Args:
            source: Opened for reading, at its beginning.
            sink: Opened for writing, empty.
            target: What to make.

        Raises:
            FailedPrecondition: TRANSCODING_FAILED: the file cannot be decoded.
            ResourceExhausted: TRANSCODING_LIMIT: it would cost more than a file may.
            Unavailable: TRANSCODING_LOST: the process was killed from outside, or there is no room.
        """
        loop = asyncio.get_running_loop()
        report, theirs = os.pipe()
        try:
            process = await loop.run_in_executor(self._starter, self._start, source, sink, theirs, target)
        except OSError as error:
            os.close(report)
            raise _lost(f"no process can be started: {error.strerror}") from error
        finally:
            os.close(theirs)
        try:
            await self._end_of(process)
            status = process.wait()
            if status != 0:
                raise self._refusal(status, os.read(report, _REPORT_BYTES))
        finally:
            process.kill()  # where we were cancelled, or it was too slow
            process.wait()
            os.close(report)

    def close(self) -> None:
        """End all of them."""
        self._starter.shutdown(wait=False)

    def _start(self, source: int, sink: int, report: int, target: Target) -> "subprocess.Popen[bytes]":
        limits = self._limits
        arguments = [source, sink, report, os.getpid(), target.format.value, target.kbps]
        arguments += [limits.max_bytes, limits.max_seconds, limits.memory_mib, limits.cpu_s]
        return subprocess.Popen(
            [sys.executable, "-m", "services.gateway.transcoding.child", *map(str, arguments)],
            pass_fds=[source, sink, report],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # decoders tell every oddity of a file there
            env=confinement.environment(),
        )

    async def _end_of(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait until a process has ended, without a thread."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        descriptor = os.pidfd_open(process.pid)
        loop.add_reader(descriptor, ended.set)
        try:
            async with asyncio.timeout(self._limits.wait_s):
                await ended.wait()
        except TimeoutError:
            raise _limit(f"it took longer than {self._limits.wait_s:g} s", self._limits.wait_s) from None
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def _refusal(self, status: int, report: bytes) -> DomainError:
        limits = self._limits
        if status == -signal.SIGXCPU:
            return _limit(f"it takes more than {limits.cpu_s} s of computing", limits.cpu_s)
        reason = ""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            reason = str(json.loads(report)["reason"])
        if reason == child.TOO_LONG:
            return _limit(f"it is longer than {limits.max_seconds} s", limits.max_seconds)
        if reason == child.TOO_LARGE:
            return _limit(f"more than {limits.max_bytes} bytes would come of it", limits.max_bytes)
        if reason == child.NO_MEMORY:
            return _limit(f"it takes more than {limits.memory_mib} MiB of memory", limits.memory_mib)
        if reason == child.BROKEN or -status in confinement.CRASHES:
            return FailedPrecondition("the file cannot be decoded", reason="TRANSCODING_FAILED")
        return _lost("there is no room left" if reason == child.NO_ROOM else f"its process ended with {status}")


def _limit(why: str, limit: object) -> ResourceExhausted:
    return ResourceExhausted(f"the file is not transcoded: {why}", reason="TRANSCODING_LIMIT", limit=limit)


def _lost(why: str) -> Unavailable:
    return Unavailable(
        f"the file could not be transcoded now: {why}", reason="TRANSCODING_LOST", retry_after_ms=_RETRY_AFTER_MS
    )
