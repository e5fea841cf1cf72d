"""Lends limited processes that decode files, each to one file at a time. Decodes nothing itself."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.chassis.telemetry import tracing
from services.embedder.audio import AudioSummary, DecodeSpec
from services.embedder.decode_child import REFUSED, SOUND
from services.embedder.decode_process import RETRY_AFTER_MS, DecodeProcess, Garbled
from services.embedder.decode_supply import DecodeSupply
from services.embedder.descriptors import Descriptors
from services.embedder.errors import (
    AudioCorrupt,
    DecodeLimit,
    DecodeStalled,
    EmbedderBusy,
)
from services.embedder.metrics import EmbedderMetrics
from services.embedder.refusals import audio_error

Float32Array = NDArray[np.float32]

_SAMPLE_BYTES = 4
# What resampling may add to the longest file: it rounds, by far less than this.
_TOLERATED_S = 1.0


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What one file may cost.

    Attributes:
        memory_mib: Address space beyond that of an idle decoding process.
        cpu_s: CPU seconds.
        wait_s: Seconds that the reader may wait for it, all waits together; the reader's own work does not count. More
            than `cpu_s`: what decides must be the file's work, and not how busy the machine is.
        niceness: How much the process gives way to others, 0 to 19; see nice(2).
    """

    memory_mib: int = 512
    cpu_s: float = 120.0
    wait_s: float = 300.0
    niceness: int = 0


class Decoding:
    """The blocks of one file as they come: iterate, then read `summary` and `descriptors`."""

    def __init__(self, process: DecodeProcess, limits: DecodeLimits, spec: DecodeSpec) -> None:
        self._process = process
        self._limits = limits
        self._samples_left = (spec.max_seconds + _TOLERATED_S) * spec.sample_rate_hz
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
            DecodeStalled: It was waited for too long.
        """
        if self._is_over:
            raise StopAsyncIteration
        kind, payload = await self._receive()
        if kind == SOUND:
            return self._sound(payload)
        self._is_over = True
        self._take_end(kind, payload)
        self.is_reusable = True
        raise StopAsyncIteration

    def _sound(self, payload: bytearray) -> Float32Array:
        """Check what a file may have made of the process: it sends whole samples, and no more than were asked for."""
        samples, rest = divmod(len(payload), _SAMPLE_BYTES)
        self._samples_left -= samples
        if rest:
            raise _garbled(Garbled(f"{len(payload)} bytes, which are no whole samples"))
        if self._samples_left < 0:
            raise _garbled(Garbled("more sound than a file may have"))
        return np.frombuffer(payload, dtype=np.float32)

    def _take_end(self, kind: bytes, payload: bytearray) -> None:
        try:
            found = json.loads(payload)
            if kind == REFUSED:
                refusal = audio_error(found)
            else:
                self._summary = AudioSummary(**found["summary"])
                self._descriptors = Descriptors(**found["descriptors"])
                return
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _garbled(error) from error
        self.is_reusable = not isinstance(refusal, DecodeLimit)  # a process at its limit ends itself
        raise refusal

    async def _receive(self) -> tuple[bytes, bytearray]:
        began = time.monotonic()
        try:
            return await self._process.receive(self._limits.wait_s - self.waited_s)
        except TimeoutError:
            raise DecodeStalled.after(self._limits.wait_s) from None
        except ConnectionError:
            error = await self._process.explain_end(self._limits.cpu_s)
            self.loss = error.reason
            raise error from None
        except Garbled as garbled:
            raise _garbled(garbled) from garbled
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
        self._max_waiting = max_waiting
        self._waiting = 0
        self._free = asyncio.Semaphore(size)
        self._supply = DecodeSupply(size, limits.memory_mib, limits.niceness, self._metrics.decoder_started)

    async def start(self) -> None:
        """Start all processes.

        Raises:
            DecoderNotStarted: One does not start, for example because a library is missing.
        """
        await self._supply.fill()

    async def close(self) -> None:
        """End all processes."""
        await self._supply.close()

    @property
    def process_ids(self) -> list[int]:
        """Ids of the processes that wait for a file."""
        return self._supply.process_ids

    @contextlib.asynccontextmanager
    async def decode(self, descriptor: int, spec: DecodeSpec) -> AsyncIterator[Decoding]:
        """Decode a file in a process of the pool.

        Args:
            descriptor: A regular file, opened for reading, at its beginning; the caller closes it afterwards.
            spec: Rate, block length and limits.

        Raises:
            EmbedderBusy: Too many wait already.
            DecoderNotStarted: No process can be started.
        """
        await self._acquire()
        process: DecodeProcess | None = None
        decoding: Decoding | None = None
        try:
            process = await self._supply.take()
            if not await process.begin(descriptor, spec, self._limits.cpu_s):
                dead, process = process, None  # it died while it was idle
                process = await self._supply.exchange(dead)
                await process.begin(descriptor, spec, self._limits.cpu_s)
            decoding = Decoding(process, self._limits, spec)
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
                        self._supply.give_back(process, is_clean=decoding is not None and decoding.is_reusable)
                    )
            finally:
                self._free.release()

    async def _acquire(self) -> None:
        if self._free.locked() and self._waiting >= self._max_waiting:
            raise EmbedderBusy(
                f"{self._waiting} files wait for a decoder, limit is {self._max_waiting}",
                value=self._waiting,
                limit=self._max_waiting,
                retry_after_ms=RETRY_AFTER_MS,
            )
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1


def _garbled(error: Exception) -> AudioCorrupt:
    return AudioCorrupt(f"the decoder failed on the file: it answered {error}", field="audio")
