"""What waits in the tables, for those who look after a mesh; what one look costs is bounded, however much waits."""

from services.social.domain.jobs import JobState
from services.social.domain.jobs import Kind as JobKind
from services.social.metrics import Waiting
from services.social.store.database import Connection
from services.social.store.outbox import PARTITIONS, Kind

# Rows that are counted of each; that many say enough.
MOST_COUNTED = 100_000

# Ids rise with time within a partition, and nowhere is an index by time.
SELECT_OUTBOX = """
SELECT
    kind.kind,
    (SELECT count(*) FROM (SELECT FROM outbox WHERE outbox.kind = kind.kind LIMIT $2) AS counted) AS count,
    (
        SELECT extract(epoch FROM now() - min(first.created_at))
        FROM generate_series(0, $3 - 1) AS lane CROSS JOIN LATERAL (
            SELECT created_at FROM outbox WHERE outbox.kind = kind.kind AND partition = lane ORDER BY id LIMIT 1
        ) AS first
    ) AS age
FROM unnest($1::text[]) AS kind
"""
SELECT_JOBS = """
SELECT kind, state, count(*) AS count, extract(epoch FROM now() - min(created_at)) AS age
FROM (
    SELECT kind, state, created_at FROM jobs
    WHERE finished_at IS NULL AND (attempt > 0 OR coalesce(due_at, run_after) <= now()) LIMIT $1
) AS due
GROUP BY kind, state
"""
SELECT_WORK = """
SELECT
    (SELECT count(*) FROM (SELECT FROM embedding_work LIMIT $1) AS counted) AS count,
    (SELECT extract(epoch FROM now() - sent_at) FROM embedding_work ORDER BY sent_at LIMIT 1) AS age
"""


async def outbox(connection: Connection) -> dict[str, Waiting]:
    """Count messages that are promised and not published, by kind; kinds without any count 0."""
    rows = await connection.fetch(SELECT_OUTBOX, [kind.value for kind in Kind], MOST_COUNTED, PARTITIONS)
    return {row["kind"]: _waiting(row["count"], row["age"]) for row in rows}


async def jobs(connection: Connection) -> dict[tuple[str, str], Waiting]:
    """Count jobs that are due and have not ended, by kind and state; those without any count 0."""
    open_states = [state.value for state in JobState if not state.is_final]
    found = {(kind.value, state): Waiting() for kind in JobKind for state in open_states}
    for row in await connection.fetch(SELECT_JOBS, MOST_COUNTED):
        found[row["kind"], row["state"]] = _waiting(row["count"], row["age"])
    return found


async def work(connection: Connection) -> Waiting:
    """Count sounds whose embedding was asked for and not answered."""
    row = await connection.fetchrow(SELECT_WORK, MOST_COUNTED)
    assert row is not None
    return _waiting(row["count"], row["age"])


def _waiting(count: int, age: object) -> Waiting:
    return Waiting(count, max(0.0, float(str(age))) if age is not None else 0.0)
