"""Starts one decoding process, talks to it and ends it. Which file it gets is the pool's business: see `decoder`."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict

from services.chassis import confinement
from services.embedder.audio import DecodeSpec
from services.embedder.decode_child import FRAME_HEADER, REQUEST_HEADER, SOUND
from services.embedder.errors import AudioCorrupt, DecodeLimit, DecoderLost

# What a caller is told to wait before it tries again.
RETRY_AFTER_MS = 1000

_STOP_TIMEOUT_S = 5.0
_BUFFER_BYTES = 1 << 20
_MAX_TEXT_BYTES = 1 << 16
# Blocks of sound are kept in the heap: handing each back to the kernel costs a fortieth of all.
_ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(32 << 20)}


class Garbled(Exception):
    """The process sent what no sound decoder of ours sends: a file has got the better of it."""


class DecodeProcess:
    """A decoding process and our end of its socket. Starting and ending block.

    Args:
        memory_mib: Address space beyond that of an idle process.
        niceness: How much it gives way to others, 0 to 19.

    Raises:
        OSError: There is no process, descriptor or memory left for it.
    """

    def __init__(self, memory_mib: int, niceness: int) -> None:
        self.jobs = 0
        self._idle_bytes = 0
        self._block_bytes = 0
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.ExitStack() as on_failure, theirs:
            on_failure.callback(self._socket.close)
            self._socket.setblocking(False)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
            arguments = [str(number) for number in (theirs.fileno(), os.getpid(), memory_mib, niceness)]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.embedder.decode_child", *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # decoders tell every oddity of a file there
                env=confinement.environment(**_ALLOCATION),
            )
            on_failure.pop_all()

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Say whether the process has not ended."""
        return self._process.poll() is None

    def growth_bytes(self) -> int:
        """Return how much more resident memory the process has than before its first file."""
        return self._resident_bytes() - self._idle_bytes

    def watch(self, on_end: Callable[[], None]) -> None:
        """Have it told when the process ends, or says what nobody asked for, while it is idle."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), on_end)

    def unwatch(self) -> None:
        """Tell of the process no more."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())

    def _resident_bytes(self) -> int:
        try:
            with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * resource.getpagesize()
        except OSError:  # it is gone
            return 0

    async def begin(self, descriptor: int, spec: DecodeSpec, cpu_s: float) -> bool:
        """Hand over a file; False when the process is dead."""
        if not self.jobs:
            self._idle_bytes = self._resident_bytes()
        request = json.dumps({**asdict(spec), "cpu_s": cpu_s}).encode()
        try:
            # An idle process has read all that was sent before: these few bytes never wait.
            socket.send_fds(self._socket, [REQUEST_HEADER.pack(len(request)) + request], [descriptor])
        except OSError:
            return False
        self.jobs += 1
        self._block_bytes = 4 * spec.block_samples
        return True

    async def receive(self, timeout_s: float) -> tuple[bytes, bytearray]:
        """Return kind and payload of the next frame.

        Raises:
            TimeoutError: It did not come in time.
            ConnectionError: The process is dead.
            Garbled: It is longer than what was asked for.
        """
        async with asyncio.timeout(max(0.0, timeout_s)):
            kind, length = FRAME_HEADER.unpack(await self._read(FRAME_HEADER.size))
            if length > (self._block_bytes if kind == SOUND else _MAX_TEXT_BYTES):
                raise Garbled(f"a frame {kind!r} of {length} bytes")
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

    async def explain_end(self, cpu_s: float) -> AudioCorrupt | DecodeLimit | DecoderLost:
        """Say why the process died: by its limit of CPU seconds, by the file, or by somebody else."""
        loop = asyncio.get_running_loop()
        try:
            code = await loop.run_in_executor(None, self._process.wait, _STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return DecoderLost("the decoding process does not answer", retry_after_ms=RETRY_AFTER_MS)
        if code == -signal.SIGXCPU:
            return DecodeLimit.of("CPU time", f"{cpu_s:g} s")
        if -code in confinement.CRASHES:
            return AudioCorrupt(f"the decoder crashed on the file ({signal.Signals(-code).name})", field="audio")
        return DecoderLost(f"the decoding process ended with code {code}", retry_after_ms=RETRY_AFTER_MS)

    def end(self) -> None:
        """Kill the process and wait for its end."""
        self._socket.close()
        self._process.kill()
        self._process.wait(_STOP_TIMEOUT_S)
