"""Advisory locks on the outbox's lanes, all held by one connection: when that is lost, so are they."""

import asyncio
import contextlib

import asyncpg

from services.social.store.database import telling_errors
from services.social.store.outbox import Lane

# First half of the two-part keys, so that nobody else's locks are in the way; the second is the lane.
_SPACE = 7_305_804
_TIMEOUT_S = 5.0

TRY_LOCK = "SELECT pg_try_advisory_lock($1, $2)"
UNLOCK = "SELECT pg_advisory_unlock($1, $2)"


class LaneLocks:
    """Locks of one publisher. Connects when first needed, and again when the connection was lost.

    Args:
        database_url: Of the database, directly: a session's locks do not survive a transaction pooler.
    """

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._held: set[Lane] = set()
        self._turn = asyncio.Lock()

    async def acquire(self, lane: Lane) -> bool:
        """Take a lane, unless somebody has it.

        Raises:
            DatabaseUnavailable: The server cannot be reached.
        """
        with telling_errors():
            async with self._turn:
                connection = await self._connected()
                if lane in self._held or not await connection.fetchval(TRY_LOCK, _SPACE, lane.lock_key):
                    return False
                self._held.add(lane)
                return True

    def holds(self, lane: Lane) -> bool:
        """Say whether a lane is still this publisher's, as far as it knows."""
        return lane in self._held and self._connection is not None and not self._connection.is_closed()

    async def release(self, lane: Lane) -> None:
        """Give a lane back; a connection that does not answer is closed, which gives back all."""
        async with self._turn:
            if not self.holds(lane) or self._connection is None:
                self._held.discard(lane)
                return
            self._held.discard(lane)
            try:
                await self._connection.execute(UNLOCK, _SPACE, lane.lock_key)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                self._connection.terminate()

    async def close(self) -> None:
        """Give back everything."""
        if self._connection is not None:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await self._connection.close(timeout=_TIMEOUT_S)

    async def _connected(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._connection is None or self._connection.is_closed():
            self._held.clear()
            self._connection = await asyncpg.connect(
                self._url,
                timeout=_TIMEOUT_S,
                command_timeout=_TIMEOUT_S,
                server_settings={"application_name": "museed-social-publisher"},
            )
        return self._connection
