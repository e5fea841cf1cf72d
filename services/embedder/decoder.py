"""Keeps a pool of limited processes that decode files, and replaces those that die. Decodes nothing itself."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from services.chassis.telemetry import tracing
from services.embedder.audio import AudioSummary, DecodeSpec
from services.embedder.decode_child import FRAME_HEADER, READY, REFUSED, REQUEST_HEADER, SOUND
from services.embedder.descriptors import Descriptors
from services.embedder.errors import AudioCorrupt, DecodeLimit, DecoderLost, EmbedderBusy, audio_error
from services.embedder.metrics import EmbedderMetrics

Float32Array = NDArray[np.float32]

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5.0
# Libraries leak and address spaces fall to pieces; a fresh process costs a third of a second.
_JOBS_PER_PROCESS = 500
_BUFFER_BYTES = 1 << 20
_RETRY_AFTER_MS = 1000
_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What one file may cost.

    Attributes:
        memory_mib: Address space beyond that of an idle decoding process.
        cpu_s: CPU seconds.
        wait_s: Seconds that the reader may wait for it, all waits together; the reader's own work does not count.
    """

    memory_mib: int = 512
    cpu_s: float = 120.0
    wait_s: float = 120.0


class Decoding:
    """The blocks of one file as they come: iterate, then read `summary` and `descriptors`."""

    def __init__(self, process: "_Process", limits: DecodeLimits) -> None:
        self._process = process
        self._limits = limits
        self.waited_s = 0.0
        self.loss = ""  # reason of the process's end, where it ended
        self._summary: AudioSummary | None = None
        self._descriptors: Descriptors | None = None
        self._is_over = False
        self.is_reusable = False

    @property
    def summary(self) -> AudioSummary:
        """Length and format of the file, known after the last block."""
        if self._summary is None:
            raise RuntimeError("the file is not decoded to its end")
        return self._summary

    @property
    def descriptors(self) -> Descriptors:
        """What was measured of the sound, known after the last block."""
        if self._descriptors is None:
            raise RuntimeError("the file is not decoded to its end")
        return self._descriptors

    def __aiter__(self) -> "Decoding":
        return self

    async def __anext__(self) -> Float32Array:
        """Return the next block, shape (samples,), float32.

        Raises:
            AudioError: The file is refused, also after blocks came.
            DecoderLost: The process was killed from outside.
        """
        if self._is_over:
            raise StopAsyncIteration
        kind, payload = await self._receive()
        if kind == SOUND:
            return np.frombuffer(payload, dtype=np.float32)
        self._is_over = True
        found = json.loads(bytes(payload))
        if kind == REFUSED:
            error = audio_error(found)
            self.is_reusable = not isinstance(error, DecodeLimit)  # a process at its limit ends itself
            raise error
        self.is_reusable = True
        self._summary = AudioSummary(**found["summary"])
        self._descriptors = Descriptors(**found["descriptors"])
        raise StopAsyncIteration

    async def _receive(self) -> tuple[bytes, bytearray]:
        began = time.monotonic()
        try:
            return await self._process.receive(self._limits.wait_s - self.waited_s)
        except TimeoutError:
            raise DecodeLimit.of("time", f"{self._limits.wait_s:g} s") from None
        except ConnectionError:
            error = await self._process.explain_end(self._limits)
            self.loss = error.reason
            raise error from None
        finally:
            self.waited_s += time.monotonic() - began


