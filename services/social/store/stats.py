"""Counts of everything, read in one statement each."""

from dataclasses import dataclass, replace
from datetime import datetime

from services.social.domain.catalog import EmbeddingState
from services.social.domain.genres import GENRES
from services.social.domain.ids import RootId, TrackId
from services.social.store.database import Connection

SELECT_COUNTS = """
SELECT (SELECT count(*) FROM tracks) AS tracks, (SELECT count(*) FROM users WHERE deleted_at IS NULL) AS users,
    (SELECT count(*) FROM playlists) AS playlists
"""
COUNT_INDEXED = """
SELECT count(*) FROM serving_encoder JOIN track_embeddings USING (encoder_id) WHERE state = 'INDEXED'
"""
SELECT_GENRES = """
SELECT genre, count(*) AS tracks, count(*) FILTER (WHERE NOT is_genre_known) AS unknown FROM tracks GROUP BY genre
"""
# What has no row under the serving encoder waits like what has one.
COUNT_OF_ROOT = "SELECT count(*) FROM tracks WHERE root_id = $1"
SELECT_PROGRESS = """
SELECT state, count(*) AS tracks FROM track_embeddings
WHERE encoder_id = (SELECT encoder_id FROM serving_encoder) AND root_id = $1 AND state <> 'PENDING'
GROUP BY state
"""
SELECT_FAILED = """
SELECT progress.track_id, track.relative_path, progress.failure_reason, progress.failure_message, progress.changed_at
FROM serving_encoder AS serving
JOIN track_embeddings AS progress ON progress.encoder_id = serving.encoder_id AND progress.state = 'FAILED'
JOIN tracks AS track ON track.track_id = progress.track_id
WHERE ($1::uuid IS NULL OR progress.root_id = $1)
    AND ($2::timestamptz IS NULL OR (progress.changed_at, progress.track_id) < ($2, $3::uuid))
ORDER BY progress.changed_at DESC, progress.track_id DESC LIMIT $4
"""


@dataclass(frozen=True, slots=True)
class GenreCount:
    """Tracks of a top-level genre; `unknown` are those under it only because their genre is not known."""

    name: str
    tracks: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of everything there is; all 16 genres, most tracks first. Plays are counted by the tallier alone."""

    tracks: int
    indexed: int
    users: int
    playlists: int
    genres: list[GenreCount]
    plays: int = 0


@dataclass(frozen=True, slots=True)
class FailedTrack:
    """A track that could not be embedded, and since when that is known."""

    track_id: TrackId
    relative_path: bytes
    reason: str
    message: str
    failed_at: datetime


async def count_everything(connection: Connection) -> Counts:
    """Count tracks, users, playlists, and the tracks of each genre."""
    row = await connection.fetchrow(SELECT_COUNTS)
    assert row is not None, "a statement of counts returns a row"
    counted = await count_library(connection)
    return replace(counted, tracks=row["tracks"], users=row["users"], playlists=row["playlists"])


async def count_library(connection: Connection) -> Counts:
    """Count the tracks of each genre and those in the index; tracks are their sum, nobody and no playlist counted."""
    rows = {row["genre"]: row for row in await connection.fetch(SELECT_GENRES)}
    counted = [
        GenreCount(name, rows[name]["tracks"], rows[name]["unknown"]) if name in rows else GenreCount(name, 0, 0)
        for name in GENRES
    ]
    genres = sorted(counted, key=lambda genre: (-genre.tracks, genre.name))
    indexed = int(await connection.fetchval(COUNT_INDEXED))
    return Counts(sum(genre.tracks for genre in genres), indexed, 0, 0, genres)


async def progress_of_root(connection: Connection, root_id: RootId) -> dict[EmbeddingState, int]:
    """Count a root's tracks by state; states other than PENDING without tracks are left out."""
    rows = await connection.fetch(SELECT_PROGRESS, root_id)
    counts = {EmbeddingState(row["state"]): int(row["tracks"]) for row in rows}
    total = int(await connection.fetchval(COUNT_OF_ROOT, root_id))
    return {**counts, EmbeddingState.PENDING: max(0, total - sum(counts.values()))}


async def failed_tracks(
    connection: Connection, root_id: RootId | None, before: tuple[datetime, TrackId] | None, limit: int
) -> list[FailedTrack]:
    """Return tracks that could not be embedded, newest failure first, those after `before` in that order."""
    failed_at, track_id = before or (None, None)
    rows = await connection.fetch(SELECT_FAILED, root_id, failed_at, track_id, limit)
    return [FailedTrack(TrackId(row["track_id"]), *tuple(row)[1:]) for row in rows]
