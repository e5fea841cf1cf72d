"""Makes rankings of what is popular, again and again, in whichever process gets to it."""

from collections.abc import Callable
from datetime import datetime, timedelta

from services.social.domain.signals import HEAT_HALF_LIFE, age
from services.social.store import trending
from services.social.store.database import Database
from services.social.workers.background import repeat

RANKING_SIZE = 500
RANKING_LIFE = timedelta(minutes=30)
# What is left of popularity after so many half-lives, a millionth, is forgotten.
_HALF_LIVES_KEPT = 20
_BATCH_SIZE = 1_000


class TrendMaker:
    """One of any number; the one that gets the lock makes the ranking, the others find it new enough.

    Args:
        database: Where heat and rankings are.
        clock: Time of day.
        every: Pause between two rankings.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime], every: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        """Make rankings for ever, until cancelled."""
        await repeat("make_ranking", self.make, self._every.total_seconds())

    async def make(self) -> int | None:
        """Make a ranking, unless there is one that is new enough; return its number.

        Raises:
            DatabaseUnavailable: The next call goes on.
        """
        async with self._database.transaction() as connection:
            return await trending.make(connection, self._clock(), self._every, RANKING_LIFE, RANKING_SIZE)

    async def sweep(self, database: Database, now: datetime) -> None:
        """Forget the popularity of what nobody cares for any more."""
        cold = age(now, HEAT_HALF_LIFE) - _HALF_LIVES_KEPT
        async with database.connection() as connection:
            while await trending.delete_cold(connection, cold, _BATCH_SIZE) == _BATCH_SIZE:
                pass
