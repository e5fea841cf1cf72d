"""Rows of jobs.

An older release claims whatever `run_after` says is due, and knows generations by their old rules alone. What it cannot
do has `run_after` 'infinity' for good, and its time in `due_at`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from services.chassis.telemetry import tracing
from services.social.domain.ids import JobId, PlaylistId, UserId
from services.social.domain.jobs import Counted, Job, JobState, Kind, can_older_release
from services.social.store.database import Connection

# What every release reads of a request before it looks at anything else.
_READABLE = {
    "recipe": {
        "seeds": [],
        "length": 1,
        "max_per_artist": 1,
        "include_seed": False,
        "min_similarity": None,
        "exclude_track_ids": [],
    },
    "title": "",
    "visibility": "PRIVATE",
}

JOB = """
    job_id, kind, user_id, request, state, progress, playlist_id, failure_reason, failure_message, attempt, releases,
    request_id, trace_parent, created_at, finished_at, eta_seconds, stage_at, stage_unit, stage_done, stage_total
"""
INSERT_JOB = f"""
INSERT INTO jobs (job_id, kind, user_id, request, state, request_id, trace_parent, playlist_id, run_after, due_at)
VALUES (
    $1, $2, $3, $4, 'QUEUED', $5, $6, $7,
    CASE WHEN $8 THEN now() ELSE 'infinity' END, CASE WHEN $8 THEN NULL ELSE coalesce($9::timestamptz, now()) END
)
RETURNING {JOB}
"""
SELECT_JOB = f"SELECT {JOB} FROM jobs WHERE job_id = $1 AND user_id = $2"
SELECT_ANY = f"SELECT {JOB} FROM jobs WHERE job_id = $1"
LOCK_OWNER = """
SELECT suspended_at IS NULL AND deleted_at IS NULL FROM users WHERE user_id = $1 FOR NO KEY UPDATE
"""
COUNT_OPEN = "SELECT count(*) FROM jobs WHERE user_id = $1 AND finished_at IS NULL"
# Times are the database's, so that processes with different clocks agree on a lease. Two that claim at once may give a
# person one place too many.
CLAIM = f"""
UPDATE jobs SET attempt = attempt + 1, lease_until = now() + make_interval(secs => $1)
WHERE job_id = (
    SELECT job_id FROM jobs AS waiting
    WHERE finished_at IS NULL AND coalesce(due_at, run_after) <= now()
        AND (lease_until IS NULL OR lease_until < now()) AND kind = ANY ($2::text[])
        AND (
            SELECT count(*) FROM jobs AS held
            WHERE held.user_id = waiting.user_id AND held.finished_at IS NULL AND held.kind = waiting.kind
                AND held.lease_until >= now()
        ) < $3
    ORDER BY coalesce(due_at, run_after), job_id LIMIT 1 FOR UPDATE SKIP LOCKED
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
UPDATE jobs SET
    state = $3, progress = $4, eta_seconds = $5, stage_at = $6, stage_unit = $7, stage_done = $8, stage_total = $9
WHERE job_id = $1 AND attempt = $2 AND finished_at IS NULL
RETURNING {JOB}
"""
RELEASE = """
UPDATE jobs SET lease_until = NULL, releases = releases + 1,
    run_after = CASE WHEN due_at IS NULL THEN now() + make_interval(secs => $3) ELSE run_after END,
    due_at = CASE WHEN due_at IS NULL THEN NULL ELSE now() + make_interval(secs => $3) END
WHERE job_id = $1 AND attempt = $2 AND finished_at IS NULL
"""
SUCCEED = f"""
UPDATE jobs SET
    state = 'SUCCEEDED', progress = 1, playlist_id = coalesce($3, playlist_id), finished_at = $4, lease_until = NULL
WHERE job_id = $1 AND attempt = $2 AND finished_at IS NULL
RETURNING {JOB}
"""
FAIL = f"""
UPDATE jobs SET state = 'FAILED', failure_reason = $3, failure_message = $4, finished_at = $5, lease_until = NULL
WHERE job_id = $1 AND attempt = $2 AND finished_at IS NULL
RETURNING {JOB}
"""
# The roles of encoders say when a switch ends, and an account that is being deleted is deleted.
CANCEL = f"""
UPDATE jobs SET state = 'CANCELLED', finished_at = $3, lease_until = NULL
WHERE job_id = $1 AND user_id = $2 AND finished_at IS NULL AND kind NOT IN ('ENCODER_SWITCH', 'ACCOUNT_DELETION')
RETURNING {JOB}
"""


async def insert_job(
    connection: Connection,
    job_id: JobId,
    kind: Kind,
    user_id: UserId,
    request: dict[str, Any],  # any JSON
    request_id: str,
    *,
    playlist_id: PlaylistId | None = None,
    due_at: datetime | None = None,
) -> Job:
    """Add a job that waits for a worker.

    Args:
        connection: In the transaction that asks for it.
        job_id: New.
        kind: What it does.
        user_id: In whose name.
        request: What to do, as its kind reads it.
        request_id: Of the call that asked for it.
        playlist_id: What it extends; None where a playlist, if any, comes out at its end.
        due_at: Not before; None is now. Does not count for what an older release can do.
    """
    is_for_all = can_older_release(kind, request)
    row = await connection.fetchrow(
        INSERT_JOB,
        job_id,
        kind.value,
        user_id,
        _READABLE | request,
        request_id,
        tracing.parent_header(),
        playlist_id,
        is_for_all,
        due_at,
    )
    return to_job(row)


async def count_open(connection: Connection, user_id: UserId) -> int:
    """Count a person's jobs that have not ended."""
    return int(await connection.fetchval(COUNT_OPEN, user_id))


async def find_job(connection: Connection, job_id: JobId, user_id: UserId) -> Job | None:
    """Return a job of this person's."""
    row = await connection.fetchrow(SELECT_JOB, job_id, user_id)
    return None if row is None else to_job(row)


async def find_any(connection: Connection, job_id: JobId) -> Job | None:
    """Return a job, whoever's it is: for admins."""
    row = await connection.fetchrow(SELECT_ANY, job_id)
    return None if row is None else to_job(row)


async def lock_active_owner(connection: Connection, job: Job) -> bool:
    """Lock the person of a job until the transaction ends; say whether they are neither suspended nor gone."""
    return bool(await connection.fetchval(LOCK_OWNER, job.user_id))


async def claim(
    connection: Connection, lease_s: float, kinds: Sequence[Kind] = tuple(Kind), of_person: int = 1_000
) -> Job | None:
    """Take the job of these kinds that is due longest, None where none is.

    Args:
        connection: To the truth.
        lease_s: How long others leave it alone.
        kinds: What may be taken.
        of_person: Who has so many jobs of a kind in work waits with the next one.
    """
    row = await connection.fetchrow(CLAIM, lease_s, [kind.value for kind in kinds], of_person)
    return None if row is None else to_job(row)


async def renew(connection: Connection, job: Job, lease_s: float) -> bool:
    """Prolong a lease; say whether the job is still this worker's."""
    return await connection.fetchval(RENEW, job.job_id, job.attempt, lease_s) is not None


async def advance(
    connection: Connection,
    job: Job,
    state: JobState,
    progress: float,
    counted: Counted,
    eta_seconds: float | None,
    now: datetime,
) -> Job | None:
    """Move a job to a stage; None where it is no longer this worker's."""
    row = await connection.fetchrow(
        ADVANCE,
        job.job_id,
        job.attempt,
        state.value,
        progress,
        eta_seconds,
        now,
        counted.unit,
        counted.done,
        counted.total,
    )
    return None if row is None else to_job(row)


async def release(connection: Connection, job: Job, rest_s: float) -> None:
    """Give a job back, not to be taken for `rest_s`."""
    await connection.execute(RELEASE, job.job_id, job.attempt, rest_s)


async def succeed(connection: Connection, job: Job, playlist_id: PlaylistId | None, now: datetime) -> Job | None:
    """End a job well; None where it is no longer this worker's: then nothing of its transaction may stay."""
    row = await connection.fetchrow(SUCCEED, job.job_id, job.attempt, playlist_id, now)
    return None if row is None else to_job(row)


async def fail(connection: Connection, job: Job, reason: str, message: str, now: datetime) -> Job | None:
    """End a job without a playlist; None where it is no longer this worker's."""
    row = await connection.fetchrow(FAIL, job.job_id, job.attempt, reason, message, now)
    return None if row is None else to_job(row)


async def cancel(connection: Connection, job_id: JobId, user_id: UserId, now: datetime) -> Job | None:
    """Call off a job of this person's; None where there is none, or it has ended."""
    row = await connection.fetchrow(CANCEL, job_id, user_id, now)
    return None if row is None else to_job(row)


def to_job(row: asyncpg.Record | None) -> Job:
    """Read a row with the columns JOB."""
    assert row is not None, "every statement here returns the row that it wrote"
    found = dict(row)
    unit, done, total = (found.pop(f"stage_{name}") for name in ("unit", "done", "total"))
    counted = Counted(unit, done or 0, total or 0)
    return Job(**{**found, "kind": Kind(row["kind"]), "state": JobState(row["state"]), "counted": counted})
