"""Has an upload heard, so that it can be searched by."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from services.chassis.blobs import BlobStore
from services.social.domain.ids import UploadId
from services.social.domain.jobs import PROGRESS, Counted, Job, JobState
from services.social.errors import UploadNotFound
from services.social.errors.references import WindowsNotKept
from services.social.store import accounts, encoders, references, uploads
from services.social.store.database import Database
from services.social.workers.kinds.composing import Composer
from services.social.workers.kinds.progress import Progress
from services.social.workers.upload_sweeps import is_there


def hearing_request(upload_id: UploadId) -> dict[str, Any]:  # any JSON
    """Return what a job is asked for."""
    return {"upload": upload_id}


class Hearing:
    """Lets the embedder of the serving encoder hear an upload.

    Args:
        database: Where uploads are.
        composer: Knows the embedders.
        blobs: Where windows lie; None believes that they are there.
        clock: Time of day.
    """

    def __init__(
        self, database: Database, composer: Composer, blobs: BlobStore | None, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._composer = composer
        self._blobs = blobs
        self._clock = clock

    async def run(self, job: Job, progress: Progress) -> None:
        """Hear it, unless what is known of it can be compared.

        Raises:
            UploadNotFound: Its owner took it back, or its time is over.
            WindowsNotKept: The embedder has no place for them.
            AttemptLost: The job is not this worker's any more.
            DomainError: What the embedder refuses.
        """
        upload_id = UploadId(job.request["upload"])
        async with self._database.connection() as connection:
            encoder_id = await encoders.serving(connection)
            lent = await uploads.find_uploads(connection, [upload_id], job.user_id, self._clock())
            known = await references.find_upload(connection, encoder_id, upload_id)
        if upload_id not in lent:
            raise UploadNotFound(upload_id)
        embedding = None
        if known is None or not await self._is_kept(known.windows_digest):
            await progress.enter(JobState.EMBEDDING, PROGRESS[JobState.EMBEDDING], Counted("uploads", 0, 1))
            embedding = await self._composer.hear(job, lent[upload_id].digest, encoder_id)
            if not embedding.windows_digest:
                raise WindowsNotKept(upload_id, "upload_id")
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, job.user_id)
            if embedding is not None:
                await uploads.insert_embedding(connection, upload_id, encoder_id, embedding)
            await progress.succeed(connection)

    async def _is_kept(self, windows_digest: bytes) -> bool:
        return bool(windows_digest) and (self._blobs is None or await is_there(self._blobs, windows_digest))
