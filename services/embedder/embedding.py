"""Turns a file or samples into a track's vector: choose windows, encode, pool. Knows neither RPCs nor events."""

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.chassis.telemetry import tracing
from services.embedder.audio import DecodeSpec
from services.embedder.batcher import Batcher
from services.embedder.decoder import DecoderPool
from services.embedder.descriptors import Descriptors
from services.embedder.errors import AudioEmpty, AudioSilent, AudioTooLarge, AudioTooLong, AudioTooShort
from services.embedder.lanes import EncodedWindow, Lane
from services.embedder.metrics import EmbedderMetrics
from services.embedder.model import Encoder, Float32Array
from services.embedder.windows import WindowChoice


@dataclass(frozen=True, slots=True)
class AudioLimits:
    """What a file may be: seconds of sound and bytes."""

    min_seconds: float
    max_seconds: float
    max_bytes: int

    def check_size(self, size_bytes: int) -> None:
        """Refuse a file by its size.

        Raises:
            AudioEmpty: No bytes.
            AudioTooLarge: More than max_bytes.
        """
        if size_bytes == 0:
            raise AudioEmpty("the file has no bytes", field="audio", value=0, limit=1)
        if size_bytes > self.max_bytes:
            raise AudioTooLarge.of(size_bytes, self.max_bytes)

    def check_length(self, seconds: float) -> None:
        """Refuse audio by its length.

        Raises:
            AudioTooShort: Less than min_seconds.
            AudioTooLong: More than max_seconds.
        """
        if seconds < self.min_seconds:
            raise AudioTooShort.of(seconds, self.min_seconds)
        if seconds > self.max_seconds:
            raise AudioTooLong.of(seconds, self.max_seconds)


@dataclass(frozen=True, slots=True)
class TrackEmbedding:
    """A track's vector with what is known of its sound.

    Attributes:
        vector: Shape (dim,), float32, unit L2 norm.
        windows: Vectors of the windows that voted, in order of time, shape (n, dim), float32, unit L2 norm.
        window_numbers: Which windows of the track they are, rising, shape (n,), int64; the first is 0.
        all_window_count: Windows of the track, silent ones and a dropped last part included.
        tags: Names and scores in [0, 1], best first.
        duration_seconds: Length of the decoded audio, silence included.
        descriptors: Measures that no model makes; None of samples, which come without the file they are of.
    """

    vector: Float32Array
    windows: Float32Array
    window_numbers: NDArray[np.int64]
    all_window_count: int
    tags: tuple[tuple[str, float], ...]
    duration_seconds: float
    descriptors: Descriptors | None

    def timeline(self) -> Float32Array:
        """Return a row for each window of the track, shape (all_window_count, dim), float32; zeros did not vote.

        So a row's number tells its time, whatever was silent before it.
        """
        rows = np.zeros((self.all_window_count, self.windows.shape[1]), dtype=np.float32)
        rows[self.window_numbers] = self.windows
        return rows


class TrackEmbedder:
    """Embeds audio through a batcher that others share.

    Args:
        encoder: Says how windows are cut and pooled; only the batcher runs it.
        batcher: Runs the model.
        decoders: Decoding processes by lane, so that bulk work cannot keep all of them from somebody who waits.
        seconds_in_flight: Sound of one track that may wait for the model at a time, or one window where that is
            longer: the bound of memory per track.
        metrics: Told of files; None tells nobody.
    """

    def __init__(
        self,
        encoder: Encoder,
        batcher: Batcher,
        decoders: dict[Lane, DecoderPool],
        seconds_in_flight: float,
        metrics: EmbedderMetrics | None = None,
    ) -> None:
        self._metrics = metrics or EmbedderMetrics()
        self._encoder = encoder
        self._batcher = batcher
        self._decoders = decoders
        self._windows_in_flight = max(1, int(seconds_in_flight / encoder.manifest.window_seconds))
        # The mean of 720 windows takes milliseconds, a transformer over them a tenth of a second.
        self._executor = ThreadPoolExecutor(2, "aggregator")

    async def embed(
        self, descriptor: int, limits: AudioLimits, lane: Lane, time_left_s: float | None = None
    ) -> TrackEmbedding:
        """Embed a file.

        Args:
            descriptor: A regular file, opened for reading, at its beginning; the caller closes it afterwards.
            limits: What is accepted.
            lane: Whom it goes before.
            time_left_s: How long somebody waits for the answer; None without end.

        Raises:
            AudioError: The file is refused, with value and limit.
            EmbedderBusy: Too many wait already.
            DecoderLost: The decoding process was killed, or was waited for too long; trying again helps.
            EncodingFailed: The model failed on it.
        """
        manifest = self._encoder.manifest
        spec = DecodeSpec(manifest.sample_rate_hz, manifest.window_samples, limits.min_seconds, limits.max_seconds)
        with self._metrics.file(lane.label) as notes, self._run(lane, time_left_s) as run:
            limits.check_size(os.fstat(descriptor).st_size)
            async with self._decoders[lane].decode(descriptor, spec) as decoding:
                await run.feed(decoding, limits.min_seconds)
            await run.finish()
            notes.audio_seconds = decoding.summary.seconds
            return await self._aggregated(run, decoding.summary.seconds, decoding.descriptors)

    async def embed_samples(
        self,
        windows: AsyncIterator[Float32Array],
        seconds: float,
        limits: AudioLimits,
        lane: Lane,
        time_left_s: float | None = None,
    ) -> TrackEmbedding:
        """Embed what needs no decoding.

        Args:
            windows: Mono sound at the encoder's rate, cut into its windows, shape (samples,), float32.
            seconds: Length of all of them together.
            limits: What is accepted; bytes do not matter here.
            lane: Whom it goes before.
            time_left_s: How long somebody waits for the answer; None without end.

        Raises:
            AudioError: The sound is refused, with value and limit.
            EmbedderBusy: Too many wait already.
            EncodingFailed: The model failed on it.
        """
        with self._metrics.file(lane.label) as notes, self._run(lane, time_left_s) as run:
            limits.check_length(seconds)
            await run.feed(windows, min_seconds=0)
            await run.finish()
            notes.audio_seconds = seconds
            return await self._aggregated(run, seconds, None)

    def close(self) -> None:
        """End the threads."""
        self._executor.shutdown()

    async def _aggregated(self, run: "_Run", seconds: float, descriptors: Descriptors | None) -> TrackEmbedding:
        began = time.monotonic()
        with tracing.span("aggregate"):
            loop = asyncio.get_running_loop()
            embedding = await loop.run_in_executor(self._executor, run.result, seconds, descriptors)
        self._metrics.aggregated(time.monotonic() - began)
        return embedding

    @contextlib.contextmanager
    def _run(self, lane: Lane, time_left_s: float | None) -> Iterator["_Run"]:
        expires_at = None if time_left_s is None else time.monotonic() + time_left_s
        run = _Run(self._encoder, self._batcher, lane, expires_at, self._windows_in_flight)
        try:
            yield run
        finally:
            run.cancel()


