"""How many requests are worked on at once, how many wait for that, and when the next one is refused. Knows no HTTP."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

# However late the loop is, so many are at work: an answer that waits for another service leaves the loop to others.
LEAST_AT_WORK = 4
FIRST_AT_WORK = 16
# However slow they were, so many may wait: a page that is opened asks for some things at once.
LEAST_WAITING = 8
# A loop that is late for as long as this has more to do than it can; one that is late once had something large to do.
STANDING_S = 0.1
# Of the time from one that leaves to the next; what is taken for it at first is what a small answer takes.
_FIRST_PACE_S = 0.002
_PACE_WEIGHT = 0.1
# Whoever waited for so many times of what was meant is refused: what is before them takes longer than it used to.
_TOO_LONG = 4
# What is kept of those at work when a service behind has no place for them, how long nothing is added then, and how
# long what is added is one at a time.
_KEPT_WHEN_BUSY = 0.75
_BUSY_REST_S = 0.5
_BUSY_MEMORY_S = 10.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be.

    Attributes:
        most_at_work: Requests at once, whatever they wait for.
        target_delay_s: How late the loop may be before fewer are worked on at once.
        queue_s: How long a request may be expected to wait for its turn; beyond, it is refused at once.
    """

    most_at_work: int
    target_delay_s: float
    queue_s: float


class Place:
    """A place among those that are worked on, or in the queue for it.

    Args:
        admission: Which gives it.
        turn: Done when it is its turn, with False where that comes too late; None where it has begun.
        asked_at: When, on the clock of `admission`.
    """

    __slots__ = ("_admission", "asked_at", "is_held", "turn")

    def __init__(self, admission: "Admission", turn: "asyncio.Future[bool] | None", asked_at: float) -> None:
        self._admission = admission
        self.turn = turn
        self.asked_at = asked_at
        self.is_held = turn is None

    async def is_granted(self) -> bool:
        """Wait for its turn; False where it waited for too long."""
        return self.turn is None or await self.turn

    def leave(self) -> None:
        """Give it to the next; again, it does nothing."""
        if self.is_held:
            self.is_held = False
            self._admission.leave()

    def take_back(self) -> None:
        """Hold it again after it was left, without asking: what was begun is ended."""
        if not self.is_held:
            self.is_held = True
            self._admission.at_work += 1


class Admission:
    """Bounds the work of one event loop by how late that is.

    Requests at work share the loop, and each step of theirs, as each refusal, waits for a step of all others. So their
    number follows the loop's delay: down in proportion while that stands above the target, up while it is well below
    and the number is in the way, up to thousands where they only wait for other services. Behind it is a short queue,
    first come, first served, as long as can be begun within `queue_s` at the pace of late: that at which others end,
    since as many begin at once whenever their number grows. Nobody joins it whose first waits for longer than that.

    A service behind that refuses calls for want of a place makes no loop late, and whatever else was done for such a
    request is thrown away: the number at work comes down for it, too, and rises by one at a time for a while.

    Args:
        bounds: What may be.
        monotonic: Seconds that only rise.

    Attributes:
        limit: So many may be at work now.
        at_work: So many are; what was begun is ended, so it may be above a limit that has just come down.
        refused: How many were, by reason: "overloaded"; "full": as many are at work as may ever be; "waited".
    """

    def __init__(self, bounds: Bounds, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._bounds = bounds
        self._monotonic = monotonic
        self.limit = min(FIRST_AT_WORK, bounds.most_at_work)
        self.at_work = 0
        self.refused: Counter[str] = Counter()
        self._waiting: deque[Place] = deque()
        self._pace_s = _FIRST_PACE_S
        self._last_left: float | None = None
        self._late_since: float | None = None
        self._is_limit_in_the_way = False
        self._is_busy_behind = False
        self._busy_at = -_BUSY_MEMORY_S

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    @property
    def room(self) -> int:
        """How many may."""
        queue_s = self._bounds.queue_s
        if self._waiting and self._monotonic() - self._waiting[0].asked_at > queue_s:
            return LEAST_WAITING
        return max(LEAST_WAITING, min(self._bounds.most_at_work, int(queue_s / self._pace_s)))

    @property
    def is_full(self) -> bool:
        """Whether whoever asks now is refused."""
        return self.at_work >= self.limit and len(self._waiting) >= self.room

    def ask(self) -> Place | None:
        """Ask for a place; None is a refusal. Whoever gets one leaves it, once its turn has come."""
        if self.at_work < self.limit and not self._waiting:
            self.at_work += 1
            return Place(self, None, 0.0)
        self._is_limit_in_the_way = True
        if len(self._waiting) >= self.room:
            self.count_refusal()
            return None
        place = Place(self, asyncio.get_running_loop().create_future(), self._monotonic())
        self._waiting.append(place)
        return place

    def count_refusal(self) -> None:
        """Count one for which there was no room."""
        self.refused["full" if self.limit >= self._bounds.most_at_work else "overloaded"] += 1

    def leave(self) -> None:
        """Give a place back."""
        now = self._monotonic()
        if self._last_left is not None:
            self._pace_s += _PACE_WEIGHT * (now - self._last_left - self._pace_s)
        self._last_left = now
        self.at_work -= 1
        self._begin()

    def note_busy(self) -> None:
        """Take that a service behind had no place for a call."""
        self._is_busy_behind = True

    def observe(self, delay_s: float) -> None:
        """Take how late the loop is; to be told again and again while anything is at work."""
        now, target_s = self._monotonic(), self._bounds.target_delay_s
        self._drop_late(now)
        was_in_the_way, self._is_limit_in_the_way = self._is_limit_in_the_way, bool(self._waiting)
        if self._is_busy_behind:
            self._is_busy_behind = False
            if now - self._busy_at >= STANDING_S:  # what this does shows only later
                self._lower(_KEPT_WHEN_BUSY)
                self._busy_at = now
        if delay_s <= target_s:
            self._late_since = None
            if was_in_the_way and delay_s <= target_s / 2 and now - self._busy_at >= _BUSY_REST_S:
                step = 1 if now - self._busy_at < _BUSY_MEMORY_S else max(1, self.limit // 4)
                self.limit = min(self._bounds.most_at_work, self.limit + step)
                self._begin()
                self._is_limit_in_the_way = bool(self._waiting)
            return
        if self._late_since is None:
            self._late_since = now
        elif now - self._late_since >= STANDING_S:
            self._lower(max(0.5, target_s / delay_s))
            self._late_since = now  # what this does shows only later

    def _lower(self, share: float) -> None:
        self.limit = max(min(LEAST_AT_WORK, self.limit), int(min(self.limit, self.at_work) * share))

    def _begin(self) -> None:
        """Let those begin whose turn it is."""
        now = self._monotonic()
        self._drop_late(now)
        while self._waiting and self.at_work < self.limit:
            place = self._waiting.popleft()
            if place.turn is None or place.turn.done():
                continue  # it was cancelled
            self.at_work += 1
            place.is_held = True
            place.turn.set_result(True)
        if not self._waiting:  # who leaves from now on says nothing of who could
            self._last_left = None

    def _drop_late(self, now: float) -> None:
        """Refuse those for whom it is too late."""
        while self._waiting and now - self._waiting[0].asked_at > _TOO_LONG * self._bounds.queue_s:
            place = self._waiting.popleft()
            if place.turn is not None and not place.turn.done():
                self.refused["waited"] += 1
                place.turn.set_result(False)
