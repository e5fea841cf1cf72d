"""The pool of connections to PostgreSQL: bounded, with timeouts, its errors told as domain errors."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Self, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from services.chassis.errors import Aborted
from services.social.errors import DatabaseUnavailable

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

_ACQUIRE_TIMEOUT_S = 5.0
_CONNECT_TIMEOUT_S = 5.0
# Beyond the server's own timeout: catches a server that no longer answers.
_COMMAND_TIMEOUT_MARGIN_S = 5.0
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
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", on_commit: Callable[[], None]) -> None:
        self._pool = pool
        self._on_commit = on_commit

    @classmethod
    async def connect(
        cls, url: str, *, size: int, statement_timeout_ms: int, on_commit: Callable[[], None] = lambda: None
    ) -> Self:
        """Open a pool.

        Raises:
            DatabaseUnavailable: The server cannot be reached.
        """
        with telling_errors():
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=size,
                init=_set_codecs,
                timeout=_CONNECT_TIMEOUT_S,
                command_timeout=statement_timeout_ms / 1000 + _COMMAND_TIMEOUT_MARGIN_S,
                server_settings={
                    "application_name": "museed-social",
                    "statement_timeout": str(statement_timeout_ms),
                    "idle_in_transaction_session_timeout": "60000",
                    "pg_trgm.word_similarity_threshold": _WORD_SIMILARITY_THRESHOLD,
                    "jit": "off",
                },
            )
        return cls(pool, on_commit)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Borrow a connection, each of whose statements is a transaction of its own.

        Raises:
            DatabaseUnavailable: No connection in time, or it was lost; what it did last may be done.
            Aborted: Another transaction came between.
        """
        with telling_errors():
            async with self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_S) as connection:
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

    async def close(self) -> None:
        """Close every connection, after at most 5 s for those in use."""
        try:
            await asyncio.wait_for(self._pool.close(), 5.0)
        except TimeoutError:
            self._pool.terminate()


@contextlib.contextmanager
def telling_errors() -> Iterator[None]:
    """Tell errors of the server and of the connection as domain errors."""
    try:
        yield
    except _LOST_RACE as error:
        raise Aborted("another change came between, try again", retry_after_ms=100) from error
    except _GONE as error:
        raise DatabaseUnavailable(type(error).__name__) from error


async def _set_codecs(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec("uuid", encoder=str, decoder=str, schema="pg_catalog", format="text")
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog", format="text")
