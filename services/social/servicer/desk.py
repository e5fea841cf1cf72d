"""Where jobs are asked for and waited for, whatever they do."""

import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from museed.social.v1 import jobs_pb2
from services.chassis.server import time_left_s
from services.social import events
from services.social.domain import fields
from services.social.domain.idempotency import IDEMPOTENCY_LIFE
from services.social.domain.ids import JobId, UserId, is_id, new_id
from services.social.domain.jobs import LONGEST_WAIT_MS, Job
from services.social.errors import IdempotencyKeyReused, JobNotFound, TooManyOpenJobs
from services.social.store import accounts, idempotency, jobs, outbox
from services.social.store.database import Connection, Database
from services.social.wire import timestamp
from services.social.workers.background import Bells, Nudge, Waits

# Ends that another process wrote ring no bell here.
_REREAD_INTERVAL_S = 0.25
# Calls that wait, of 512 that are answered at a time.
MOST_WAITS, MOST_WAITS_OF_PERSON = 256, 8
# What an answer needs of the caller's deadline.
_ANSWER_MARGIN_S = 0.25


class JobDesk:
    """Takes in what people ask for, once for each key, and tells them when it is done.

    Args:
        database: The truth.
        bells: Rung with a job's id when it has ended.
        due: Rung when a job is due.
        open_jobs_per_user: Unfinished jobs that a person may have.
        clock: Time of day.
    """

    def __init__(
        self, database: Database, bells: Bells, due: Nudge, open_jobs_per_user: int, clock: Callable[[], datetime]
    ) -> None:
        self.database = database
        self.bells = bells
        self.clock = clock
        self.due = due
        self._open_jobs_per_user = open_jobs_per_user
        self._waits = Waits(MOST_WAITS, MOST_WAITS_OF_PERSON)

    async def ask(
        self,
        user_id: UserId,
        operation: str,
        key: str,
        digest: bytes,
        make: Callable[[Connection, JobId], Awaitable[Job]],
    ) -> Job:
        """Add a job, or return the one that was made when this key came first.

        Args:
            user_id: Who asks.
            operation: Name of the RPC.
            key: Of the caller's.
            digest: Of the request.
            make: Checks that the job can be, and inserts it; in a transaction that has locked the person.

        Raises:
            IdempotencyKeyReused, JobNotFound, TooManyOpenJobs: Nothing is made.
        """
        job_id, now = JobId(new_id()), self.clock()
        async with self.database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            known_digest, known_id = await idempotency.claim_key(
                connection, user_id, operation, key, digest, job_id, now, now + IDEMPOTENCY_LIFE
            )
            if known_digest != digest:
                raise IdempotencyKeyReused(key)
            if known_id != job_id:
                found = await jobs.find_job(connection, JobId(known_id), user_id)
                if found is None:
                    raise JobNotFound(known_id)
                return found
            count = await jobs.count_open(connection, user_id)
            if count >= self._open_jobs_per_user:
                raise TooManyOpenJobs(count, self._open_jobs_per_user)
            job = await make(connection, job_id)
            await outbox.add(connection, events.job_progressed(job))
        self.due.ring()
        return job

    async def read(self, job_id: JobId, user_id: UserId) -> Job:
        """Return a job of this person's.

        Raises:
            JobNotFound: There is none.
        """
        async with self.database.connection() as connection:
            job = await jobs.find_job(connection, job_id, user_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    async def until_ended(self, job: Job, wait_s: float) -> Job:
        """Return a job when it has ended, or the wait or the caller's deadline is over.

        Who waits holds a place of the server. Beyond the bounds, of a person and of all, a job is returned as it is.
        """
        if wait_s <= 0:
            return job
        with self._waits.of(job.user_id) as may_wait:
            return await self._until_ended(job, wait_s) if may_wait else job

    async def _until_ended(self, job: Job, wait_s: float) -> Job:
        left_s = time_left_s()
        patience_s = wait_s if left_s is None else min(wait_s, left_s - _ANSWER_MARGIN_S)
        deadline = time.monotonic() + patience_s
        with self.bells.listening(job.job_id) as nudge:
            if not job.state.is_final:
                job = await self.read(job.job_id, job.user_id)
            while not job.state.is_final and (left := deadline - time.monotonic()) > 0:
                await nudge.wait(min(left, _REREAD_INTERVAL_S))
                job = await self.read(job.job_id, job.user_id)
        return job

    def message(self, job: Job) -> jobs_pb2.Job:
        """Write a job as callers read it."""
        return job_message(job, self.clock())


def to_wait_s(wait_ms: int) -> float:
    """Read how long to wait, in seconds.

    Raises:
        OutOfRange: More than 5 s, or less than none.
    """
    return fields.integer(wait_ms, "wait_ms", 0, LONGEST_WAIT_MS) / 1000


def to_job_id(given: str) -> JobId:
    """Read a job's id.

    Raises:
        JobNotFound: It can be none.
    """
    if not is_id(given):
        raise JobNotFound(given)
    return JobId(given)


def job_message(job: Job, now: datetime) -> jobs_pb2.Job:
    """Write a job as it is at a time."""
    return jobs_pb2.Job(
        job_id=job.job_id,
        state=jobs_pb2.JobState.Value(f"JOB_STATE_{job.state.value}"),
        progress=job.progress,
        playlist_id=job.playlist_id or "",
        failure_reason=job.failure_reason,
        failure_message=job.failure_message,
        attempt=job.attempt,
        created_at=timestamp(job.created_at),
        finished_at=None if job.finished_at is None else timestamp(job.finished_at),
        kind=jobs_pb2.JobKind.Value(f"JOB_KIND_{job.kind.value}"),
        eta_seconds=job.seconds_left(now),
        stage_unit=job.counted.unit,
        stage_done=job.counted.done,
        stage_total=job.counted.total,
    )
