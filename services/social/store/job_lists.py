"""Lists of jobs, newest first: job ids sort by the time at which they were asked for."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.social.domain.ids import JobId, UserId
from services.social.domain.jobs import Job, JobState, Kind
from services.social.store.database import LAST_ID, Connection
from services.social.store.jobs import JOB, to_job

SELECT_MINE = f"""
SELECT {JOB} FROM jobs
WHERE user_id = $1 AND job_id > $2 AND job_id < coalesce($3, '{LAST_ID}'::uuid) ORDER BY job_id DESC LIMIT $4
"""
SELECT_MINE_OPEN = f"""
SELECT {JOB} FROM jobs
WHERE user_id = $1 AND finished_at IS NULL AND job_id > $2 AND job_id < coalesce($3, '{LAST_ID}'::uuid)
ORDER BY job_id DESC LIMIT $4
"""
SELECT_ALL = f"""
SELECT {JOB} FROM jobs
WHERE job_id > $1 AND job_id < coalesce($2, '{LAST_ID}'::uuid)
    AND ($3::text IS NULL OR kind = $3) AND ($4::text IS NULL OR state = $4)
ORDER BY job_id DESC LIMIT $5
"""
SELECT_AMONG = f"SELECT {JOB} FROM jobs WHERE user_id = $1 AND job_id = ANY ($2::uuid[])"


async def own_jobs_among(connection: Connection, user_id: UserId, job_ids: Sequence[JobId]) -> list[Job]:
    """Return those of these jobs that are a person's, in no particular order."""
    return [to_job(row) for row in await connection.fetch(SELECT_AMONG, user_id, job_ids)]


async def own_jobs(
    connection: Connection, user_id: UserId, since: datetime, before: JobId | None, limit: int, *, open_only: bool
) -> list[Job]:
    """Return a person's jobs since a time, those before `before`."""
    statement = SELECT_MINE_OPEN if open_only else SELECT_MINE
    rows = await connection.fetch(statement, user_id, first_id(since), before, limit)
    return [to_job(row) for row in rows]


async def all_jobs(
    connection: Connection,
    kind: Kind | None,
    state: JobState | None,
    since: datetime,
    before: JobId | None,
    limit: int,
) -> list[Job]:
    """Return everybody's jobs since a time, of a kind and in a state; None takes all."""
    wanted = [None if one is None else one.value for one in (kind, state)]
    rows = await connection.fetch(SELECT_ALL, first_id(since), before, *wanted, limit)
    return [to_job(row) for row in rows]


def first_id(since: datetime) -> str:
    """Return what is below every id that was made at a time or later (UUIDv7: RFC 9562, 5.7)."""
    return str(UUID(int=int(since.timestamp() * 1000) << 80))
