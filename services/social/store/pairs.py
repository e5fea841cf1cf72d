"""Which tracks are heard by the same people: item–item cosines, made anew for the tracks that were heard on a day."""

from collections.abc import Sequence
from datetime import date

import asyncpg

from services.social.domain.ids import TrackId, UserId
from services.social.store.database import Connection
from services.social.store.follows import ACTIVE
from services.social.store.visibility import blocked

# So many of a track's latest listeners are looked at, and so many tracks of each.
_MOST_LISTENERS = 500
_MOST_TRACKS = 200
_MOST_PAIRS = 50
# A pair that fewer have in common would tell what one of them hears.
LEAST_COMMON = 3
# Sarwar and others, Item-based collaborative filtering, WWW 2001, with the shrinkage of Bell and Koren, KDD Cup 2007:
# a cosine of few people is worth less.
_SHRINKAGE = 10.0
_LOCK_SPACE = 7_305_806

LOCK_ROUND = "SELECT pg_try_advisory_xact_lock($1, 1)"
SELECT_ROUND = "SELECT day, done_through FROM pair_rounds WHERE finished_at IS NULL ORDER BY day LIMIT 1"
SELECT_LAST_ROUND = "SELECT max(day) FROM pair_rounds"
INSERT_ROUND = "INSERT INTO pair_rounds (day) VALUES ($1) ON CONFLICT (day) DO NOTHING"
MOVE_ROUND = "UPDATE pair_rounds SET done_through = $2 WHERE day = $1"
END_ROUND = "UPDATE pair_rounds SET finished_at = now() WHERE day = $1"
SELECT_HEARD_TRACKS = """
SELECT subject FROM daily_trends WHERE dimension = 'TRACK' AND day = $1 AND subject > $2 ORDER BY subject LIMIT $3
"""
DELETE_PAIRS = "DELETE FROM track_pairs WHERE track_id = $1"
# Cosine of two sets of people, |A ∩ B| / √(|A| |B|), each set cut at 500.
INSERT_PAIRS = """
WITH listeners AS (
    SELECT user_id FROM listening WHERE track_id = $1 ORDER BY last_at DESC LIMIT $2
), common AS (
    SELECT other.track_id, count(*) AS people
    FROM listeners CROSS JOIN LATERAL (
        SELECT track_id FROM listening WHERE user_id = listeners.user_id ORDER BY score DESC, track_id LIMIT $3
    ) AS other
    WHERE other.track_id <> $1 GROUP BY other.track_id HAVING count(*) >= $4
    ORDER BY people DESC, other.track_id LIMIT 4 * $5
), weighted AS (
    SELECT common.track_id, common.people / sqrt((SELECT count(*) FROM listeners)::float8 * audience.heads)
        * common.people / (common.people + $6::float8) AS weight
    FROM common CROSS JOIN LATERAL (
        SELECT count(*) AS heads
        FROM (SELECT FROM listening WHERE listening.track_id = common.track_id LIMIT $2) AS cut
    ) AS audience
)
INSERT INTO track_pairs (track_id, other_id, weight)
SELECT $1, track_id, weight FROM weighted ORDER BY weight DESC, track_id LIMIT $5
"""
# What a person's tracks lead to, by their weight; what they know or block is left out.
SELECT_BEHAVIOUR = """
WITH heard AS (
    SELECT track_id, power(2, greatest(-60, score - max(score) OVER ())) AS weight
    FROM (SELECT track_id, score FROM listening WHERE user_id = $1 ORDER BY score DESC, track_id LIMIT 100) AS top
)
SELECT pair.other_id, (array_agg(pair.track_id ORDER BY pair.weight * heard.weight DESC, pair.track_id))[1] AS because
FROM heard JOIN track_pairs AS pair USING (track_id)
WHERE NOT EXISTS (SELECT FROM listening AS known WHERE known.user_id = $1 AND known.track_id = pair.other_id)
GROUP BY pair.other_id ORDER BY sum(pair.weight * heard.weight) DESC, pair.other_id LIMIT $2
"""
SELECT_POPULAR = """
SELECT subject FROM daily_trends WHERE dimension = 'TRACK' AND day BETWEEN $1 AND $2
GROUP BY subject HAVING sum(listeners) > 0 ORDER BY sum(listeners) DESC, subject LIMIT $3
"""
COUNT_HEARD = "SELECT count(*) FROM (SELECT FROM listening WHERE user_id = $1 LIMIT 1000) AS heard"
# What of these tracks a person may be given: it can be played, and neither it nor its artist is blocked.
SELECT_ALLOWED = """
SELECT track.track_id, coalesce(track.artist_id::text, nullif(track.artist, '')) AS artist FROM tracks AS track
WHERE track.track_id = ANY ($2::uuid[]) AND track.missing_since IS NULL
    AND NOT EXISTS (SELECT FROM blocked_tracks WHERE user_id = $1 AND track_id = track.track_id)
    AND NOT EXISTS (SELECT FROM blocked_artists WHERE user_id = $1 AND artist_id = track.artist_id)
"""
SELECT_HEARD_OF = "SELECT track_id FROM listening WHERE user_id = $1 AND track_id = ANY ($2::uuid[])"
# Whom the index need not look for: whom they follow, or with whom there is a block. There may be more of them.
SELECT_EXCLUDED_PEOPLE = """
SELECT user_id FROM (
    SELECT blocked_id AS user_id FROM user_blocks WHERE blocker_id = $1
    UNION SELECT blocker_id FROM user_blocks WHERE blocked_id = $1
    UNION SELECT followee_id FROM follows WHERE follower_id = $1
) AS excluded LIMIT 10000
"""
SELECT_RECOMMENDABLE = f"""
SELECT u.user_id FROM users AS u
WHERE u.user_id = ANY ($2::uuid[]) AND u.user_id <> $1 AND u.is_listed AND {ACTIVE}
    AND NOT EXISTS (SELECT FROM follows WHERE follower_id = $1 AND followee_id = u.user_id)
    AND NOT {blocked("u.user_id", "$1::uuid")}
"""


