"""Asks social for those who follow something: so many at a time, and again while it cannot answer."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.chassis.errors import DeadlineExceeded, ResourceExhausted, Unavailable

# Of the process. One bell can wake everybody: social has others to answer.
_AT_A_TIME = 32
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 8.0

R = TypeVar("R")


class Asking:
    """The places of a process."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_AT_A_TIME)

    async def once(self, ask: Callable[[], Awaitable[R]]) -> R:
        """Ask.

        Raises:
            DomainError: What social says.
        """
        async with self._places:
            return await ask()

    async def patiently(self, ask: Callable[[], Awaitable[R]]) -> R:
        """Ask until social answers: who follows something does not lose it to an outage.

        Raises:
            DomainError: It refuses for good.
        """
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                return await self.once(ask)
            except (Unavailable, DeadlineExceeded, ResourceExhausted):
                await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))
            delay_s = min(2 * delay_s, _LONGEST_DELAY_S)
