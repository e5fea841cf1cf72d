"""Writes what is kept of a person: a zip of JSON Lines in the blob store, one file for each kind of thing."""

import asyncio
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path

from services.chassis.blobs import CHUNK_BYTES, BlobStore
from services.social.domain.ids import UserId
from services.social.domain.jobs import Counted, Job, JobState
from services.social.domain.privacy import EXPORT_LIFE
from services.social.errors.privacy import NoBlobStore
from services.social.store import accounts, privacy
from services.social.store.database import Database
from services.social.workers.kinds.progress import Progress

_BATCH_SIZE = 1_000
_LARGEST_BYTES = 4 * 1024**3


class AccountExport:
    """Reads one state of the database, whatever changes meanwhile.

    Args:
        database: The truth.
        blobs: Where the zip will lie; without one no export can be made.
        clock: Time of day.
    """

    def __init__(self, database: Database, blobs: BlobStore | None, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock

    async def run(self, job: Job, progress: Progress) -> None:
        """Write the zip and note where it lies. One that an attempt wrote in vain is swept as nobody's.

        Raises:
            AttemptLost: The job is not this worker's any more.
            NoBlobStore: There is no place for it.
        """
        if self._blobs is None:
            raise NoBlobStore
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "export.zip"
            await self._write(path, job.user_id, progress)
            digest, size = await self._blobs.put_stream(_chunks(path), _LARGEST_BYTES)
        async with self._database.transaction() as connection:
            await accounts.lock_anybody(connection, job.user_id)
            expires_at = self._clock() + EXPORT_LIFE
            await privacy.write_export(connection, job.job_id, job.user_id, digest, size, expires_at)
            await progress.succeed(connection)

    async def _write(self, path: Path, user_id: UserId, progress: Progress) -> None:
        kinds = privacy.EXPORTED
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            async with (
                self._database.connection() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                for number, (name, statement) in enumerate(kinds.items()):
                    counted = Counted("files", number, len(kinds))
                    await progress.enter(JobState.ARRANGING, 0.05 + 0.9 * number / len(kinds), counted)
                    # Rows as the database writes them: no value of theirs is read here.
                    cursor = await connection.cursor(f"SELECT row_to_json(t)::text FROM ({statement}) AS t", user_id)
                    with archive.open(f"{name}.jsonl", "w") as file:
                        while rows := await cursor.fetch(_BATCH_SIZE):
                            lines = "".join(f"{row[0]}\n" for row in rows).encode()
                            await asyncio.to_thread(file.write, lines)


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
