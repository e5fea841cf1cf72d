"""Rows of what people hear: single plays, and their sums by track, by day and by month."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import asyncpg

from services.social.domain.ids import PlaylistId, TrackId, UserId
from services.social.domain.listening import REST, HeardPlay, HeardTrack, Play
from services.social.store.batches import delete_all, some_of
from services.social.store.database import Connection
from services.social.store.visibility import openable

SELECT_HEARD_TRACKS = """
SELECT track_id, genre, artist_id, header_seconds FROM tracks WHERE track_id = ANY ($1::uuid[])
"""
# Of playlists that a person may open: whether they are somebody else's.
SELECT_PLAYED_PLAYLISTS = f"""
SELECT p.playlist_id, p.owner_id <> $2 AS is_of_another
FROM playlists AS p JOIN users AS o ON o.user_id = p.owner_id
WHERE p.playlist_id = ANY ($1::uuid[]) AND {openable("$2::uuid")}
"""
# Whoever may open them now: what lifted them is taken back.
SELECT_OTHERS_PLAYLISTS = "SELECT playlist_id FROM playlists WHERE playlist_id = ANY ($1::uuid[]) AND owner_id <> $2"
SELECT_KNOWN_PLAYS = """
SELECT play_id FROM plays WHERE play_id = ANY ($1::uuid[])
UNION ALL SELECT play_id FROM forgotten_plays WHERE play_id = ANY ($1::uuid[])
"""
SELECT_COUNTED_NEAR = """
SELECT DISTINCT near.track_id, near.played_at
FROM unnest($2::uuid[], $3::timestamptz[]) AS new (track_id, at)
CROSS JOIN LATERAL (
    SELECT track_id, played_at FROM plays
    WHERE user_id = $1 AND played_at > new.at - $4::interval AND played_at < new.at + $4::interval
        AND counted AND track_id = new.track_id
) AS near
"""
HEARD = "play_id, track_id, playlist_id, genre, artist_id, played_at, heard_seconds, counted"
SELECT_HEARD_ON = f"""
SELECT {HEARD} FROM unnest($2::timestamptz[]) AS day (begins)
CROSS JOIN LATERAL (
    SELECT {HEARD} FROM plays
    WHERE user_id = $1 AND played_at >= day.begins AND played_at < day.begins + interval '24 hours' AND counted
) AS heard
"""
COUNT_ON = """
SELECT day.begins, told.plays FROM unnest($2::timestamptz[]) AS day (begins)
CROSS JOIN LATERAL (
    SELECT count(*) AS plays FROM (
        SELECT FROM plays
        WHERE user_id = $1 AND played_at >= day.begins AND played_at < day.begins + interval '24 hours' LIMIT $3
    ) AS kept
) AS told
"""
INSERT_PLAYS = """
INSERT INTO plays
    (play_id, user_id, track_id, playlist_id, genre, artist_id, played_at, heard_seconds, counted, received_at)
SELECT play_id, $1, track_id, playlist_id, genre, artist_id, played_at, heard_seconds, counted, $10
FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::timestamptz[], $8::real[], $9::bool[])
    AS new (play_id, track_id, playlist_id, genre, artist_id, played_at, heard_seconds, counted)
ON CONFLICT (play_id) DO NOTHING RETURNING play_id
"""
# What somebody still sends meanwhile stays.
DELETE_SOME = f"""
DELETE FROM plays WHERE play_id IN (
    SELECT play_id FROM plays WHERE user_id = $1 AND received_at <= $2 ORDER BY played_at DESC, play_id DESC LIMIT $3
) RETURNING {HEARD}
"""
DELETE_PLAYS = f"DELETE FROM plays WHERE user_id = $1 AND play_id = ANY ($2::uuid[]) RETURNING {HEARD}"
REMEMBER_FORGOTTEN = """
INSERT INTO forgotten_plays (play_id, played_at) SELECT * FROM unnest($1::uuid[], $2::timestamptz[])
ON CONFLICT (play_id) DO NOTHING
"""
SWEEP_FORGOTTEN = some_of("forgotten_plays", "played_at < $1")
SELECT_HISTORY = f"""
SELECT {HEARD} FROM plays
WHERE user_id = $1 AND ($2::timestamptz IS NULL OR (played_at, play_id) < ($2, $3::uuid))
ORDER BY played_at DESC, play_id DESC LIMIT $4
"""


async def heard_tracks(connection: Connection, track_ids: Sequence[TrackId]) -> dict[TrackId, HeardTrack]:
    """Return those tracks that there are."""
    rows = await connection.fetch(SELECT_HEARD_TRACKS, track_ids)
    return {row["track_id"]: HeardTrack(row["genre"], row["artist_id"], row["header_seconds"]) for row in rows}


async def played_playlists(
    connection: Connection, playlist_ids: Sequence[PlaylistId], user_id: UserId
) -> dict[PlaylistId, bool]:
    """Return those playlists that a person may open, and whether they are somebody else's."""
    if not playlist_ids:
        return {}
    rows = await connection.fetch(SELECT_PLAYED_PLAYLISTS, playlist_ids, user_id)
    return {row["playlist_id"]: row["is_of_another"] for row in rows}


