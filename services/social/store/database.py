"""The pool of connections to PostgreSQL: bounded, with timeouts, its errors told as domain errors.

Rows are locked in one order, so that two transactions never wait for each other:

    users (by id) → playlists (by id) → playlist_entries → relations (likes, follows …) → signals → outbox

Who acts locks the own row of users first (`accounts.lock_person`, FOR NO KEY UPDATE), and is refused there where they
have left or are suspended; two people in one action are locked in the order of their ids. Foreign keys take FOR KEY
SHARE on users and playlists, which FOR NO KEY UPDATE lets pass and FOR UPDATE would not.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Self, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from services.chassis.errors import Aborted
from services.social.errors import DatabaseUnavailable

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

FIRST_ID = "00000000-0000-0000-0000-000000000000"
# Before which every id comes: where a page begins when nobody says it, so that an index always has a bound.
LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

_ACQUIRE_TIMEOUT_S = 5.0
_CONNECT_TIMEOUT_S = 5.0
# Beyond the server's own timeout: catches a server that no longer answers.
_COMMAND_TIMEOUT_MARGIN_S = 5.0
# Of a statement that rewrites a whole table.
_LONG_TIMEOUT_S = 300
# Of pg_trgm's 0.6: also finds words with one wrong letter in five.
_WORD_SIMILARITY_THRESHOLD = "0.45"

_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
_LOST_RACE = (asyncpg.TransactionRollbackError, asyncpg.LockNotAvailableError)


class Database:
    """Connections and transactions. UUIDs come and go as text, jsonb as Python values.

    Args:
        pool: Made by `connect`.
        on_commit: Called after every transaction that committed.
        replica: Pool of a database that follows the first; None reads everything from the first.
        on_acquired: Told how many seconds each connection was waited for.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        on_commit: Callable[[], None],
        replica: "asyncpg.Pool[asyncpg.Record] | None" = None,
        on_acquired: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._pool = pool
        self._on_acquired = on_acquired
        self._on_commit = on_commit
        self._replica = replica

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        size: int,
        statement_timeout_ms: int,
        on_commit: Callable[[], None] = lambda: None,
        replica_url: str = "",
        on_acquired: Callable[[float], None] = lambda _: None,
    ) -> Self:
        """Open a pool.

        Args:
            url: Of the database.
            size: Most connections; as many again to the replica.
            statement_timeout_ms: Of each statement.
            on_commit: Called after every transaction that committed.
            replica_url: Of a database that follows the first, and need not be there yet; empty where there is none.
            on_acquired: Told how many seconds each connection was waited for.

        Raises:
            DatabaseUnavailable: The server cannot be reached.
        """
        with telling_errors():
            pool = await _open_pool(url, 1, size, statement_timeout_ms, {})
        replica = None
        if replica_url:
            read_only = {"default_transaction_read_only": "on"}
            replica = await _open_pool(replica_url, 0, size, statement_timeout_ms, read_only)
        return cls(pool, on_commit, replica, on_acquired)

    @property
    def connections_in_use(self) -> int:
        """How many connections are borrowed now, those of the replica included."""
        return sum(pool.get_size() - pool.get_idle_size() for pool in self._pools)

    @property
    def most_connections(self) -> int:
        """How many there may be."""
        return sum(pool.get_max_size() for pool in self._pools)

    @property
    def _pools(self) -> "list[asyncpg.Pool[asyncpg.Record]]":
        return [self._pool] if self._replica is None else [self._pool, self._replica]

    @contextlib.asynccontextmanager
    async def _borrowed(self, pool: "asyncpg.Pool[asyncpg.Record]") -> AsyncIterator[Connection]:
        began = time.monotonic()
        with telling_errors():
            async with pool.acquire(timeout=_ACQUIRE_TIMEOUT_S) as connection:
                self._on_acquired(time.monotonic() - began)
                yield connection

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Borrow a connection, each of whose statements is a transaction of its own.

        Raises:
            DatabaseUnavailable: No connection in time, or it was lost; what it did last may be done.
            Aborted: Another transaction came between.
        """
        async with self._borrowed(self._pool) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """Borrow a connection for lists that everybody may see: of the replica where there is one.

        What it shows may be late. A person's own things, and what a write depends on, are read by `connection`.

        Raises:
            DatabaseUnavailable: No connection in time, or it was lost.
            Aborted: The replica called the statement off, to keep up with the first.
        """
        async with self._borrowed(self._replica or self._pool) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Borrow a connection inside of a transaction (READ COMMITTED) that ends with the block.

        Raises:
            DatabaseUnavailable: No connection in time, or it was lost; lost while committing, it may be done.
            Aborted: Another transaction came between; nothing is done.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection
        self._on_commit()

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """Borrow a connection whose statements all see one state of the database, and write nothing.

        What is read in two statements else is of two states: who may open a playlist of the first, its entries of the
        second, which may be private by then.

        Raises:
            DatabaseUnavailable: No connection in time, or it was lost.
        """
        async with self.connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection

    async def close(self) -> None:
        """Close every connection, after at most 5 s for those in use."""
        await asyncio.gather(*(_close_pool(pool) for pool in self._pools))


async def execute_long(connection: Connection, statement: str, *args: object) -> None:
    """Execute a statement that touches a whole table, in a transaction: server and client wait for it for minutes.

    What follows in the transaction may take as long on the server's side.
    """
    await connection.execute(f"SET LOCAL statement_timeout = '{_LONG_TIMEOUT_S}s'")
    await connection.execute(statement, *args, timeout=_LONG_TIMEOUT_S + _COMMAND_TIMEOUT_MARGIN_S)


@contextlib.contextmanager
def telling_errors() -> Iterator[None]:
    """Tell errors of the server and of the connection as domain errors."""
    try:
        yield
    except _LOST_RACE as error:
        raise Aborted("another change came between, try again", retry_after_ms=100) from error
    except _GONE as error:
        raise DatabaseUnavailable(type(error).__name__) from error


async def _open_pool(
    url: str, least: int, most: int, statement_timeout_ms: int, more: dict[str, str]
) -> "asyncpg.Pool[asyncpg.Record]":
    return await asyncpg.create_pool(
        url,
        min_size=least,
        max_size=most,
        init=set_codecs,
        reset=_keep_as_it_is,
        timeout=_CONNECT_TIMEOUT_S,
        command_timeout=statement_timeout_ms / 1000 + _COMMAND_TIMEOUT_MARGIN_S,
        server_settings={
            "application_name": "museed-social",
            "statement_timeout": str(statement_timeout_ms),
            "idle_in_transaction_session_timeout": "60000",
            "pg_trgm.word_similarity_threshold": _WORD_SIMILARITY_THRESHOLD,
            "jit": "off",
            **more,
        },
    )


async def _close_pool(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    try:
        await asyncio.wait_for(pool.close(), 5.0)
    except TimeoutError:
        pool.terminate()


async def _keep_as_it_is(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Nothing here outlives a transaction, so what asyncpg asks the server to reset would be a call for nothing."""


async def set_codecs(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Have UUIDs come and go as text, and jsonb as Python values."""
    await connection.set_type_codec("uuid", encoder=str, decoder=str, schema="pg_catalog", format="text")
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog", format="text")
