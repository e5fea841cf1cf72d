"""Counts of tries, shared by all processes; a crash of the database may forget them."""

from collections.abc import Callable
from datetime import datetime

from services.social.domain.quotas import Quota, key_of
from services.social.store.batches import delete_all, some_of
from services.social.store.database import Connection, Database

# Of many at once exactly `limit` get a row: the rest see the count of those before them, under the row's lock.
TAKE = """
INSERT INTO quota_windows AS known (scope, key, window_start, count) VALUES ($1, $2, $3, 1)
ON CONFLICT (scope, key, window_start) DO UPDATE SET count = known.count + 1 WHERE known.count < $4
RETURNING count
"""
FORGET = "DELETE FROM quota_windows WHERE scope = $1 AND key = $2"
DELETE_OVER = some_of("quota_windows", "scope = $1 AND window_start <= $2")


class Quotas:
    """Tries, each counted in a transaction of its own before anything costly is done for it.

    Args:
        database: Where the counts are.
        clock: Time of day; processes whose clocks differ count in different windows for as long.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def take(self, quota: Quota, key: str) -> None:
        """Count a try.

        Raises:
            DomainError: The quota's own refusal; nothing is counted.
        """
        if not await self.has_taken(quota, key):
            raise quota.refused(self._clock())

    async def has_taken(self, quota: Quota, key: str) -> bool:
        """Count a try, and say whether it was one within the bound."""
        start = quota.window_start(self._clock())
        async with self._database.connection() as connection:
            return await connection.fetchval(TAKE, quota.scope, key_of(key), start, quota.limit) is not None

    async def forget(self, quota: Quota, key: str) -> None:
        """Forget the tries of a key: the last one was a good one."""
        async with self._database.connection() as connection:
            await connection.execute(FORGET, quota.scope, key_of(key))


async def delete_over(connection: Connection, quota: Quota, now: datetime) -> None:
    """Forget the windows of a quota that are over."""
    await delete_all(connection, DELETE_OVER, quota.scope, quota.window_start(now) - quota.window)