async def begin_round(connection: Connection, yesterday: date) -> tuple[date, str] | None:
    """Return the day whose tracks are to be done and how far that is; None where others do it or nothing is to be done.

    Args:
        connection: In a transaction, which keeps others from the same until it ends.
        yesterday: The last day that is over; days that were missed before it are left out.
    """
    if not await connection.fetchval(LOCK_ROUND, _LOCK_SPACE):
        return None
    row = await connection.fetchrow(SELECT_ROUND)
    if row is None:
        last = await connection.fetchval(SELECT_LAST_ROUND)
        if last is not None and last >= yesterday:
            return None
        await connection.execute(INSERT_ROUND, yesterday)
        return yesterday, ""
    return row["day"], row["done_through"]


async def heard_tracks(connection: Connection, day: date, after: str, limit: int) -> list[TrackId]:
    """Return tracks that were heard on a day, by id."""
    rows = await connection.fetch(SELECT_HEARD_TRACKS, day, after, limit)
    return [TrackId(row["subject"]) for row in rows]


async def move_round(connection: Connection, day: date, through: str | None) -> None:
    """Note how far a round is; None ends it."""
    if through is None:
        await connection.execute(END_ROUND, day)
    else:
        await connection.execute(MOVE_ROUND, day, through)


async def make_pairs(connection: Connection, track_id: TrackId) -> bool:
    """Make a track's pairs anew, in a transaction; where that takes too long they stay, and the answer is no."""
    try:
        async with connection.transaction():
            await connection.execute(DELETE_PAIRS, track_id)
            await connection.execute(
                INSERT_PAIRS, track_id, _MOST_LISTENERS, _MOST_TRACKS, LEAST_COMMON, _MOST_PAIRS, _SHRINKAGE
            )
    except asyncpg.QueryCanceledError:
        return False
    return True


async def behaviour_of(connection: Connection, user_id: UserId, limit: int) -> list[tuple[TrackId, TrackId]]:
    """Return what others hear who hear what a person hears, each with the track that leads to it, best first."""
    rows = await connection.fetch(SELECT_BEHAVIOUR, user_id, limit)
    return [(row["other_id"], row["because"]) for row in rows]


async def popular_tracks(connection: Connection, first: date, last: date, limit: int) -> list[TrackId]:
    """Return what most people heard in some days, most first."""
    return [TrackId(row["subject"]) for row in await connection.fetch(SELECT_POPULAR, first, last, limit)]


async def count_heard(connection: Connection, user_id: UserId) -> int:
    """Return how many tracks a person heard, at most 1,000."""
    count: int = await connection.fetchval(COUNT_HEARD, user_id)
    return count


async def allowed(connection: Connection, user_id: UserId, track_ids: Sequence[TrackId]) -> dict[TrackId, str]:
    """Return those of these tracks that a person may be given, with what tells their artist; without one, their id."""
    rows = await connection.fetch(SELECT_ALLOWED, user_id, track_ids)
    return {row["track_id"]: row["artist"] or row["track_id"] for row in rows}


async def heard_of(connection: Connection, user_id: UserId, track_ids: Sequence[TrackId]) -> set[TrackId]:
    """Return those of these tracks that a person has heard."""
    return {row["track_id"] for row in await connection.fetch(SELECT_HEARD_OF, user_id, track_ids)}


async def excluded_people(connection: Connection, user_id: UserId) -> list[UserId]:
    """Return whom the index need not look for, at most 10,000: `recommendable` decides."""
    return [row["user_id"] for row in await connection.fetch(SELECT_EXCLUDED_PEOPLE, user_id)]


async def recommendable(connection: Connection, user_id: UserId, user_ids: Sequence[UserId]) -> set[UserId]:
    """Return those of these people who want to be found, whom a person does not follow, and without a block."""
    return {row["user_id"] for row in await connection.fetch(SELECT_RECOMMENDABLE, user_id, user_ids)}
