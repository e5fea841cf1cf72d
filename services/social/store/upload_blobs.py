"""Rows of the blobs that uploads refer to, each of which is the lock of its blob.

Who lends audio and who deletes it both hold the row of its digest: bytes that were found in the store are never deleted
between then and the moment from which an upload refers to them.
"""

from collections.abc import Sequence
from datetime import datetime

from services.social.store.database import Connection

# Waits for who is deleting; afterwards there is a row, and nobody deletes the blob until the transaction ends.
HOLD = """
INSERT INTO upload_blobs (digest) VALUES ($1) ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest
RETURNING reference_count
"""
LOCK_RELEASED = """
SELECT digest FROM upload_blobs WHERE released_at IS NOT NULL ORDER BY released_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""
LOCK_IF_RELEASED = """
SELECT digest FROM upload_blobs WHERE digest = $1 AND released_at IS NOT NULL FOR UPDATE SKIP LOCKED
"""
# What else may lie by a digest: windows of an embedding, an export.
_IS_NOBODYS = """
    NOT EXISTS (SELECT FROM embeddings WHERE windows_digest = found.digest)
    AND NOT EXISTS (
        SELECT FROM upload_embeddings AS heard WHERE heard.windows_digest = found.digest AND heard.windows_digest <> ''
    )
    AND NOT EXISTS (SELECT FROM data_exports WHERE data_exports.digest = found.digest)
"""
SELECT_NOBODYS = f"""
SELECT digest FROM unnest($1::bytea[]) AS found (digest) WHERE {_IS_NOBODYS} ORDER BY digest
"""
DELETE_ROWS = "DELETE FROM upload_blobs WHERE digest = ANY ($1::bytea[])"
# Only those that nothing knows are taken, and held.
TAKE_ORPHANS = f"""
INSERT INTO upload_blobs (digest, released_at)
SELECT digest, $2 FROM unnest($1::bytea[]) AS found (digest)
WHERE {_IS_NOBODYS}
ORDER BY digest
ON CONFLICT (digest) DO NOTHING
RETURNING digest
"""
ORPHAN_LOCK = "SELECT pg_try_advisory_xact_lock(7305805, 2)"


async def hold(connection: Connection, digest: bytes) -> bool:
    """Keep a blob from being deleted until the transaction ends; say whether an upload refers to it already."""
    return int(await connection.fetchval(HOLD, digest)) > 0


async def lock_released(connection: Connection, limit: int) -> list[bytes]:
    """Return blobs that nobody refers to any more, which nobody may lend again until the transaction ends."""
    return [row["digest"] for row in await connection.fetch(LOCK_RELEASED, limit)]


async def lock_if_released(connection: Connection, digest: bytes) -> bool:
    """Say whether nobody refers to a blob any more; then nobody may lend it again until the transaction ends."""
    return await connection.fetchval(LOCK_IF_RELEASED, digest) is not None


async def nobodys(connection: Connection, digests: Sequence[bytes]) -> list[bytes]:
    """Return those of some blobs by which nothing lies but uploads."""
    return [row["digest"] for row in await connection.fetch(SELECT_NOBODYS, digests)]


async def delete_rows(connection: Connection, digests: Sequence[bytes]) -> None:
    """Forget blobs that are deleted."""
    await connection.execute(DELETE_ROWS, digests)


async def take_orphans(connection: Connection, digests: Sequence[bytes], now: datetime) -> list[bytes]:
    """Return those of some blobs that nothing refers to, which nobody may lend until the transaction ends."""
    return [row["digest"] for row in await connection.fetch(TAKE_ORPHANS, digests, now)]


async def is_only_sweeper(connection: Connection) -> bool:
    """Say whether no other process looks for orphans; none begins to until the transaction ends."""
    return bool(await connection.fetchval(ORPHAN_LOCK))
