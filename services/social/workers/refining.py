"""Refines tracks: what follows from their names is made a moment later, by whichever process is free.

A registration need not know artists and albums, and neither need a release that registers tracks beside this one.
"""

from services.social.store import refine
from services.social.store.database import Database
from services.social.workers.background import repeat

REFINE_INTERVAL_S = 0.5
_BATCH_SIZE = 500


class Refiner:
    """One of any number: each takes tracks that no other one has.

    Args:
        database: Where tracks are.
        batch_size: Most tracks of a transaction.
    """

    def __init__(self, database: Database, batch_size: int = _BATCH_SIZE) -> None:
        self._database = database
        self._batch_size = batch_size

    async def run(self) -> None:
        """Refine for ever, until cancelled."""
        await repeat("refine", self.catch_up, REFINE_INTERVAL_S)

    async def catch_up(self) -> int:
        """Refine all that is there, a batch in a transaction; return how many tracks that were."""
        total = 0
        while count := await self._refine_batch():
            total += count
        return total

    async def _refine_batch(self) -> int:
        async with self._database.transaction() as connection:
            return await refine.refine(connection, self._batch_size)
