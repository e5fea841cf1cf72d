"""Rows of jobs and of idempotency keys."""

from datetime import datetime

import asyncpg

from services.chassis.telemetry import tracing
from services.social.ids import JobId, PlaylistId, UserId
from services.social.jobs import GenerationRequest, Job, JobState, Recipe
from services.social.playlists import Visibility
from services.social.store.database import Connection

JOB = """
    job_id, user_id, request, state, progress, playlist_id, failure_reason, failure_message, attempt, releases,
    request_id, trace_parent, created_at, finished_at
"""
INSERT_JOB = f"""
INSERT INTO jobs (job_id, kind, user_id, request, state, request_id, trace_parent)
VALUES ($1, 'GENERATION', $2, $3, 'QUEUED', $4, $5)
RETURNING {JOB}
"""
SELECT_JOB = f"SELECT {JOB} FROM jobs WHERE job_id = $1 AND user_id = $2"
COUNT_OPEN = "SELECT count(*) FROM jobs WHERE user_id = $1 AND finished_at IS NULL"
# Times are the database's, so that processes with different clocks agree on a lease.
CLAIM = f"""
UPDATE jobs SET attempt = attempt + 1, lease_until = now() + make_interval(secs => $1)
WHERE job_id = (
    SELECT job_id FROM jobs
    WHERE finished_at IS NULL AND run_after <= now() AND (lease_until IS NULL OR lease_until < now())
    ORDER BY run_after, job_id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {JOB}
"""
RENEW = """
UPDATE jobs SET lease_until = now() + make_interval(secs => $3)
WHERE job_id = $1 AND attempt = $2 AND finished_at IS NULL
RETURNING job_id
"""
# Somebody else has it where the attempt is another, and nobody changes what is final.
ADVANCE = f"""
UPDATE jobs SET state = $3, progress = $4 WHERE job_id = $1 AND attempt = $2 AND finished_at IS NULL
RETURNING {JOB}
"""
RELEASE = """
UPDATE jobs SET lease_until = NULL, releases = releases + 1, run_after = now() + make_interval(secs => $3)
WHERE job_id = $1 AND attempt = $2 AND finished_at IS NULL
"""
LOCK_ATTEMPT = "SELECT FROM jobs WHERE job_id = $1 AND attempt = $2 AND finished_at IS NULL FOR UPDATE"
SUCCEED = f"""
UPDATE jobs SET state = 'SUCCEEDED', progress = 1, playlist_id = $2, finished_at = $3, lease_until = NULL
WHERE job_id = $1
RETURNING {JOB}
"""
FAIL = f"""
UPDATE jobs SET state = 'FAILED', failure_reason = $3, failure_message = $4, finished_at = $5, lease_until = NULL
WHERE job_id = $1 AND attempt = $2 AND finished_at IS NULL
RETURNING {JOB}
"""
CANCEL = f"""
UPDATE jobs SET state = 'CANCELLED', finished_at = $3, lease_until = NULL
WHERE job_id = $1 AND user_id = $2 AND finished_at IS NULL
RETURNING {JOB}
"""

# An expired key is as good as none. Of two at once, the second waits and then finds the first's.
CLAIM_KEY = """
INSERT INTO idempotency_keys AS known (user_id, operation, key, request_digest, result_id, expires_at)
VALUES ($1, $2, $3, $4, $5, $7)
ON CONFLICT (user_id, operation, key) DO UPDATE
SET request_digest = excluded.request_digest, result_id = excluded.result_id, expires_at = excluded.expires_at
WHERE known.expires_at <= $6
RETURNING result_id
"""
SELECT_KEY = """
SELECT request_digest, result_id FROM idempotency_keys WHERE user_id = $1 AND operation = $2 AND key = $3
"""
DELETE_EXPIRED_KEYS = "DELETE FROM idempotency_keys WHERE expires_at <= $1"