class DecoderPool:
    """Lends decoding processes, each to one file at a time.

    Args:
        size: Files decoded at a time.
        limits: What one file may cost.
        max_waiting: Callers that may wait for a process; further ones are refused.
        metrics: Told of processes and of how long files take; None tells nobody.
    """

    def __init__(
        self, size: int, limits: DecodeLimits, max_waiting: int, metrics: EmbedderMetrics | None = None
    ) -> None:
        self._metrics = metrics or EmbedderMetrics()
        self._limits = limits
        self._size = size
        self._max_waiting = max_waiting
        self._waiting = 0
        self._free = asyncio.Semaphore(size)
        self._idle: list[_Process] = []
        # Its one thread lives as long as the pool: the kernel ends the children with the thread that started them.
        self._starter = ThreadPoolExecutor(1, "decoder-starter")

    async def start(self) -> None:
        """Start all processes.

        Raises:
            DecoderLost: One does not start, for example because a library is missing.
        """
        for _ in range(self._size):
            self._idle.append(await self._start_process())

    async def close(self) -> None:
        """End all processes."""
        for process in self._idle:
            await self._end(process)
        self._idle.clear()
        self._starter.shutdown()

    @property
    def process_ids(self) -> list[int]:
        """Ids of the processes that wait for a file."""
        return [process.pid for process in self._idle]

    @contextlib.asynccontextmanager
    async def decode(self, descriptor: int, spec: DecodeSpec) -> AsyncIterator[Decoding]:
        """Decode a file in a process of the pool.

        Args:
            descriptor: A regular file, opened for reading, at its beginning; the caller closes it afterwards.
            spec: Rate, block length and limits.

        Raises:
            EmbedderBusy: Too many wait already.
            DecoderLost: No process can be started.
        """
        await self._acquire()
        process: _Process | None = None
        decoding: Decoding | None = None
        try:
            process = self._idle.pop() if self._idle else await self._start_process()
            if not await process.begin(descriptor, spec, self._limits.cpu_s):
                await self._end(process)  # it died while it was idle
                process = await self._start_process()
                await process.begin(descriptor, spec, self._limits.cpu_s)
            decoding = Decoding(process, self._limits)
            span = tracing.span("decode")  # ended by hand: what its reader does meanwhile is no part of it
            try:
                yield decoding
            except BaseException as error:
                span.fail(error)
                raise
            finally:
                span.note(museed__waited_seconds=decoding.waited_s)
                span.end()
                self._metrics.decoded(decoding.waited_s)
                if decoding.loss:
                    self._metrics.decoder_lost(decoding.loss)
        finally:
            try:
                if process is not None:
                    await asyncio.shield(
                        self._give_back(process, is_clean=decoding is not None and decoding.is_reusable)
                    )
            finally:
                self._free.release()

    async def _acquire(self) -> None:
        if self._free.locked() and self._waiting >= self._max_waiting:
            raise EmbedderBusy(
                f"{self._waiting} files wait for a decoder, limit is {self._max_waiting}",
                value=self._waiting,
                limit=self._max_waiting,
                retry_after_ms=_RETRY_AFTER_MS,
            )
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1

    async def _give_back(self, process: "_Process", *, is_clean: bool) -> None:
        """Keep a process that came to the end of its file; one that is still at it would mix up the next."""
        is_wanted = process.jobs < _JOBS_PER_PROCESS and len(self._idle) < self._size
        if is_clean and is_wanted and process.is_alive():
            self._idle.append(process)
        else:
            await self._end(process)

    async def _start_process(self) -> "_Process":
        loop = asyncio.get_running_loop()
        process = await loop.run_in_executor(self._starter, _Process, self._limits.memory_mib)
        try:
            kind, _ = await process.receive(_START_TIMEOUT_S)
        except (TimeoutError, ConnectionError) as error:
            await self._end(process)
            raise DecoderLost(
                "no decoding process starts: are soundfile, soxr and av installed?", retry_after_ms=_RETRY_AFTER_MS
            ) from error
        if kind != READY:
            raise AssertionError(f"a new decoding process said {kind!r}")
        self._metrics.decoder_started()
        return process

    async def _end(self, process: "_Process") -> None:
        await asyncio.get_running_loop().run_in_executor(self._starter, process.end)


class _Process:
    """A decoding process and our end of its socket. Starting and ending block."""

    def __init__(self, memory_mib: int) -> None:
        self.jobs = 0
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
            arguments = [str(number) for number in (theirs.fileno(), os.getpid(), memory_mib)]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.embedder.decode_child", *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # decoders tell every oddity of a file there
                # Nothing else of our environment: it holds passwords. One thread: more only take address space.
                env={"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        self._socket.setblocking(False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    async def begin(self, descriptor: int, spec: DecodeSpec, cpu_s: float) -> bool:
        """Hand over a file; False when the process is dead."""
        request = json.dumps({**asdict(spec), "cpu_s": cpu_s}).encode()
        try:
            # An idle process has read all that was sent before: these few bytes never wait.
            socket.send_fds(self._socket, [REQUEST_HEADER.pack(len(request)) + request], [descriptor])
        except OSError:
            return False
        self.jobs += 1
        return True

    async def receive(self, timeout_s: float) -> tuple[bytes, bytearray]:
        """Return kind and payload of the next frame.

        Raises:
            TimeoutError: It did not come in time.
            ConnectionError: The process is dead.
        """
        async with asyncio.timeout(max(0.0, timeout_s)):
            kind, length = FRAME_HEADER.unpack(await self._read(FRAME_HEADER.size))
            return kind, await self._read(length)

    async def _read(self, length: int) -> bytearray:
        loop = asyncio.get_running_loop()
        buffer = bytearray(length)
        view = memoryview(buffer)
        done = 0
        while done < length:
            count = await loop.sock_recv_into(self._socket, view[done:])
            if count == 0:
                raise ConnectionResetError("the decoding process is gone")
            done += count
        return buffer

    async def explain_end(self, limits: DecodeLimits) -> AudioCorrupt | DecodeLimit | DecoderLost:
        """Say why the process died: by a limit, by the file, or by somebody else."""
        loop = asyncio.get_running_loop()
        code = await loop.run_in_executor(None, self._process.wait, _STOP_TIMEOUT_S)
        if code == -signal.SIGXCPU:
            return DecodeLimit.of("CPU time", f"{limits.cpu_s:g} s")
        if -code in _CRASHES:
            return AudioCorrupt(f"the decoder crashed on the file ({signal.Signals(-code).name})", field="audio")
        return DecoderLost(f"the decoding process ended with code {code}", retry_after_ms=_RETRY_AFTER_MS)

    def end(self) -> None:
        """Kill the process and wait for its end."""
        self._socket.close()
        self._process.kill()
        self._process.wait(_STOP_TIMEOUT_S)
