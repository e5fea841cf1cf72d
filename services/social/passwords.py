"""Hashes and verifies passwords with argon2id, a few at a time and off the event loop, and slows guessing down."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from services.social.errors import PasswordQueueFull, TooManyAttempts

T = TypeVar("T")

# RFC 9106's shape at OWASP's size: 19 MiB, two passes, one lane; 30–50 ms of a core.
_ARGON2ID = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class PasswordHasher:
    """Hashes passwords on threads of its own.

    Args:
        concurrency: Passwords hashed at a time, each 19 MiB.
        queue_size: Further ones that may wait; more are refused.
    """

    def __init__(self, concurrency: int, queue_size: int) -> None:
        self._executor = ThreadPoolExecutor(concurrency, thread_name_prefix="argon2")
        self._places = concurrency + queue_size
        self._taken = 0
        # Verified instead of nothing where there is no such person, so that both answers take the same time.
        self._nobodys_hash = _ARGON2ID.hash("nobody")

    async def hash(self, password: str) -> str:
        """Return the encoded hash of a password, with its salt and parameters.

        Raises:
            PasswordQueueFull: Too many wait already.
        """
        return await self._run(lambda: _ARGON2ID.hash(password))

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Say whether a password is the hashed one; takes as long, and says no, where there is no hash.

        Raises:
            PasswordQueueFull: Too many wait already.
        """
        return await self._run(lambda: _matches(encoded or self._nobodys_hash, password)) and encoded is not None

    def close(self) -> None:
        """Let what runs end, and take nothing more."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._taken >= self._places:
            raise PasswordQueueFull(self._places)
        self._taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._taken -= 1


def _matches(encoded: str, password: str) -> bool:
    try:
        return _ARGON2ID.verify(encoded, password)
    except (VerificationError, InvalidHashError):
        return False


@dataclass(slots=True)
class _Window:
    ends_at: float
    failures: int


class FailedLogins:
    """Counts failed log-ins by login in this process, so that guessing is refused before anything is hashed.

    Args:
        limit: Failures that a login may have within a window.
        window_s: Length of a window, which begins with the first failure.
        clock: Monotonic seconds.
        capacity: Logins remembered; the one that failed longest ago is forgotten first.
    """

    def __init__(self, limit: int, window_s: float, clock: Callable[[], float], capacity: int = 10_000) -> None:
        self._limit = limit
        self._window_s = window_s
        self._clock = clock
        self._capacity = capacity
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def check(self, login: str) -> None:
        """Let a log-in be tried.

        Raises:
            TooManyAttempts: With the time to wait.
        """
        window = self._windows.get(login)
        left_s = window.ends_at - self._clock() if window is not None else 0.0
        if window is not None and left_s > 0 and window.failures >= self._limit:
            raise TooManyAttempts(window.failures, self._limit, retry_after_ms=int(left_s * 1000) + 1)

    def failed(self, login: str) -> None:
        """Remember that a log-in failed."""
        now = self._clock()
        window = self._windows.pop(login, None)
        if window is None or window.ends_at <= now:
            window = _Window(now + self._window_s, 0)
        window.failures += 1
        self._windows[login] = window
        while len(self._windows) > self._capacity:
            self._windows.popitem(last=False)

    def succeeded(self, login: str) -> None:
        """Forget the failures of a login."""
        self._windows.pop(login, None)
