"""Joins windows of concurrent callers into batches for the one thread that runs the model. Knows no tracks."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from services.chassis.telemetry import tracing
from services.embedder.errors import AudioCorrupt, EmbedderBusy, EncodingFailed, ModelBroken
from services.embedder.lanes import EncodedWindow, Lane, Waiting, WindowQueue
from services.embedder.metrics import EmbedderMetrics
from services.embedder.model import Encoded, Encoder, Float32Array

logger = logging.getLogger(__name__)

# Until a batch was timed: real time, which every encoder that is worth serving beats.
_FIRST_PACE = 1.0
_MIN_RETRY_AFTER_MS = 100
_MAX_RETRY_AFTER_MS = 60_000


class Batcher:
    """Runs an encoder over windows from many callers; `run` must be running for anything to happen.

    A batch holds windows of one lane: a window of somebody who waits is delayed by the batch at hand, and by no other
    bulk work.

    Args:
        encoder: Called from one thread of this object's own.
        max_batch_seconds: Most sound in one call; a longer window goes alone.
        max_delay_ms: How long the first window of a batch waits for others.
        max_queued_seconds: Sound that may wait in each lane; further windows are refused.
        clock: Monotonic seconds.
        metrics: Told of queues and batches; None tells nobody.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        max_batch_seconds: float,
        max_delay_ms: float,
        max_queued_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        metrics: EmbedderMetrics | None = None,
    ) -> None:
        self._metrics = metrics or EmbedderMetrics()
        self._encoder = encoder
        self._rate_hz = encoder.manifest.sample_rate_hz
        self._max_batch_seconds = max_batch_seconds
        self._max_delay_s = max_delay_ms / 1000
        self._max_queued_seconds = max_queued_seconds
        self._clock = clock
        self._queues = {lane: self._make_queue(lane) for lane in Lane}
        self._arrived = asyncio.Event()
        self._executor = ThreadPoolExecutor(1, "encoder")
        self._pace = _FIRST_PACE
        noise = np.random.default_rng(0).standard_normal(encoder.manifest.window_samples)
        self._known_good: Float32Array = (0.05 * noise).astype(np.float32)

    def submit(
        self, window: Float32Array, lane: Lane, expires_at: float | None = None
    ) -> "asyncio.Future[EncodedWindow]":
        """Queue one window and return its future; cancelling that takes the window out of the queue.

        Args:
            window: Shape (samples,), float32, as the encoder wants it.
            lane: Whom it goes before.
            expires_at: Time of the clock after which nobody wants it.

        Raises:
            EmbedderBusy: The lane is full.
        """
        seconds = len(window) / self._rate_hz
        queue = self._queues[lane]
        if len(queue) and queue.seconds + seconds > self._max_queued_seconds:
            raise EmbedderBusy(
                f"{queue.seconds:.0f} s of sound wait for the model, limit is {self._max_queued_seconds:g} s",
                value=f"{queue.seconds:.0f}",
                limit=f"{self._max_queued_seconds:g}",
                retry_after_ms=self.retry_after_ms(lane),
            )
        future: asyncio.Future[EncodedWindow] = asyncio.get_running_loop().create_future()
        queue.append(Waiting(window, seconds, future, self._clock(), expires_at, tracing.headers()))
        self._tell_depth(lane)
        self._arrived.set()
        return future

    def queued_seconds(self, lane: Lane) -> float:
        """Return how much sound waits in a lane."""
        return self._queues[lane].seconds

    def retry_after_ms(self, lane: Lane) -> int:
        """Estimate how long the model needs for what waits in a lane, 0.1 to 60 s."""
        estimate_ms = round(1000 * self._pace * self._queues[lane].seconds)
        return min(_MAX_RETRY_AFTER_MS, max(_MIN_RETRY_AFTER_MS, estimate_ms))

    async def run(self) -> None:
        """Encode what is queued, for ever.

        Raises:
            ModelBroken: The model fails on everything; only a new process helps.
        """
        while True:
            lane = await self._gather()
            batch = self._queues[lane].take(self._max_batch_seconds)
            if not batch:  # cancelled just now
                continue
            began = self._clock()
            self._tell_batch(lane, batch, began)
            # A trace of its own: it works for several callers.
            links = [waiting.trace for waiting in batch]
            try:
                with tracing.span("batch", parent={}, links=links, museed__items=len(batch)):
                    await self._encode(lane, batch)
            except BaseException:
                for waiting in batch:
                    waiting.future.cancel()  # this task is being cancelled, or the model is broken
                raise
            self._pace = (self._clock() - began) / sum(waiting.seconds for waiting in batch)

    def close(self) -> None:
        """Cancel what waits and end the thread; blocks until the batch at hand is done."""
        for queue in self._queues.values():
            queue.cancel_all()
        self._executor.shutdown()

    async def _gather(self) -> Lane:
        """Wait until a batch is full, or its first window has waited long enough; return its lane."""
        while True:
            self._arrived.clear()
            now = self._clock()
            for lane, queue in self._queues.items():
                for _ in range(queue.end_late(now)):
                    self._metrics.dropped(lane.label, "expired")
                self._tell_depth(lane)
            first = next((lane for lane in Lane if len(self._queues[lane])), None)
            timeout_s = None
            if first is not None:
                queue = self._queues[first]
                timeout_s = (queue.oldest_at or now) + self._max_delay_s - now
                if timeout_s <= 0 or queue.seconds >= self._max_batch_seconds:
                    return first
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), timeout_s)

    async def _encode(self, lane: Lane, batch: list[Waiting]) -> None:
        """Encode a batch; when the model fails on it, its windows are tried one by one, behind whoever goes first.

        Raises:
            ModelBroken: The model fails on sound that it took before: no window is to blame.
        """
        began = self._clock()
        try:
            encoded = await self._call([waiting.window for waiting in batch])
        except Exception as error:  # whatever a model raises belongs to a window, not to the service
            if len(batch) > 1:
                self._queues[lane].put_back(batch)
                return
            await self._blame(batch[0], error)
            return
        taken_s = self._clock() - began
        self._metrics.model_ran(taken_s)
        for waiting in batch:
            tracing.record("model", taken_s, parent=waiting.trace, museed__items=len(batch))
        for row, waiting in enumerate(batch):
            _finish(waiting, EncodedWindow(encoded.vectors[row], encoded.tags[row]))

    async def _blame(self, waiting: Waiting, error: Exception) -> None:
        logger.error("window_failed", exc_info=error, extra={"samples": len(waiting.window)})
        self._metrics.model_failed()
        try:
            await self._call([self._known_good])
        except Exception as broken:  # as above
            raise ModelBroken("the model fails on every sound") from broken
        failure = EncodingFailed("the model failed on this audio")
        failure.__cause__ = error
        _fail(waiting, failure)

    async def _call(self, windows: list[Float32Array]) -> Encoded:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: self._encoder.encode(np.stack(windows)))

    def _make_queue(self, lane: Lane) -> WindowQueue:
        return WindowQueue(lambda: self._metrics.dropped(lane.label, "cancelled"))

    def _tell_batch(self, lane: Lane, batch: list[Waiting], now: float) -> None:
        for waiting in batch:
            waited_s = now - waiting.queued_at
            self._metrics.waited(lane.label, waited_s)
            tracing.record("queue_wait", waited_s, parent=waiting.trace, museed__lane=lane.label)
        seconds = sum(waiting.seconds for waiting in batch)
        self._metrics.batched(len(batch), seconds, now - min(waiting.queued_at for waiting in batch))
        self._tell_depth(lane)

    def _tell_depth(self, lane: Lane) -> None:
        self._metrics.queued(lane.label, len(self._queues[lane]), self._queues[lane].seconds)


def _finish(waiting: Waiting, window: EncodedWindow) -> None:
    if not np.isfinite(window.vector).all():
        _fail(waiting, AudioCorrupt("the audio has no finite vector", field="audio"))
    elif not waiting.future.done():
        waiting.future.set_result(window)


def _fail(waiting: Waiting, error: Exception) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)