async def owned_by_others(
    connection: Connection, playlist_ids: Sequence[PlaylistId], user_id: UserId
) -> set[PlaylistId]:
    """Return those playlists that are somebody else's."""
    if not playlist_ids:
        return set()
    return {row["playlist_id"] for row in await connection.fetch(SELECT_OTHERS_PLAYLISTS, playlist_ids, user_id)}


async def known_plays(connection: Connection, play_ids: Sequence[str]) -> set[str]:
    """Return those ids under which a play was told before, whoever told it, and also where it was forgotten."""
    return {row["play_id"] for row in await connection.fetch(SELECT_KNOWN_PLAYS, play_ids)}


async def counted_near(
    connection: Connection, user_id: UserId, plays: Sequence[Play]
) -> list[tuple[TrackId, datetime]]:
    """Return a person's plays that count of the same tracks, within 5 minutes of these."""
    track_ids, times = [play.track_id for play in plays], [play.played_at for play in plays]
    rows = await connection.fetch(SELECT_COUNTED_NEAR, user_id, track_ids, times, REST)
    return [(row["track_id"], row["played_at"]) for row in rows]


async def counted_on(connection: Connection, user_id: UserId, days: Sequence[date]) -> list[HeardPlay]:
    """Return a person's plays that count of some days."""
    return [_heard(row) for row in await connection.fetch(SELECT_HEARD_ON, user_id, _begins(days))]


async def count_on(connection: Connection, user_id: UserId, days: Sequence[date], most: int) -> dict[date, int]:
    """Return how many plays of a person's are kept of each day, at most `most`."""
    rows = await connection.fetch(COUNT_ON, user_id, _begins(days), most)
    return {row["begins"].astimezone(UTC).date(): row["plays"] for row in rows}


async def insert_plays(
    connection: Connection, user_id: UserId, plays: Sequence[HeardPlay], received_at: datetime
) -> set[str]:
    """Add plays; return the ids of those that nobody else told under the same id at the same time."""
    rows = await connection.fetch(
        INSERT_PLAYS,
        user_id,
        [play.play_id for play in plays],
        [play.track_id for play in plays],
        [play.playlist_id for play in plays],
        [play.genre for play in plays],
        [play.artist_id for play in plays],
        [play.played_at for play in plays],
        [play.heard_seconds for play in plays],
        [play.is_counted for play in plays],
        received_at,
    )
    return {row["play_id"] for row in rows}


async def delete_plays(connection: Connection, user_id: UserId, play_ids: Sequence[str]) -> list[HeardPlay]:
    """Delete those of these plays that are the person's; return them."""
    return [_heard(row) for row in await connection.fetch(DELETE_PLAYS, user_id, play_ids)]


async def delete_some(connection: Connection, user_id: UserId, until: datetime, limit: int) -> list[HeardPlay]:
    """Delete a person's plays that were told until then, at most `limit`, the newest first; return them."""
    return [_heard(row) for row in await connection.fetch(DELETE_SOME, user_id, until, limit)]


async def remember_forgotten(connection: Connection, plays: Sequence[HeardPlay]) -> None:
    """Keep the ids of plays, so that they cannot be told again."""
    await connection.execute(REMEMBER_FORGOTTEN, [play.play_id for play in plays], [play.played_at for play in plays])


async def sweep_forgotten(connection: Connection, before: datetime) -> None:
    """Let go of ids of plays that are too old to be told again anyway."""
    await delete_all(connection, SWEEP_FORGOTTEN, before)


async def history(
    connection: Connection, user_id: UserId, before: tuple[datetime, str] | None, limit: int
) -> list[HeardPlay]:
    """Return a person's plays, newest first, those before a time and id."""
    at, play_id = before or (None, None)
    return [_heard(row) for row in await connection.fetch(SELECT_HISTORY, user_id, at, play_id, limit)]


def _begins(days: Sequence[date]) -> list[datetime]:
    return [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]


def _heard(row: asyncpg.Record) -> HeardPlay:
    return HeardPlay(*tuple(row))
