"""Finds which tracks are heard by the same people: each day for the tracks that were heard the day before."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from services.social.store import pairs
from services.social.store.database import Database
from services.social.workers.background import repeat

logger = logging.getLogger(__name__)

_INTERVAL_S = 60.0
_BATCH_SIZE = 10


class PairMaker:
    """One of any number; the one that gets the lock makes the next few tracks.

    Args:
        database: The truth.
        clock: Time of day.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def run(self) -> None:
        """Make pairs for ever, until cancelled."""
        await repeat("pairs", self.catch_up, _INTERVAL_S)

    async def catch_up(self) -> int:
        """Make all that is to be made now; return of how many tracks that was."""
        total = 0
        while (count := await self._make_some()) is not None:
            total += count
        return total

    async def _make_some(self) -> int | None:
        yesterday = self._clock().astimezone(UTC).date() - timedelta(days=1)
        async with self._database.transaction() as connection:
            under_way = await pairs.begin_round(connection, yesterday)
            if under_way is None:
                return None
            day, through = under_way
            track_ids = await pairs.heard_tracks(connection, day, through, _BATCH_SIZE)
            for track_id in track_ids:
                if not await pairs.make_pairs(connection, track_id):
                    logger.warning("pairs_left_out", extra={"track_id": track_id})
            await pairs.move_round(connection, day, track_ids[-1] if track_ids else None)
        return len(track_ids)
