"""Joins windows of concurrent callers into batches for the one thread that runs the model. Knows no tracks."""

import asyncio
import contextlib
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from services.chassis.errors import DeadlineExceeded
from services.chassis.telemetry import tracing
from services.embedder.errors import AudioCorrupt, EmbedderBusy, EncodingFailed
from services.embedder.metrics import EmbedderMetrics
from services.embedder.model import Encoded, Encoder, Float32Array

logger = logging.getLogger(__name__)

_FIRST_BATCH_S = 0.5
_MIN_RETRY_AFTER_MS = 100


class Lane(IntEnum):
    """Who goes first: somebody who waits before work that nobody watches."""

    INTERACTIVE = 0
    BULK = 1

    @property
    def label(self) -> str:
        """Name as metrics and spans have it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class EncodedWindow:
    """One window's unit vector, shape (dim,), and tag scores, shape (n_tags,), both float32."""

    vector: Float32Array
    tags: Float32Array


@dataclass(eq=False, slots=True)
class _Item:
    window: Float32Array
    lane: Lane
    future: "asyncio.Future[EncodedWindow]"
    queued_at: float
    expires_at: float | None
    trace: tracing.Headers


@dataclass(slots=True)
class _Queues:
    """The windows that wait, by lane, oldest first."""

    lanes: tuple[deque[_Item], ...] = field(default_factory=lambda: tuple(deque() for _ in Lane))

    def __len__(self) -> int:
        return sum(len(lane) for lane in self.lanes)

    def __iter__(self) -> Iterator[_Item]:
        return itertools.chain.from_iterable(self.lanes)

    def drop(self, is_dead: Callable[[_Item], bool]) -> None:
        for lane in self.lanes:
            alive = [item for item in lane if not is_dead(item)]
            lane.clear()
            lane.extend(alive)

    def take(self, limit: int) -> list[_Item]:
        """Remove the first window and those behind it that are as long as it, at most `limit`."""
        batch: list[_Item] = []
        for lane in self.lanes:
            left: list[_Item] = []
            while lane and len(batch) < limit:
                item = lane.popleft()
                is_fit = not batch or len(item.window) == len(batch[0].window)
                (batch if is_fit else left).append(item)
            lane.extendleft(reversed(left))
        return batch


