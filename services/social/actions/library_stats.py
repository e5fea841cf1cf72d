"""How much there is of everything: exact while that is little, else as of a moment ago."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from services.social.store import counts, stats
from services.social.store.database import Database
from services.social.store.stats import Counts

# Up to so many tracks, people and playlists each are counted whenever somebody asks: some milliseconds.
COUNTED_AT_ONCE = 10_000
_KEPT_S = 15.0


class LibraryStats:
    """Counts of the library, shared by all who ask.

    In a large mesh tracks, people and playlists are the tallier's, about a second old, as plays always are; genres and
    the index are counted anew when what was counted is 15 s old, once however many ask.

    Args:
        database: The truth.
        monotonic: Seconds that only rise.
    """

    def __init__(self, database: Database, monotonic: Callable[[], float]) -> None:
        self._database = database
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._counted: Counts | None = None
        self._counted_at = 0.0

    async def read(self) -> Counts:
        """Count everything.

        Raises:
            DatabaseUnavailable: It cannot be asked.
        """
        async with self._database.connection() as connection:
            tallied = await counts.counters(connection)
            if max(tallied.values(), default=0) < COUNTED_AT_ONCE:
                counted = await stats.count_everything(connection)
                return replace(counted, plays=tallied.get("plays", 0))
        counted = await self._library()
        return replace(
            counted,
            tracks=tallied.get("tracks", 0),
            users=tallied.get("users", 0),
            playlists=tallied.get("playlists", 0),
            plays=tallied.get("plays", 0),
        )

    async def _library(self) -> Counts:
        async with self._lock:
            if self._counted is None or self._monotonic() - self._counted_at >= _KEPT_S:
                async with self._database.reading() as connection:
                    self._counted = await stats.count_library(connection)
                self._counted_at = self._monotonic()
            return self._counted
