"""Keeps the windows that wait for the model: two lanes, each in order and bounded. Runs no model, reads no clock."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from services.chassis.errors import DeadlineExceeded
from services.chassis.telemetry import tracing
from services.embedder.model import Float32Array

_ROUNDING = 1e-6


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
class Waiting:
    """A window, shape (samples,), float32, and who waits for it.

    `queued_at` and `expires_at` are times of the batcher's clock; `expires_at` is None where it is wanted for ever.
    `trace` is the span in which it waits. `is_suspect` after a batch failed with it.
    """

    window: Float32Array
    seconds: float
    future: "asyncio.Future[EncodedWindow]"
    queued_at: float
    expires_at: float | None
    trace: tracing.Headers
    is_suspect: bool = False


class WindowQueue:
    """The windows of one lane, oldest first. One whose future is done leaves at once, and its sound with it.

    Args:
        on_cancelled: Told of each window that leaves because nobody wants it any more.
    """

    def __init__(self, on_cancelled: Callable[[], None] = lambda: None) -> None:
        self._on_cancelled = on_cancelled
        self._windows: OrderedDict[Waiting, None] = OrderedDict()
        self._seconds = 0.0

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def seconds(self) -> float:
        """Sound that waits."""
        return self._seconds if self._windows else 0.0  # sums of floats do not come back to zero by themselves

    @property
    def oldest_at(self) -> float | None:
        """When the first window came; None where none waits."""
        return next(iter(self._windows)).queued_at if self._windows else None

    def append(self, waiting: Waiting) -> None:
        """Add a window at the end."""
        self._seconds = self.seconds + waiting.seconds
        self._windows[waiting] = None
        waiting.future.add_done_callback(lambda _: self._leave(waiting))

    def take(self, max_seconds: float) -> list[Waiting]:
        """Remove the first window and those behind it that are as long as it: `max_seconds` at most, or one window.

        A suspect goes alone.

        Windows of one length make a batch of one shape: nothing is padded, so no vector depends on its neighbours.
        """
        for waiting in [waiting for waiting in self._windows if waiting.future.done()]:
            self._leave(waiting)
        wanted = list(self._windows)
        alike = [waiting for waiting in wanted if len(waiting.window) == len(wanted[0].window)]
        if wanted and wanted[0].is_suspect:
            alike = wanted[:1]
        # Counted, not summed: ten windows of a tenth of the limit must not become nine by rounding.
        fitting = int(max_seconds / alike[0].seconds + _ROUNDING) if alike else 0
        batch = alike[: max(1, fitting)]
        for waiting in batch:
            self._remove(waiting)
        return batch

    def put_back(self, batch: list[Waiting]) -> None:
        """Put windows of a batch that failed before all others, each to be tried alone."""
        for waiting in reversed(batch):
            if not waiting.future.done():
                waiting.is_suspect = True
                self._seconds = self.seconds + waiting.seconds
                self._windows[waiting] = None
                self._windows.move_to_end(waiting, last=False)

    def end_late(self, now: float) -> int:
        """Fail the windows that nobody wants any more; returns how many there were."""
        late = [waiting for waiting in self._windows if waiting.expires_at is not None and now >= waiting.expires_at]
        for waiting in late:
            self._remove(waiting)
            if not waiting.future.done():
                error = DeadlineExceeded("the deadline passed while the window waited for the model")
                waiting.future.set_exception(error)
        return len(late)

    def cancel_all(self) -> None:
        """Cancel every window."""
        for waiting in list(self._windows):
            waiting.future.cancel()
        self._windows.clear()

    def _leave(self, waiting: Waiting) -> None:
        if waiting in self._windows:
            self._remove(waiting)
            self._on_cancelled()

    def _remove(self, waiting: Waiting) -> None:
        if waiting in self._windows:
            del self._windows[waiting]
            self._seconds -= waiting.seconds
