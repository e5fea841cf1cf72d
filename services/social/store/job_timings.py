"""Rows of how long the stages of jobs take."""

from collections.abc import Mapping

from services.social.domain.jobs import JobState, Kind
from services.social.domain.timings import NEWEST_SHARE, Timing
from services.social.store.database import Connection

SELECT_TIMINGS = "SELECT stage, mean_ms, count FROM job_timings WHERE kind = $1"
# Until there are many, the plain mean: the first one is not the truth of the next twenty.
ADD_TIMING = """
INSERT INTO job_timings AS known (kind, stage, mean_ms, count) VALUES ($1, $2, $3, 1)
ON CONFLICT (kind, stage) DO UPDATE SET
    mean_ms = known.mean_ms + (excluded.mean_ms - known.mean_ms) * greatest($4, 1.0 / (known.count + 1)),
    count = known.count + 1
"""


async def timings_of(connection: Connection, kind: Kind) -> dict[JobState, Timing]:
    """Return how long the stages of a kind take."""
    rows = await connection.fetch(SELECT_TIMINGS, kind.value)
    return {JobState(row["stage"]): Timing(row["mean_ms"], row["count"]) for row in rows}


async def add_timings(connection: Connection, kind: Kind, timings_ms: Mapping[JobState, float]) -> None:
    """Count a job's stages; each by a transaction of its own, so that no two wait long for each other."""
    for state, elapsed_ms in timings_ms.items():
        await connection.execute(ADD_TIMING, kind.value, state.value, elapsed_ms, NEWEST_SHARE)
