"""Brings the database to the newest schema: forward only, each file once, however many processes start at once."""

import asyncio
import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import asyncpg

logger = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
_NO_TRANSACTION = "-- no-transaction"
_CONCURRENT_INDEX = re.compile(r"^CREATE (?:UNIQUE )?INDEX CONCURRENTLY ([a-z_][a-z0-9_]*) ON ", re.MULTILINE)
# Any number, the same in every process: "museed migrations".
_LOCK_KEY = 7_305_804_402_566_004_066
_POLL_INTERVAL_S = 0.1
_CONNECT_TIMEOUT_S = 5.0
# A statement that waits for a table holds up all who come after it: it gives way, and tries again.
_LOCK_TIMEOUT_MS = 1_000
_LOCK_PAUSE_S = 1.0
# asyncpg calls a server that dies within a statement an internal error of its own, now and then.
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
_SERVER_SETTINGS = {
    "application_name": "museed-social-migrate",
    # Of a process that was killed: what it began ends soon, and gives the lock to the next one.
    "client_connection_check_interval": "1000",
}

CREATE_LEDGER = """
CREATE TABLE IF NOT EXISTS migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
# Of what a database knows nothing, it was made with: trigrams go by LC_CTYPE, lower() by the provider's locale.
SELECT_LETTERS = """
SELECT datctype, datctype NOT IN ('C', 'POSIX') AND lower(U&'\\0416') = U&'\\0436' AS are_known
FROM pg_database WHERE datname = current_database()
"""
SELECT_LEDGER = "SELECT number, sha256 FROM migrations"
INSERT_LEDGER = "INSERT INTO migrations (number, name, sha256) VALUES ($1, $2, $3)"

# What is left where building an index concurrently was interrupted: nobody reads it, everybody writes it.
IS_INVALID = "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid)"


class MigrationError(SystemExit):
    """The migrations and the database do not fit together; the text says which file, or what to make it with."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A file NNNN_verb_object.sql; numbers begin at 1 and have no gap."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> bytes:
        """Digest of the text, 32 bytes."""
        return hashlib.sha256(self.sql.encode()).digest()


def read_migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """Read the migrations of a folder in order. Blocks on the file system.

    Raises:
        MigrationError: A number is missing or given twice.
    """
    found = [
        Migration(int(path.name[:4]), path.name, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    ]
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"migrations in {folder} are not numbered 1 to {len(found)} without a gap")
    return found


async def migrate(url: str, migrations: list[Migration]) -> int:
    """Apply what the database lacks; waits for a server that is not there, yet or any more, and for others who migrate.

    Each file is one transaction, unless it begins with `-- no-transaction`; it gives way to those who work with its
    tables meanwhile, and is tried until they let it. An index that an interrupted `CREATE INDEX CONCURRENTLY` left is
    dropped or, where it had become whole, taken as it is. A file that was applied and is not known
    here is left alone: it belongs to a newer release, whose schema this one can use.

    Returns:
        How many files were applied.

    Raises:
        MigrationError: A file that was applied has been edited since, or an empty database knows no letters but a to z.
        asyncpg.PostgresError: A file failed; nothing of it stays.
    """
    while True:
        connection = await connect(url)
        try:
            return await _apply_missing(connection, migrations)
        except LOST as error:
            logger.warning("database_lost", extra={"error": repr(error)})
            connection.terminate()
        finally:
            await connection.close()


async def _apply_missing(connection: "asyncpg.Connection[asyncpg.Record]", migrations: list[Migration]) -> int:
    # Who lacks nothing waits for nobody: an older release starts while a newer one migrates for hours.
    if not missing_of(migrations, await ledger(connection)):
        return 0
    # Polled: waiting inside of pg_advisory_lock holds a snapshot that CREATE INDEX CONCURRENTLY waits for.
    is_told = False
    while not await connection.fetchval(TRY_LOCK, _LOCK_KEY):
        if not is_told:
            logger.info("another_process_migrates")
            is_told = True
        await asyncio.sleep(_POLL_INTERVAL_S)
    applied = await ledger(connection)
    if not applied:
        await _check_letters(connection)
    await connection.execute(CREATE_LEDGER)
    missing = missing_of(migrations, applied)
    for migration in missing:
        await _apply(connection, migration)
    return len(missing)


async def ledger(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[int, bytes]:
    """Return the digests of the migrations that a database has, by number."""
    try:
        return {row["number"]: row["sha256"] for row in await connection.fetch(SELECT_LEDGER)}
    except asyncpg.UndefinedTableError:
        return {}


def missing_of(migrations: list[Migration], applied: dict[int, bytes]) -> list[Migration]:
    """Return those that were not applied.

    Raises:
        MigrationError: One that was has been edited since.
    """
    for migration in migrations:
        if applied.get(migration.number, migration.sha256) != migration.sha256:
            raise MigrationError(f"{migration.name} was edited after it had been applied to this database")
    return [migration for migration in migrations if migration.number not in applied]


async def _check_letters(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Refuse a database in which nobody finds a name that is not written with a to z; made so, it stays so."""
    row = await connection.fetchrow(SELECT_LETTERS)
    assert row is not None
    if not row["are_known"]:
        raise MigrationError(
            f"the database knows no letters but a to z (LC_CTYPE {row['datctype']}), so names would not be found: make"
            " it with initdb --locale-provider=builtin --builtin-locale=C.UTF-8 --lc-ctype=C.UTF-8"
        )


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> None:
    ledger_row = (migration.number, migration.name, migration.sha256)
    if migration.sql.startswith(_NO_TRANSACTION):
        if not await _has_index(connection, migration.sql):
            await connection.execute(migration.sql)
        await connection.execute(INSERT_LEDGER, *ledger_row)
    else:
        while not await _apply_whole(connection, migration.sql, ledger_row):
            logger.info("migration_waits", extra={"migration": migration.name})
            await asyncio.sleep(_LOCK_PAUSE_S)
    logger.info("migrated", extra={"migration": migration.name})


async def _has_index(connection: "asyncpg.Connection[asyncpg.Record]", sql: str) -> bool:
    """Say whether the index that a file builds concurrently is whole already; drops it where it is not."""
    index = _CONCURRENT_INDEX.search(sql)
    if index is None or await connection.fetchval("SELECT to_regclass($1)", index[1]) is None:
        return False
    if await connection.fetchval(IS_INVALID, index[1]):
        # The name is one of our own files' and matches the pattern: it needs no quotes.
        await connection.execute(f"DROP INDEX CONCURRENTLY {index[1]}")
        return False
    return True


async def _apply_whole(
    connection: "asyncpg.Connection[asyncpg.Record]", sql: str, ledger_row: tuple[int, str, bytes]
) -> bool:
    """Apply a file in one transaction; False, and nothing of it done, where others hold what it needs."""
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}")
            await connection.execute(sql)
            await connection.execute(INSERT_LEDGER, *ledger_row)
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        return False
    return True


async def connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    """Open a connection; waits for a server that is not there, and for one that has no place."""
    while True:
        try:
            return await asyncpg.connect(url, timeout=_CONNECT_TIMEOUT_S, server_settings=_SERVER_SETTINGS)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError) as error:
            logger.info("database_waits", extra={"error": repr(error)})
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    from services.social.migrating import main  # which needs what stands above

    main()