class _Run:
    """The windows of one track on their way through the batcher."""

    def __init__(
        self, encoder: Encoder, batcher: Batcher, lane: Lane, expires_at: float | None, in_flight: int
    ) -> None:
        self._manifest = encoder.manifest
        self._aggregator = encoder.aggregator
        self._batcher = batcher
        self._lane = lane
        self._expires_at = expires_at
        self._in_flight = in_flight
        self._choice = WindowChoice(encoder.manifest, encoder.min_samples)
        self._pending: deque[asyncio.Future[EncodedWindow]] = deque()
        self._done: list[EncodedWindow] = []
        self._seconds: list[float] = []
        self._numbers: list[int] = []
        self._seen_count = 0

    async def feed(self, windows: AsyncIterator[Float32Array], min_seconds: float) -> None:
        """Take all windows; none is encoded before the track is long enough, or as many are held as may wait."""
        held: list[Float32Array] = []
        held_samples = 0
        is_long_enough = False
        async for window in windows:
            held.append(window)
            held_samples += len(window)
            is_long_enough = is_long_enough or held_samples >= min_seconds * self._manifest.sample_rate_hz
            is_long_enough = is_long_enough or len(held) > self._in_flight
            if is_long_enough:
                await self._submit_all(held)
                held.clear()
        await self._submit_all(held)

    async def finish(self) -> None:
        """Wait for the windows that the model still has."""
        while self._pending:
            await self._collect()

    async def _submit_all(self, windows: list[Float32Array]) -> None:
        for window in windows:
            number = self._seen_count
            self._seen_count += 1
            if not self._choice.votes(window):
                continue
            if len(self._pending) >= self._in_flight:
                await self._collect()
            self._pending.append(self._batcher.submit(window, self._lane, self._expires_at))
            self._seconds.append(self._choice.seconds(window))
            self._numbers.append(number)

    async def _collect(self) -> None:
        self._done.append(await self._pending[0])
        self._pending.popleft()

    def cancel(self) -> None:
        """Take back what still waits; after `finish` there is nothing."""
        for future in self._pending:
            if not future.cancel() and not future.cancelled():
                future.exception()  # seen: the first failure is the one that is told

    def result(self, duration_seconds: float, descriptors: Descriptors | None) -> TrackEmbedding:
        """Aggregate what came back; blocks.

        Raises:
            AudioSilent: No window voted.
        """
        if not self._done:
            limit = self._manifest.pooling.silence_rms
            raise AudioSilent(
                f"no window of the audio is louder than {20 * np.log10(limit):.0f} dBFS",
                field="audio",
                limit=f"{20 * np.log10(limit):.0f} dBFS",
            )
        weights = np.array(self._seconds, dtype=np.float32)
        windows = np.stack([window.vector for window in self._done])  # (n, dim)
        scores = np.average([window.tags for window in self._done], axis=0, weights=weights)
        best_first = np.argsort(-scores, kind="stable")
        tags = tuple((self._manifest.tags[column], float(scores[column])) for column in best_first)
        vector = self._aggregator.aggregate(windows, weights)
        numbers = np.array(self._numbers, dtype=np.int64)
        return TrackEmbedding(vector, windows, numbers, self._seen_count, tags, duration_seconds, descriptors)
