"""Forgets uploads: their audio when nobody may use it, their sound when nothing names them, and stray blobs."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.chassis.blobs import BlobStore
from services.chassis.errors import NotFound
from services.social.events.uploads import upload_deleted
from services.social.store import outbox, upload_blobs, uploads
from services.social.store.database import Connection, Database
from services.social.workers.sweeping import Sweep

_BATCH_SIZE = 100
_ORPHAN_PAGE_SIZE = 500
_FORGET_INTERVAL_S = 600.0
_ORPHAN_INTERVAL_S = 3_600.0
# Longer than any upload may take.
_INCOMING_LIFE = timedelta(hours=6)
# Quotas count uploads of the last 24 hours.
FORGOTTEN_AFTER = timedelta(hours=24)
# Bytes are there before the row that refers to them.
ORPHAN_GRACE = timedelta(hours=24)


def upload_sweeps(blobs: BlobStore | None) -> list[Sweep]:
    """Return what forgets uploads; without a store, audio stays wherever it is."""
    if blobs is None:
        return [Sweep("uploads_forgotten", forget_uploads, _FORGET_INTERVAL_S)]

    async def sweep_audio(database: Database, now: datetime) -> None:
        """Delete the audio of uploads that are over, unless somebody lent the same audio again."""
        await blobs.sweep_incoming(now - _INCOMING_LIFE)
        await expire_uploads(database, now)
        await delete_released(database, blobs)

    async def sweep_strays(database: Database, now: datetime) -> None:
        await sweep_orphans(database, blobs, now)

    return [
        Sweep("uploads", sweep_audio),
        Sweep("uploads_forgotten", forget_uploads, _FORGET_INTERVAL_S),
        Sweep("orphan_blobs", sweep_strays, _ORPHAN_INTERVAL_S),
    ]


async def expire_uploads(database: Database, now: datetime) -> None:
    """Let nobody use uploads whose time is over."""
    count = _BATCH_SIZE
    while count == _BATCH_SIZE:
        async with database.transaction() as connection:
            swept = await uploads.sweep(connection, now, _BATCH_SIZE)
            await outbox.add(connection, *(upload_deleted(upload_id, user_id, now) for upload_id, user_id in swept))
        count = len(swept)


async def delete_released(database: Database, blobs: BlobStore) -> None:
    """Delete the audio that nobody may use any more."""
    count = _BATCH_SIZE
    while count == _BATCH_SIZE:
        async with database.transaction() as connection:
            digests = await upload_blobs.lock_released(connection, _BATCH_SIZE)
            await _delete(connection, blobs, digests)
        count = len(digests)


async def delete_if_released(database: Database, blobs: BlobStore, digest: bytes) -> None:
    """Delete this audio if nobody may use it any more."""
    async with database.transaction() as connection:
        if await upload_blobs.lock_if_released(connection, digest):
            await _delete(connection, blobs, [digest])


async def forget_uploads(database: Database, now: datetime) -> None:
    """Forget uploads, and what was heard in them, where no playlist and no job names them any more."""
    count = _BATCH_SIZE
    while count == _BATCH_SIZE:
        async with database.transaction() as connection:
            count = await uploads.forget(connection, now - FORGOTTEN_AFTER, _BATCH_SIZE)


async def sweep_orphans(database: Database, blobs: BlobStore, now: datetime) -> None:
    """Delete blobs of more than a day that nothing refers to; one process at a time looks for them."""
    after: bytes | None = None
    while True:
        page = await blobs.list(now - ORPHAN_GRACE, after=after, limit=_ORPHAN_PAGE_SIZE)
        async with database.transaction() as connection:
            if not await upload_blobs.is_only_sweeper(connection):
                return
            strays = await upload_blobs.take_orphans(connection, [blob.digest for blob in page], now)
            await _delete(connection, blobs, strays)
        if len(page) < _ORPHAN_PAGE_SIZE:
            return
        after = page[-1].digest


async def is_there(blobs: BlobStore, digest: bytes) -> bool:
    """Say whether the store has a blob.

    Raises:
        DomainError: It does not answer.
    """
    try:
        await blobs.size(digest)
    except NotFound:
        return False
    return True


async def _delete(connection: Connection, blobs: BlobStore, digests: Sequence[bytes]) -> None:
    # Before the commit: a blob whose deletion failed is tried again, one that is gone may be deleted again.
    for digest in await upload_blobs.nobodys(connection, digests):
        await blobs.delete(digest)
    await upload_blobs.delete_rows(connection, digests)
