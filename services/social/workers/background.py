"""What this process does on its own: steps that repeat for ever, and bells that wake them early."""

import asyncio
import contextlib
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator

from services.chassis import telemetry
from services.chassis.errors import DomainError
from services.social.domain.ids import UserId

logger = logging.getLogger(__name__)


class Nudge:
    """Wakes a sleeper. A ring while it is awake keeps it from sleeping the next time."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake the sleeper."""
        self._event.set()

    async def wait(self, timeout_s: float) -> None:
        """Sleep until somebody rings, at most `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        self._event.clear()


class Bells:
    """Tells those who wait in this process for news of one thing, by its id."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, list[Nudge]] = defaultdict(list)

    def ring(self, key: str) -> None:
        """Wake everybody who listens for this thing."""
        for nudge in self._waiting.get(key, ()):
            nudge.ring()

    @contextlib.contextmanager
    def listening(self, key: str) -> Iterator[Nudge]:
        """Listen for one thing: nothing that rings inside of the block is missed.

        Yields:
            What to wait on.
        """
        nudge = Nudge()
        self._waiting[key].append(nudge)
        try:
            yield nudge
        finally:
            self._waiting[key].remove(nudge)
            if not self._waiting[key]:
                del self._waiting[key]


class Waits:
    """Bounds how many calls may wait at a time, of a person and of all.

    Args:
        limit: Of all.
        limit_of_person: Of one.
    """

    def __init__(self, limit: int, limit_of_person: int) -> None:
        self._limit = limit
        self._limit_of_person = limit_of_person
        self._waits: Counter[UserId] = Counter()

    @contextlib.contextmanager
    def of(self, user_id: UserId) -> Iterator[bool]:
        """Count a wait for as long as the context lasts, where there is room for it.

        Yields:
            Whether there is.
        """
        if self._waits[user_id] >= self._limit_of_person or self._waits.total() >= self._limit:
            yield False
            return
        self._waits[user_id] += 1
        try:
            yield True
        finally:
            self._waits[user_id] -= 1
            if not self._waits[user_id]:
                del self._waits[user_id]


def raise_if_cancelled() -> None:
    """End this task if it was told to: for loops, since what they await may swallow that.

    Python 3.11's `asyncio.wait_for`, which nats-py uses, returns its result where it is cancelled at the very moment
    at which that arrives; a loop around it would then never end.

    Raises:
        asyncio.CancelledError: Somebody has cancelled the task.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def repeat(name: str, step: Callable[[], Awaitable[object]], every_s: float, nudge: Nudge | None = None) -> None:
    """Run a step for ever, `every_s` apart or when nudged; whatever it raises, the next one comes.

    Args:
        name: For the logs.
        step: What to do; must leave nothing half done when it raises.
        every_s: Pause between the end of a step and the next.
        nudge: Ends the pause early.
    """
    pause = nudge or Nudge()
    while True:
        telemetry.begin_request(None)
        try:
            await step()
        except DomainError as error:
            logger.warning("step_failed", extra={"step": name, "reason": error.reason, "detail": error.message})
        except Exception:  # the border of this process: a fault in one step must not end the others
            logger.exception("step_failed", extra={"step": name})
        raise_if_cancelled()
        await pause.wait(every_s)
