"""How much each viewer has left to ask for: leaky buckets of points and of time, in this process alone."""

import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.chassis import auth
from services.chassis.errors import ResourceExhausted

# Each takes about 200 bytes.
_MAX_BUCKETS = 20_000


@dataclass(slots=True)
class _Time:
    left_s: float
    seen_at: float
    running: int = 0


class TimeBudgets:
    """Seconds that each viewer's calls upstream may take: what a document keeps others busy with, whatever it costs.

    A call takes a second a second while it runs, and some come back all the time: so many calls may always be under
    way, and more for a while.

    Args:
        capacity_s: Seconds of a full bucket; as much may be owed.
        refill_per_s: Seconds that come back in a second.
        clock: Seconds that only grow.
    """

    def __init__(self, capacity_s: float, refill_per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity_s = capacity_s
        self._refill_per_s = refill_per_s
        self._clock = clock
        self._times: OrderedDict[str, _Time] = OrderedDict()

    def check(self, key: str) -> None:
        """Refuse a viewer whose calls have taken too much.

        Raises:
            ResourceExhausted: TIME_LIMIT_REACHED.
        """
        left_s = self._time(key).left_s
        if left_s <= 0:
            raise ResourceExhausted(
                f"what you asked for keeps other services busy for too long; {self._refill_per_s:g} seconds of it come "
                "back a second",
                reason="TIME_LIMIT_REACHED",
                limit=f"{self._capacity_s:g}",
                retry_after_ms=int(1000 * -left_s / self._refill_per_s) + 1000,
            )

    @contextlib.contextmanager
    def calling(self, key: str) -> Iterator[None]:
        """Count a call for as long as the context lasts."""
        kept = self._time(key)
        kept.running += 1
        try:
            yield
        finally:
            self._pass(kept)
            kept.running -= 1

    def clear(self) -> None:
        """Forget what was taken."""
        self._times.clear()

    def _time(self, key: str) -> _Time:
        kept = self._times.get(key)
        if kept is None:
            kept = self._times[key] = _Time(self._capacity_s, self._clock())
            if len(self._times) > _MAX_BUCKETS:
                self._times.popitem(last=False)
            return kept
        self._times.move_to_end(key)
        self._pass(kept)
        return kept

    def _pass(self, kept: _Time) -> None:
        now = self._clock()
        left_s = kept.left_s + (now - kept.seen_at) * (self._refill_per_s - kept.running)
        kept.left_s = max(-self._capacity_s, min(self._capacity_s, left_s))
        kept.seen_at = now


@dataclass(slots=True)
class _Bucket:
    left: float
    seen_at: float


class Budgets:
    """A bucket a viewer, full at first, that fills again all the time.

    What costs more than a whole bucket may run once it is full, and is paid for afterwards: otherwise the number of
    workers would decide what can be asked at all.

    Args:
        capacity: Points of a full bucket.
        refill_per_s: Points that come back in a second.
        clock: Seconds that only grow.
        times: What viewers' calls may take; None bounds nothing.
    """

    def __init__(
        self,
        capacity: int,
        refill_per_s: float,
        clock: Callable[[], float] = time.monotonic,
        times: TimeBudgets | None = None,
    ) -> None:
        self.times = times or TimeBudgets(math.inf, 1.0)
        self.capacity = capacity
        self.refill_per_s = refill_per_s
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    @classmethod
    def of_worker(
        cls, capacity: int, refill_per_s: int, workers: int, time_capacity_s: float, time_refill_per_s: float
    ) -> "Budgets":
        """Return a worker's share of what all workers together give a viewer."""
        times = TimeBudgets(time_capacity_s / workers, time_refill_per_s / workers)
        return cls(max(1, capacity // workers), refill_per_s / workers, times=times)

    def spend(self, key: str, cost: int) -> int:
        """Take points out of a bucket and return what is left in it.

        Raises:
            ResourceExhausted: COST_LIMIT_REACHED; nothing was taken.
        """
        bucket = self._bucket(key)
        needed = min(cost, self.capacity)
        if bucket.left < needed:
            raise ResourceExhausted(
                f"this costs {cost} points and {int(bucket.left)} are left; {self.refill_per_s:g} come back a second",
                reason="COST_LIMIT_REACHED",
                value=cost,
                limit=self.capacity,
                retry_after_ms=int(1000 * (needed - bucket.left) / self.refill_per_s) + 1,
            )
        bucket.left -= cost
        return int(bucket.left)

    def give_back(self, key: str, cost: int) -> int:
        """Put points back that were not needed after all, and return what is left."""
        bucket = self._bucket(key)
        bucket.left = min(self.capacity, bucket.left + cost)
        return int(bucket.left)

    def left(self, key: str) -> int:
        """Return what is left in a bucket."""
        return int(self._bucket(key).left)

    def clear(self) -> None:
        """Fill all buckets."""
        self._buckets.clear()
        self.times.clear()

    def _bucket(self, key: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self.capacity, now)
            if len(self._buckets) > _MAX_BUCKETS:
                # Whoever was away for longest; mostly their bucket is full again, which is the same as none.
                self._buckets.popitem(last=False)
            return bucket
        self._buckets.move_to_end(key)
        bucket.left = min(self.capacity, bucket.left + (now - bucket.seen_at) * self.refill_per_s)
        bucket.seen_at = now
        return bucket


def bucket_key() -> str:
    """Return whose bucket this task spends from: a user's with all their tokens, or that of a network's guests."""
    viewer = auth.viewer()
    return f"user {viewer.user_id}" if viewer is not None else f"guests {auth.client()}"
