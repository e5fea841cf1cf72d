"""Forgets what is over: a list of sweeps, each of its own part of the service."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.social.store import accounts, idempotency, sign_up_keys
from services.social.store.database import Database
from services.social.workers.background import repeat

_SWEEP_INTERVAL_S = 60.0


@dataclass(frozen=True, slots=True)
class Sweep:
    """One kind of thing that is forgotten when its time is over.

    Attributes:
        name: For the logs, for example "sessions".
        run: Forgets what is over at a time; must leave nothing half done when it raises. What may be much goes in
            batches, each within the pool's timeout of statements.
        every_s: Pause between the end of one and the next.
    """

    name: str
    run: Callable[[Database, datetime], Awaitable[None]]
    every_s: float = _SWEEP_INTERVAL_S


async def sweep_keys(database: Database, now: datetime) -> None:
    """Forget idempotency keys whose time is over."""
    async with database.connection() as connection:
        await idempotency.delete_expired_keys(connection, now)
        await sign_up_keys.delete_expired(connection, now)


async def sweep_sessions(database: Database, now: datetime) -> None:
    """Forget sessions whose time is over."""
    async with database.connection() as connection:
        await accounts.delete_expired_sessions(connection, now)


class Sweeper:
    """Runs sweeps: of keys and sessions, and what the service's parts bring.

    Args:
        database: The truth.
        clock: Time of day.
        more: Sweeps of the parts.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime], more: Sequence[Sweep] = ()) -> None:
        self._database = database
        self._clock = clock
        self._sweeps = (Sweep("idempotency_keys", sweep_keys), Sweep("sessions", sweep_sessions), *more)

    async def run(self) -> None:
        """Sweep for ever, each kind on its own: one that fails keeps no other from its turn."""
        async with asyncio.TaskGroup() as tasks:
            for sweep in self._sweeps:
                step = self._step(sweep)
                tasks.create_task(repeat(f"sweep_{sweep.name}", step, sweep.every_s))

    async def sweep(self) -> None:
        """Sweep everything once.

        Raises:
            DatabaseUnavailable: The next call goes on.
        """
        for sweep in self._sweeps:
            await sweep.run(self._database, self._clock())

    def _step(self, sweep: Sweep) -> Callable[[], Awaitable[None]]:
        return lambda: sweep.run(self._database, self._clock())
