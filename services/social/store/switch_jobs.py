"""Rows of jobs that stand for switches of encoders: whoever changes the roles of encoders writes them, no worker."""

from datetime import datetime

from services.social import events
from services.social.domain.encoders import Roles
from services.social.domain.ids import EncoderId, JobId, UserId, new_id
from services.social.domain.jobs import JobState, Kind
from services.social.store import encoders, jobs, outbox
from services.social.store.database import Connection
from services.social.store.jobs import JOB, to_job

_OPEN = "kind = 'ENCODER_SWITCH' AND finished_at IS NULL"
# By how many tracks a second were heard since it began.
TELL = f"""
UPDATE jobs SET state = 'EMBEDDING', stage_unit = 'tracks', stage_done = $2, stage_total = $3, stage_at = $4,
    progress = greatest(progress, least(0.99, $2::real / greatest(1, $3))),
    eta_seconds = CASE WHEN $2 > (request ->> 'done')::int
        THEN extract(epoch FROM now() - created_at) * ($3 - $2) / ($2 - (request ->> 'done')::int) END
WHERE {_OPEN} AND request ->> 'encoder_id' = $1 AND (stage_done, stage_total) IS DISTINCT FROM ($2, $3)
RETURNING {JOB}
"""
END = f"""
UPDATE jobs SET state = $2, progress = CASE WHEN $2 = 'SUCCEEDED' THEN 1 ELSE progress END, finished_at = now()
WHERE {_OPEN} AND request ->> 'encoder_id' = $1
RETURNING {JOB}
"""
SELECT_ENCODERS = f"SELECT DISTINCT request ->> 'encoder_id' AS encoder_id FROM jobs WHERE {_OPEN}"


async def begin(connection: Connection, encoder_id: EncoderId, user_id: UserId, request_id: str) -> None:
    """Show a switch as a job of who asked for it; in the transaction that makes the encoder the candidate."""
    done, _ = await encoders.heard(connection, encoder_id)
    request = {"encoder_id": encoder_id, "done": done}
    job = await jobs.insert_job(connection, JobId(new_id()), Kind.ENCODER_SWITCH, user_id, request, request_id)
    await outbox.add(connection, events.job_progressed(job))


async def tell(connection: Connection, encoder_id: EncoderId, now: datetime) -> None:
    """Say how much of the library the candidate knows, where that is more than was said."""
    done, total = await encoders.heard(connection, encoder_id)
    rows = await connection.fetch(TELL, encoder_id, done, total, now)
    await outbox.add(connection, *(events.job_progressed(to_job(row)) for row in rows))


async def end(connection: Connection, encoder_id: EncoderId, state: JobState) -> list[JobId]:
    """End the switch to an encoder; in the transaction that ends it in truth. Returns its jobs."""
    ended = [to_job(row) for row in await connection.fetch(END, encoder_id, state.value)]
    await outbox.add(connection, *(events.job_progressed(job) for job in ended))
    return [job.job_id for job in ended]


async def settle(connection: Connection, roles: Roles) -> None:
    """End what an older release has ended without a word; in a transaction that shares the roles."""
    for row in await connection.fetch(SELECT_ENCODERS):
        if row["encoder_id"] != roles.candidate:
            is_served = row["encoder_id"] == roles.serving
            await end(connection, row["encoder_id"], JobState.SUCCEEDED if is_served else JobState.CANCELLED)
