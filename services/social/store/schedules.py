"""Rows of schedules: whoever comes first makes the job of a time, once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.social.domain.ids import JobId, PlaylistId, UserId
from services.social.domain.schedules import Period, Schedule
from services.social.store.database import Connection

SCHEDULE = "playlist_id, every, first_at, next_at, last_job_id"
SELECT_SCHEDULE = f"SELECT {SCHEDULE} FROM schedules WHERE playlist_id = $1 AND user_id = $2"
SELECT_SCHEDULES = f"SELECT {SCHEDULE} FROM schedules WHERE playlist_id = ANY($1::uuid[]) AND user_id = $2"
SET_SCHEDULE = f"""
INSERT INTO schedules (playlist_id, user_id, every, first_at, next_at) VALUES ($1, $2, $3, $4, $4)
ON CONFLICT (playlist_id) DO UPDATE
SET every = excluded.every, first_at = excluded.first_at, next_at = excluded.next_at
RETURNING {SCHEDULE}
"""
DELETE_SCHEDULE = "DELETE FROM schedules WHERE playlist_id = $1 AND user_id = $2"
SELECT_DUE = """
SELECT playlist_id, user_id, next_at FROM schedules
WHERE next_at <= $1 AND ($2::timestamptz IS NULL OR (next_at, playlist_id) > ($2, $3::uuid))
ORDER BY next_at, playlist_id LIMIT $4
"""
COUNT_OTHERS = "SELECT count(*) FROM schedules WHERE user_id = $1 AND playlist_id <> $2"
# Who is not there any more has nothing made.
LOCK_DUE = f"""
SELECT {SCHEDULE},
    EXISTS (SELECT FROM users WHERE users.user_id = schedules.user_id AND suspended_at IS NULL AND deleted_at IS NULL)
        AS is_owner_active,
    EXISTS (SELECT FROM jobs WHERE job_id = schedules.last_job_id AND finished_at IS NULL) AS is_under_way
FROM schedules WHERE playlist_id = $1 AND next_at <= $2
FOR UPDATE SKIP LOCKED
"""
ADVANCE = "UPDATE schedules SET next_at = $2, last_job_id = coalesce($3, last_job_id) WHERE playlist_id = $1"


@dataclass(frozen=True, slots=True)
class Due:
    """A playlist whose time has come, with its owner."""

    playlist_id: PlaylistId
    user_id: UserId
    next_at: datetime


async def find_schedule(connection: Connection, playlist_id: PlaylistId, user_id: UserId) -> Schedule | None:
    """Return the schedule of a playlist of this person's."""
    row = await connection.fetchrow(SELECT_SCHEDULE, playlist_id, user_id)
    return None if row is None else _schedule(row)


async def find_schedules(connection: Connection, playlist_ids: Sequence[PlaylistId], user_id: UserId) -> list[Schedule]:
    """Return the schedules of those of these playlists that are this person's."""
    return [_schedule(row) for row in await connection.fetch(SELECT_SCHEDULES, playlist_ids, user_id)]


async def set_schedule(
    connection: Connection, playlist_id: PlaylistId, user_id: UserId, every: Period, first_at: datetime
) -> Schedule:
    """Have a playlist made again and again, from a time on."""
    row = await connection.fetchrow(SET_SCHEDULE, playlist_id, user_id, every.value, first_at)
    assert row is not None, "an upsert returns its row"
    return _schedule(row)


async def clear_schedule(connection: Connection, playlist_id: PlaylistId, user_id: UserId) -> None:
    """End that."""
    await connection.execute(DELETE_SCHEDULE, playlist_id, user_id)


async def count_others(connection: Connection, user_id: UserId, playlist_id: PlaylistId) -> int:
    """Count a person's schedules beside that of a playlist."""
    return int(await connection.fetchval(COUNT_OTHERS, user_id, playlist_id))


async def due(connection: Connection, now: datetime, after: Due | None, limit: int) -> list[Due]:
    """Return playlists whose time has come, those that wait longest first, those that come after one of them."""
    next_at, playlist_id = (None, None) if after is None else (after.next_at, after.playlist_id)
    rows = await connection.fetch(SELECT_DUE, now, next_at, playlist_id, limit)
    return [Due(PlaylistId(row["playlist_id"]), UserId(row["user_id"]), row["next_at"]) for row in rows]


async def lock_due(connection: Connection, playlist_id: PlaylistId, now: datetime) -> tuple[Schedule, bool] | None:
    """Return a schedule and whether a job is to be made now; None where somebody else has done so or is about to."""
    row = await connection.fetchrow(LOCK_DUE, playlist_id, now)
    return None if row is None else (_schedule(row), row["is_owner_active"] and not row["is_under_way"])


async def advance(connection: Connection, playlist_id: PlaylistId, next_at: datetime, job_id: JobId | None) -> None:
    """Say when next, and which job was made now; None where none was."""
    await connection.execute(ADVANCE, playlist_id, next_at, job_id)


def _schedule(row: asyncpg.Record) -> Schedule:
    return Schedule(row["playlist_id"], Period(row["every"]), row["first_at"], row["next_at"], row["last_job_id"])
