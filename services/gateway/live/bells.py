"""Bells in memory: whoever watches a thing is woken when something happened to it, and reads it for themselves."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator


class Bell:
    """Of one watcher. What rings again before it was heard is one ring: a slow watcher holds no more than this."""

    __slots__ = ("_event", "_reasons")

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._reasons: set[str] = set()

    def ring(self, reason: str) -> None:
        """Wake the watcher, and tell why."""
        self._reasons.add(reason)
        self._event.set()

    def take(self) -> frozenset[str]:
        """Return why it rang since it was last taken, and listen anew: before reading, so that nothing is missed."""
        reasons = frozenset(self._reasons)
        self._reasons.clear()
        self._event.clear()
        return reasons

    async def wait(self, timeout_s: float) -> bool:
        """Wait for a ring; say whether there was one in time."""
        # Not wait_for: before Python 3.12 it loses a cancellation that comes with the ring.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        return self._event.is_set()


class Bells:
    """The bells of a process by what they are about, for example "job/ID"."""

    def __init__(self) -> None:
        self._bells: defaultdict[str, set[Bell]] = defaultdict(set)

    def ring(self, key: str, reason: str = "") -> None:
        """Wake the watchers of a thing."""
        for bell in self._bells.get(key, ()):
            bell.ring(reason)

    @contextlib.contextmanager
    def watch(self, key: str) -> Iterator[Bell]:
        """Watch a thing."""
        bell = Bell()
        self._bells[key].add(bell)
        try:
            yield bell
        finally:
            self._bells[key].discard(bell)
            if not self._bells[key]:
                del self._bells[key]

    @property
    def watcher_count(self) -> int:
        """How many watchers there are."""
        return sum(len(bells) for bells in self._bells.values())
