"""Rows of people's tastes: what the index was told of them, who must be looked at, and the mixes of days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from services.social.domain.ids import TrackId, UserId
from services.social.store.database import Connection, execute_long

CHANGE = """
INSERT INTO tastes (user_id, changed_at) VALUES ($1, $2)
ON CONFLICT (user_id) DO UPDATE SET changed_at = excluded.changed_at, published_at = NULL
"""
SELECT_TOUCHED = "SELECT user_id FROM touched_people WHERE since <= $1 ORDER BY since, user_id LIMIT $2"
# Who is busy comes next time.
LOCK_IDLE_PERSON = """
SELECT is_listed AND suspended_at IS NULL AND deleted_at IS NULL AS is_listed, deleted_at IS NOT NULL AS is_gone
FROM users WHERE user_id = $1 FOR NO KEY UPDATE SKIP LOCKED
"""
DELETE_TOUCHED = "DELETE FROM touched_people WHERE user_id = $1 RETURNING user_id"
PUT_OFF = "UPDATE touched_people SET since = $2 WHERE user_id = $1"
SELECT_TASTE = "SELECT version, published_at IS NOT NULL AS is_published, is_listed FROM tastes WHERE user_id = $1"
SELECT_HEAVIEST = """
SELECT track_id, score FROM listening WHERE user_id = $1 ORDER BY score DESC, track_id LIMIT $2
"""
MARK_PUBLISHED = """
UPDATE tastes SET version = $2, published_at = $3, is_listed = $4 WHERE user_id = $1
"""
FORGET_PUBLISHED = "UPDATE tastes SET published_at = NULL WHERE published_at IS NOT NULL"
TOUCH_ALL = """
INSERT INTO touched_people (user_id, since) SELECT user_id, $1 FROM tastes ORDER BY user_id
ON CONFLICT (user_id) DO NOTHING
"""

SELECT_MIX = "SELECT tracks FROM mixes WHERE user_id = $1 AND day = $2"
INSERT_MIX = """
INSERT INTO mixes (user_id, day, tracks) VALUES ($1, $2, $3) ON CONFLICT (user_id, day) DO NOTHING
"""
DELETE_MIXES = "DELETE FROM mixes WHERE user_id = $1"
SWEEP_MIXES = """
DELETE FROM mixes WHERE (user_id, day) IN (SELECT user_id, day FROM mixes WHERE day < $1 LIMIT $2) RETURNING day
"""


@dataclass(frozen=True, slots=True)
class Taste:
    """What the index was told: the version, and whether it is the newest; whether others may find it."""

    version: int
    is_published: bool
    is_listed: bool


@dataclass(frozen=True, slots=True)
class TouchedPerson:
    """Somebody who is looked at: whether they want to be, and may be, found by others; whether they left."""

    is_listed: bool
    is_gone: bool


async def change(connection: Connection, user_id: UserId, now: datetime) -> None:
    """Note that somebody's weights are others now; the tallier's next round has them published."""
    await connection.execute(CHANGE, user_id, now)


async def touched(connection: Connection, before: datetime, limit: int) -> list[UserId]:
    """Return who was touched before a time, longest ago first."""
    return [row["user_id"] for row in await connection.fetch(SELECT_TOUCHED, before, limit)]


async def take_touched(connection: Connection, user_id: UserId) -> TouchedPerson | None:
    """Lock a touched person and let go of the note; None where somebody else has them, or had.

    What touches them from now on is noted anew: that note waits for the end of this transaction.
    """
    row = await connection.fetchrow(LOCK_IDLE_PERSON, user_id)
    if row is None or await connection.fetchval(DELETE_TOUCHED, user_id) is None:
        return None
    return TouchedPerson(row["is_listed"], row["is_gone"])


async def put_off(connection: Connection, user_id: UserId, until: datetime) -> None:
    """Let others have their turn before somebody who cannot be looked at now."""
    await connection.execute(PUT_OFF, user_id, until)


async def taste_of(connection: Connection, user_id: UserId) -> Taste | None:
    """Return what the index was told of somebody; None for who never heard anything."""
    row = await connection.fetchrow(SELECT_TASTE, user_id)
    return None if row is None else Taste(row["version"], row["is_published"], row["is_listed"])


async def heaviest(connection: Connection, user_id: UserId, limit: int) -> list[tuple[TrackId, float]]:
    """Return what somebody hears most, heaviest first, with scores (`signals.added`)."""
    rows = await connection.fetch(SELECT_HEAVIEST, user_id, limit)
    return [(row["track_id"], row["score"]) for row in rows]


async def mark_published(
    connection: Connection, user_id: UserId, version: int, now: datetime, *, is_listed: bool
) -> None:
    """Note what the index is told in this transaction."""
    await connection.execute(MARK_PUBLISHED, user_id, version, now, is_listed)


async def publish_all_again(connection: Connection, now: datetime) -> None:
    """Have every taste told again, since the log that held them is lost; in a transaction."""
    # In this order, as who looks at a person locks them: first the note, then the taste.
    await execute_long(connection, TOUCH_ALL, now)
    await execute_long(connection, FORGET_PUBLISHED)


async def mix_of(connection: Connection, user_id: UserId, day: date) -> list[list[object]] | None:
    """Return somebody's mix of a day as it was stored; None where it was not made."""
    found: list[list[object]] | None = await connection.fetchval(SELECT_MIX, user_id, day)
    return found


async def insert_mix(connection: Connection, user_id: UserId, day: date, tracks: Sequence[object]) -> None:
    """Store a mix, unless there is one of that day."""
    await connection.execute(INSERT_MIX, user_id, day, list(tracks))


async def delete_mixes(connection: Connection, user_id: UserId) -> None:
    """Forget somebody's mixes."""
    await connection.execute(DELETE_MIXES, user_id)


async def sweep_mixes(connection: Connection, before: date, limit: int) -> int:
    """Forget mixes of days before; return how many of at most `limit`."""
    return len(await connection.fetch(SWEEP_MIXES, before, limit))