async def claim_key(
    connection: Connection,
    user_id: UserId,
    operation: str,
    key: str,
    request_digest: bytes,
    result_id: str,
    now: datetime,
    expires_at: datetime,
) -> tuple[bytes, str]:
    """Bind an idempotency key to a request and its result, unless it is bound already.

    Returns:
        Digest and result that the key is bound to: the given ones, or those of the first request.
    """
    bound = await connection.fetchval(CLAIM_KEY, user_id, operation, key, request_digest, result_id, now, expires_at)
    if bound is not None:
        return request_digest, result_id
    row = await connection.fetchrow(SELECT_KEY, user_id, operation, key)
    assert row is not None, "a key that is in the way is there"
    return row["request_digest"], row["result_id"]


async def delete_expired_keys(connection: Connection, now: datetime) -> None:
    """Forget idempotency keys whose time is over."""
    await connection.execute(DELETE_EXPIRED_KEYS, now)


async def insert_job(
    connection: Connection, job_id: JobId, user_id: UserId, request: GenerationRequest, request_id: str
) -> Job:
    """Add a job that waits for a worker."""
    stored = {
        "recipe": request.recipe.to_json(),
        "title": request.title,
        "visibility": request.visibility.value,
    }
    return _job(await connection.fetchrow(INSERT_JOB, job_id, user_id, stored, request_id, tracing.parent_header()))


async def count_open(connection: Connection, user_id: UserId) -> int:
    """Count a person's jobs that have not ended."""
    return int(await connection.fetchval(COUNT_OPEN, user_id))


async def find_job(connection: Connection, job_id: JobId, user_id: UserId) -> Job | None:
    """Return a job of this person's."""
    row = await connection.fetchrow(SELECT_JOB, job_id, user_id)
    return None if row is None else _job(row)


async def claim(connection: Connection, lease_s: float) -> Job | None:
    """Take the job that is due longest, None where none is."""
    row = await connection.fetchrow(CLAIM, lease_s)
    return None if row is None else _job(row)


async def renew(connection: Connection, job: Job, lease_s: float) -> bool:
    """Prolong a lease; say whether the job is still this worker's."""
    return await connection.fetchval(RENEW, job.job_id, job.attempt, lease_s) is not None


async def advance(connection: Connection, job: Job, state: JobState, progress: float) -> Job | None:
    """Move a job to a stage; None where it is no longer this worker's."""
    row = await connection.fetchrow(ADVANCE, job.job_id, job.attempt, state.value, progress)
    return None if row is None else _job(row)


async def release(connection: Connection, job: Job, rest_s: float) -> None:
    """Give a job back, not to be taken for `rest_s`."""
    await connection.execute(RELEASE, job.job_id, job.attempt, rest_s)


async def lock_attempt(connection: Connection, job: Job) -> bool:
    """Say whether a job is still this worker's, and keep it so until the transaction ends."""
    return await connection.fetchrow(LOCK_ATTEMPT, job.job_id, job.attempt) is not None


async def succeed(connection: Connection, job: Job, playlist_id: PlaylistId, now: datetime) -> Job:
    """End a job that the transaction has locked with its playlist."""
    return _job(await connection.fetchrow(SUCCEED, job.job_id, playlist_id, now))


async def fail(connection: Connection, job: Job, reason: str, message: str, now: datetime) -> Job | None:
    """End a job without a playlist; None where it is no longer this worker's."""
    row = await connection.fetchrow(FAIL, job.job_id, job.attempt, reason, message, now)
    return None if row is None else _job(row)


async def cancel(connection: Connection, job_id: JobId, user_id: UserId, now: datetime) -> Job | None:
    """Call off a job of this person's; None where there is none, or it has ended."""
    row = await connection.fetchrow(CANCEL, job_id, user_id, now)
    return None if row is None else _job(row)


def _job(row: asyncpg.Record | None) -> Job:
    assert row is not None, "every statement here returns the row that it wrote"
    stored = row["request"]
    request = GenerationRequest(Recipe.from_json(stored["recipe"]), stored["title"], Visibility(stored["visibility"]))
    return Job(**{**row, "request": request, "state": JobState(row["state"])})
