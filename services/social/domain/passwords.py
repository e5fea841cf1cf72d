"""Hashes and verifies passwords with argon2id, a few at a time and off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from services.social.errors import PasswordQueueFull

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
        """Say whether a password is the hashed one; takes as long, and says no, where there is none, or an empty one.

        Raises:
            PasswordQueueFull: Too many wait already.
        """
        return await self._run(lambda: _matches(encoded or self._nobodys_hash, password)) and bool(encoded)

    async def renewed(self, encoded: str, password: str) -> str | None:
        """Return a new hash of a password that was verified, where the old one was made with other parameters.

        Raises:
            PasswordQueueFull: Too many wait already.
        """
        return await self.hash(password) if _ARGON2ID.check_needs_rehash(encoded) else None

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
