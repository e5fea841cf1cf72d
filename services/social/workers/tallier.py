"""Counts what people do, a moment later and exactly once: signals are taken out and applied in one transaction."""

from collections.abc import Awaitable, Callable, Sequence

from services.social.store import counts, signals
from services.social.store.database import Connection, Database
from services.social.store.signals import Signal
from services.social.workers.background import Nudge, repeat

TALLY_INTERVAL_S = 0.5
_BATCH_SIZE = 5000

# Applies a batch, in the order in which it was told, in the transaction that took it out.
Fold = Callable[[Connection, Sequence[Signal]], Awaitable[None]]
# Counts of the whole, of playlists and of people, and what is popular.
STANDARD_FOLDS: Sequence[Fold] = (
    counts.add_to_counters,
    counts.add_to_playlists,
    counts.add_to_people,
    counts.add_heat,
)


class Tallier:
    """One of any number; the one that gets the lock counts, the others find nothing to do.

    Args:
        database: Where signals and counts are.
        folds: What is made of them, in this order: each updates tables of its own.
        nudge: Rung after commits, to look earlier.
    """

    def __init__(self, database: Database, folds: Sequence[Fold], nudge: Nudge | None = None) -> None:
        self._database = database
        self._folds = folds
        self._nudge = nudge

    async def run(self) -> None:
        """Count for ever, until cancelled."""
        await repeat("tally", self.catch_up, TALLY_INTERVAL_S, self._nudge)

    async def catch_up(self) -> int:
        """Count all that is there; return how many signals that were."""
        total = 0
        while count := await self._count_batch():
            total += count
            if count < _BATCH_SIZE:
                break
        return total

    async def _count_batch(self) -> int:
        async with self._database.transaction() as connection:
            taken = await signals.take(connection, _BATCH_SIZE)
            if taken:
                for fold in self._folds:
                    await fold(connection, taken)
        return len(taken)
