"""Counts the calls that are taken in, and refuses further ones before their bytes come."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.embedder.errors import EmbedderBusy

_FIRST_CALL_S = 2.0
_RETRY_AFTER_MS = (100, 30_000)
# Share of the newest call in the mean: the hint follows the load within some ten calls.
_NEWEST = 0.2


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What callers may ask for at a time.

    Attributes:
        files: Files of callers taken in; further calls are refused before their bytes come.
        batches: Streams of EmbedBatch.
        batch_items: Items of all such streams at work.
        idle_s: How long a stream may say nothing while nothing of it is at work.
    """

    files: int
    batches: int
    batch_items: int
    idle_s: float


class Admission:
    """A bound of calls at work. Whoever is refused is told when a place should be free: after a mean call.

    Args:
        max_calls: Calls at a time.
        what: What is counted, for the message.
        clock: Monotonic seconds.
    """

    def __init__(self, max_calls: int, what: str = "files", clock: Callable[[], float] = time.monotonic) -> None:
        self._max_calls = max_calls
        self._what = what
        self._clock = clock
        self._calls = 0
        self._mean_s = _FIRST_CALL_S

    @contextlib.contextmanager
    def admit(self) -> Iterator[None]:
        """Take a place for as long as the context lasts.

        Raises:
            EmbedderBusy: All are taken.
        """
        if self._calls >= self._max_calls:
            low, high = _RETRY_AFTER_MS
            raise EmbedderBusy(
                f"{self._calls} {self._what} are being embedded, limit is {self._max_calls}",
                value=self._calls,
                limit=self._max_calls,
                retry_after_ms=min(high, max(low, round(1000 * self._mean_s))),
            )
        self._calls += 1
        began = self._clock()
        try:
            yield
            # What is refused inside ends early and says nothing of how long a place is kept.
            self._mean_s += _NEWEST * (self._clock() - began - self._mean_s)
        finally:
            self._calls -= 1
