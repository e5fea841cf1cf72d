"""Advisory locks on the outbox's lanes, and the connection that holds them: when that is lost, so are they."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import asyncpg

from services.social.store.database import Connection, set_codecs, telling_errors
from services.social.store.outbox import Lane

# First half of the two-part keys, so that nobody else's locks are in the way; the second is the lane.
_SPACE = 7_305_804
_TIMEOUT_S = 5.0

TRY_LOCKS = "SELECT key, pg_try_advisory_lock($1, key) AS is_mine FROM unnest($2::int[]) AS key"
UNLOCK = "SELECT pg_advisory_unlock($1, key) FROM unnest($2::int[]) AS key"


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

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Borrow the connection that holds the locks; whoever else wants it waits.

        Raises:
            DatabaseUnavailable: The server cannot be reached, or the connection was lost.
        """
        with telling_errors():
            async with self._turn:
                connection = await self._connected()
                try:
                    yield connection
                except asyncpg.PostgresError:
                    raise  # an answer: the transaction was rolled back, or the connection is closed
                except BaseException:
                    # Nobody knows whether its BEGIN or COMMIT came to be: every later transaction might be part of one
                    # that never ends, with its locks.
                    connection.terminate()
                    raise

    async def acquire(self, lanes: Sequence[Lane]) -> list[Lane]:
        """Take lanes; return those that nobody had.

        Raises:
            DatabaseUnavailable: The server cannot be reached.
        """
        async with self.connection() as connection:
            wanted = {lane.lock_key: lane for lane in lanes if lane not in self._held}
            found = await connection.fetch(TRY_LOCKS, _SPACE, list(wanted))
            mine = [wanted[row["key"]] for row in found if row["is_mine"]]
            self._held.update(mine)
            return mine

    def holds(self, lane: Lane) -> bool:
        """Say whether a lane is still this publisher's, as far as it knows."""
        return lane in self._held and self._connection is not None and not self._connection.is_closed()

    async def release(self, lanes: Sequence[Lane]) -> None:
        """Give lanes back; a connection that does not answer is closed, which gives back all."""
        async with self._turn:
            held = [lane.lock_key for lane in lanes if self.holds(lane)]
            self._held.difference_update(lanes)
            if not held or self._connection is None:
                return
            try:
                await self._connection.execute(UNLOCK, _SPACE, held)
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
                server_settings={"application_name": "museed-social-publisher", "jit": "off"},
            )
            await set_codecs(self._connection)
        return self._connection
