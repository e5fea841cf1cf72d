"""Has jobs that failed done again: each by a new job of its owner's, for what has ended stays as it ended."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.chassis.telemetry import request_id
from services.social import events
from services.social.domain.idempotency import IDEMPOTENCY_LIFE
from services.social.domain.ids import JobId, UserId, new_id
from services.social.domain.jobs import JobState, Kind
from services.social.domain.moderation import Subject
from services.social.store import audit, idempotency, jobs, outbox
from services.social.store.database import Database

_OPERATION = "ReplayJobs"
_DIGEST = hashlib.sha256(_OPERATION.encode()).digest()
# The others are begun otherwise: by a switch, by who wants an export, by the sweep that resumes deletions.
_REPLAYABLE = frozenset({Kind.GENERATION, Kind.EXTENSION, Kind.REGENERATION, Kind.HEARING})


class NotReplayed(StrEnum):
    """Why a job is not done again."""

    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    JOB_NOT_FAILED = "JOB_NOT_FAILED"
    JOB_NOT_REPLAYABLE = "JOB_NOT_REPLAYABLE"
    OWNER_GONE = "OWNER_GONE"


@dataclass(frozen=True, slots=True)
class ReplayedJob:
    """A job that was to be done again, and the one in its place or why there is none."""

    job_id: JobId
    new_job_id: JobId | None = None
    reason: NotReplayed | None = None


async def replay_job(database: Database, job_id: JobId, by: UserId, now: datetime) -> ReplayedJob:
    """Ask once more for what a failed job was asked for, in its owner's name; once within 24 hours.

    Args:
        database: The truth.
        job_id: The job that failed.
        by: The admin who wants it.
        now: Time of day.

    Raises:
        DatabaseUnavailable: It may be done; doing it again makes no other job.
    """
    async with database.transaction() as connection:
        failed = await jobs.find_any(connection, job_id)
        if failed is None:
            return ReplayedJob(job_id, reason=NotReplayed.JOB_NOT_FOUND)
        if failed.kind not in _REPLAYABLE:
            return ReplayedJob(job_id, reason=NotReplayed.JOB_NOT_REPLAYABLE)
        if failed.state is not JobState.FAILED:
            return ReplayedJob(job_id, reason=NotReplayed.JOB_NOT_FAILED)
        if not await jobs.lock_active_owner(connection, failed):
            return ReplayedJob(job_id, reason=NotReplayed.OWNER_GONE)
        new_job_id = JobId(new_id())
        _, known_id = await idempotency.claim_key(
            connection, failed.user_id, _OPERATION, job_id, _DIGEST, new_job_id, now, now + IDEMPOTENCY_LIFE
        )
        if known_id == new_job_id:
            job = await jobs.insert_job(
                connection,
                new_job_id,
                failed.kind,
                failed.user_id,
                failed.request,
                request_id(),
                playlist_id=failed.playlist_id,
            )
            await outbox.add(connection, events.job_progressed(job))
            detail: dict[str, object] = {"job_id": new_job_id}
            await audit.add(connection, by, "replay_job", Subject.DEAD_LETTER, job_id, now, detail=detail)
    return ReplayedJob(job_id, JobId(known_id))
