"""Rankings of playlists: each whole when it is made, and kept for a while, so that ranks do not move under a reader."""

from datetime import datetime, timedelta
from typing import NamedTuple

from services.social.domain.ids import PlaylistId, UserId
from services.social.store.database import Connection
from services.social.store.visibility import listed

# Whoever makes a generation holds it until the commit.
MAKER_LOCK = "SELECT pg_try_advisory_xact_lock(7305805, 3)"
NEWEST = "SELECT generation, made_at FROM trending_generations ORDER BY generation DESC LIMIT 1"
GENERATION = "SELECT generation, made_at FROM trending_generations WHERE generation = $1"
INSERT_GENERATION = "INSERT INTO trending_generations (made_at) VALUES ($1) RETURNING generation"
INSERT_RANKS = f"""
    INSERT INTO trending_ranks (generation, rank, playlist_id, score)
    SELECT $1, row_number() OVER (ORDER BY best.score DESC, best.playlist_id), best.playlist_id, best.score
    FROM (
        SELECT heat.playlist_id, heat.score
        FROM playlist_heat AS heat
        JOIN playlists AS p ON p.playlist_id = heat.playlist_id
        JOIN users AS o ON o.user_id = p.owner_id
        WHERE {listed("NULL::uuid")}
        ORDER BY heat.score DESC, heat.playlist_id LIMIT $2
    ) AS best
"""
DELETE_GENERATIONS = "DELETE FROM trending_generations WHERE made_at < $1"
RANKS = f"""
    SELECT ranks.rank, ranks.playlist_id
    FROM trending_ranks AS ranks
    JOIN playlists AS p ON p.playlist_id = ranks.playlist_id
    JOIN users AS o ON o.user_id = p.owner_id
    WHERE ranks.generation = $2 AND ranks.rank > $3 AND {listed("$1::uuid")}
    ORDER BY ranks.rank LIMIT $4
"""
DELETE_COLD = """
    DELETE FROM playlist_heat WHERE playlist_id IN (
        SELECT playlist_id FROM playlist_heat WHERE score < $1 ORDER BY score LIMIT $2
    ) AND score < $1 RETURNING playlist_id
"""


class Generation(NamedTuple):
    """A ranking."""

    generation: int
    made_at: datetime


class Rank(NamedTuple):
    """A place in a ranking, from 1."""

    rank: int
    playlist_id: PlaylistId


async def make(connection: Connection, now: datetime, every: timedelta, life: timedelta, size: int) -> int | None:
    """Make a ranking in the caller's transaction, unless one is new enough or being made; forget old ones.

    Args:
        connection: Inside of a transaction.
        now: Time of day.
        every: A younger one is new enough.
        life: Older ones are forgotten.
        size: Most playlists.

    Returns:
        The generation, None where none was made.
    """
    if not await connection.fetchval(MAKER_LOCK):
        return None
    newest = await newest_generation(connection)
    if newest is not None and now - newest.made_at < every:
        return None
    generation = int(await connection.fetchval(INSERT_GENERATION, now))
    await connection.execute(INSERT_RANKS, generation, size)
    await connection.execute(DELETE_GENERATIONS, now - life)
    return generation


async def newest_generation(connection: Connection) -> Generation | None:
    """Return the newest ranking, None where there is none yet."""
    row = await connection.fetchrow(NEWEST)
    return None if row is None else Generation(*row)


async def find_generation(connection: Connection, generation: int) -> Generation | None:
    """Return a ranking, None where it is gone."""
    row = await connection.fetchrow(GENERATION, generation)
    return None if row is None else Generation(*row)


async def ranks_of(
    connection: Connection, viewer_id: UserId | None, generation: int, after: int, limit: int
) -> list[Rank]:
    """Return places of a ranking after one, without those that are out of the viewer's sight by now."""
    return [Rank(*row) for row in await connection.fetch(RANKS, viewer_id, generation, after, limit)]


async def delete_cold(connection: Connection, score: float, limit: int) -> int:
    """Forget the heat of playlists below a score, see `signals.added`; return how many of at most `limit`."""
    return len(await connection.fetch(DELETE_COLD, score, limit))