class Batcher:
    """Runs an encoder over windows from many callers; `run` must be running for anything to happen.

    Args:
        encoder: Called from one thread of this object's own.
        max_batch_windows: Most windows in one call.
        max_delay_ms: How long the first window of a batch waits for others.
        max_queued_windows: Windows that may wait in each lane; further ones are refused.
        clock: Monotonic seconds.
        metrics: Told of queues and batches; None tells nobody.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        max_batch_windows: int,
        max_delay_ms: float,
        max_queued_windows: int,
        clock: Callable[[], float] = time.monotonic,
        metrics: EmbedderMetrics | None = None,
    ) -> None:
        self._metrics = metrics or EmbedderMetrics()
        self._rate_hz = encoder.manifest.sample_rate_hz
        self._encoder = encoder
        self._max_batch_windows = max_batch_windows
        self._max_delay_s = max_delay_ms / 1000
        self._max_queued_windows = max_queued_windows
        self._clock = clock
        self._queues = _Queues()
        self._arrived = asyncio.Event()
        self._executor = ThreadPoolExecutor(1, "encoder")
        self._batch_s = _FIRST_BATCH_S

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
        waiting = len(self._queues.lanes[lane])
        if waiting >= self._max_queued_windows:
            hint_ms = int(1000 * self._batch_s * waiting / self._max_batch_windows)
            raise EmbedderBusy(
                f"{waiting} windows wait for the model, limit is {self._max_queued_windows}",
                value=waiting,
                limit=self._max_queued_windows,
                retry_after_ms=max(_MIN_RETRY_AFTER_MS, hint_ms),
            )
        future: asyncio.Future[EncodedWindow] = asyncio.get_running_loop().create_future()
        item = _Item(window, lane, future, self._clock(), expires_at, tracing.headers())
        self._queues.lanes[lane].append(item)
        self._tell_depth(lane)
        self._arrived.set()
        return future

    async def run(self) -> None:
        """Encode what is queued, for ever."""
        while True:
            await self._gather()
            batch = self._queues.take(self._max_batch_windows)
            if batch:
                began = self._clock()
                self._tell_batch(batch, began)
                try:
                    # A trace of its own: it works for several callers.
                    links = [item.trace for item in batch]
                    with tracing.span("batch", parent={}, links=links, museed__items=len(batch)):
                        await self._encode(batch)
                finally:
                    for item in batch:
                        item.future.cancel()  # those without a result: this task itself is being cancelled
                self._batch_s = self._clock() - began

    def _tell_batch(self, batch: list[_Item], now: float) -> None:
        for item in batch:
            waited_s = now - item.queued_at
            self._metrics.waited(item.lane.label, waited_s)
            tracing.record("queue_wait", waited_s, parent=item.trace, museed__lane=item.lane.label)
        samples = sum(len(item.window) for item in batch)
        self._metrics.batched(len(batch), samples / self._rate_hz, now - min(item.queued_at for item in batch))
        for lane in {item.lane for item in batch}:
            self._tell_depth(lane)

    def _tell_depth(self, lane: Lane) -> None:
        waiting = self._queues.lanes[lane]
        self._metrics.queued(lane.label, len(waiting), sum(len(item.window) for item in waiting) / self._rate_hz)

    def close(self) -> None:
        """Cancel what waits and end the thread; blocks until the batch at hand is done."""
        for item in self._queues:
            item.future.cancel()
        self._executor.shutdown()

    async def _gather(self) -> None:
        """Wait until a batch is full, or its first window has waited long enough."""
        while True:
            self._arrived.clear()
            self._queues.drop(self._is_dead)
            if len(self._queues) >= self._max_batch_windows:
                return
            timeout_s = None
            if len(self._queues):
                oldest = min(item.queued_at for item in self._queues)
                timeout_s = oldest + self._max_delay_s - self._clock()
                if timeout_s <= 0:
                    return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), timeout_s)

    def _is_dead(self, item: _Item) -> bool:
        if not item.future.done() and item.expires_at is not None and self._clock() >= item.expires_at:
            item.future.set_exception(DeadlineExceeded("the deadline passed while the window waited for the model"))
            self._metrics.dropped(item.lane.label, "expired")
        elif item.future.cancelled():
            self._metrics.dropped(item.lane.label, "cancelled")
        return item.future.done()

    async def _encode(self, batch: list[_Item]) -> None:
        """Encode a batch; when the model fails on it, halve it until the culprit fails alone."""
        loop = asyncio.get_running_loop()
        windows = [item.window for item in batch]
        began = self._clock()
        try:
            encoded = await loop.run_in_executor(self._executor, self._call, windows)
        except Exception as error:  # whatever a model raises belongs to a window, not to the service
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._encode(batch[:middle])
                await self._encode(batch[middle:])
                return
            logger.exception("window_failed", extra={"samples": len(batch[0].window)})
            failure = EncodingFailed("the model failed on this audio")
            failure.__cause__ = error
            self._metrics.model_failed()
            _fail(batch[0], failure)
            return
        self._metrics.model_ran(self._clock() - began)
        for row, item in enumerate(batch):
            _finish(item, EncodedWindow(encoded.vectors[row], encoded.tags[row]))

    def _call(self, windows: list[Float32Array]) -> Encoded:
        return self._encoder.encode(np.stack(windows))


def _finish(item: _Item, window: EncodedWindow) -> None:
    if not np.isfinite(window.vector).all():
        _fail(item, AudioCorrupt("the audio has no finite vector", field="audio"))
    elif not item.future.done():
        item.future.set_result(window)


def _fail(item: _Item, error: Exception) -> None:
    if not item.future.done():
        item.future.set_exception(error)
