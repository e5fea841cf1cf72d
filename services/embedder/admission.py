"""Counts the calls that are taken in, and refuses further ones before their bytes come."""

import contextlib
import time
from collections import Counter
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
        files_of_one: Of these, those of one user: nobody closes the service for others. Workers have no such bound.
        batches: Streams of EmbedBatch.
        batch_items: Items of all such streams at work.
        idle_s: How long a stream may say nothing while nothing of it is at work.
    """

    files: int
    files_of_one: int
    batches: int
    batch_items: int
    idle_s: float


class Admission:
    """A bound of calls at work. Whoever is refused is told when a place should be free: after a mean call.

    Args:
        max_calls: Calls at a time.
        what: What is counted, for the message.
        clock: Monotonic seconds.
        max_of_one: Calls of one caller at a time; None sets no such bound.
    """

    def __init__(
        self,
        max_calls: int,
        what: str = "files",
        clock: Callable[[], float] = time.monotonic,
        max_of_one: int | None = None,
    ) -> None:
        self._max_calls = max_calls
        self._what = what
        self._clock = clock
        self._max_of_one = max_of_one
        self._calls = 0
        self._calls_of: Counter[str] = Counter()
        self._mean_s = _FIRST_CALL_S

    @contextlib.contextmanager
    def admit(self, caller: str = "") -> Iterator[None]:
        """Take a place for as long as the context lasts.

        Args:
            caller: Whose place counts against the bound of one caller; empty counts for nobody.

        Raises:
            EmbedderBusy: All are taken, or as many by this caller as one may have.
        """
        if self._calls >= self._max_calls:
            raise self._busy(self._calls, "are being embedded", self._max_calls)
        if self._max_of_one is not None and caller and self._calls_of[caller] >= self._max_of_one:
            raise self._busy(self._calls_of[caller], "of one caller are being embedded", self._max_of_one)
        self._calls += 1
        self._calls_of[caller] += 1
        began = self._clock()
        try:
            yield
            # What is refused inside ends early and says nothing of how long a place is kept.
            self._mean_s += _NEWEST * (self._clock() - began - self._mean_s)
        finally:
            self._calls -= 1
            self._calls_of[caller] -= 1
            self._calls_of += Counter()  # forgets who has none

    def _busy(self, calls: int, what_of_them: str, limit: int) -> EmbedderBusy:
        low, high = _RETRY_AFTER_MS
        return EmbedderBusy(
            f"{calls} {self._what} {what_of_them}, limit is {limit}",
            value=calls,
            limit=limit,
            retry_after_ms=min(high, max(low, round(1000 * self._mean_s))),
        )
