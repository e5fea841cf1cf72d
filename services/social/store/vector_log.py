"""What the VECTORS log is told, what it was told, and whether it is whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.chassis.bus import VECTORS
from services.social.domain.catalog import Descriptors, ReadPoint
from services.social.domain.ids import EncoderId, TrackId
from services.social.store import descriptors
from services.social.store.database import Connection, execute_long

SELECT_STATES = f"""
SELECT progress.track_id, progress.version, embedding.vector, embedding.duration_seconds, embedding.windows_digest,
    embedding.tags, track.title, track.artist, track.album, track.genre, track.year, track.relative_path,
    track.audio_hash, {descriptors.COLUMNS}
FROM track_embeddings AS progress
JOIN tracks AS track USING (track_id)
JOIN embeddings AS embedding
    ON embedding.encoder_id = progress.encoder_id AND embedding.audio_hash = progress.audio_hash
LEFT JOIN descriptors AS measured ON measured.audio_hash = embedding.audio_hash
WHERE progress.encoder_id = $1 AND progress.track_id = ANY ($2::uuid[]) AND progress.state IN ('EMBEDDED', 'INDEXED')
"""
LOCK_TRACKS = """
SELECT FROM track_embeddings WHERE encoder_id = $1 AND track_id = ANY ($2::uuid[]) ORDER BY track_id FOR UPDATE
"""
MARK_PUBLISHED = """
UPDATE track_embeddings AS progress
SET published_version = told.version, sequence = told.sequence, stream_created_at = stream.created_at,
    state = CASE WHEN progress.state = 'EMBEDDED' AND progress.version = told.version THEN 'INDEXED'
        ELSE progress.state END
FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS told (track_id, version, sequence), streams AS stream
WHERE progress.encoder_id = $1 AND progress.track_id = told.track_id AND stream.name = $5
"""

SELECT_READ_POINT = """
SELECT stream_created_at, sequence FROM track_embeddings
WHERE encoder_id = coalesce($2, (SELECT encoder_id FROM serving_encoder))
    AND stream_created_at = (SELECT created_at FROM streams WHERE name = $1) AND sequence IS NOT NULL
ORDER BY sequence DESC LIMIT 1
"""

# What is about to be published may be there already, in place of what was told before.
SELECT_FIRST_TOLD = """
SELECT min(sequence) FROM track_embeddings AS progress
WHERE stream_created_at = (SELECT created_at FROM streams WHERE name = $1) AND NOT EXISTS (
    SELECT FROM outbox
    WHERE outbox.kind = 'vector' AND outbox.key = progress.track_id::text AND outbox.encoder_id = progress.encoder_id
)
"""

SELECT_STREAM = "SELECT created_at FROM streams WHERE name = $1"
SELECT_STREAMS = "SELECT name, created_at FROM streams"
LOCK_STREAM = "SELECT created_at FROM streams WHERE name = $1 FOR UPDATE"
UPSERT_STREAM = """
INSERT INTO streams (name, created_at) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET created_at = excluded.created_at
"""
# Vectors carry nothing but names: whatever a track is when its row's turn comes is what the new log is told.
FORGET_PUBLISHED = """
UPDATE track_embeddings
SET state = CASE state WHEN 'INDEXED' THEN 'EMBEDDED' ELSE state END,
    published_version = NULL, stream_created_at = NULL, sequence = NULL
WHERE published_version IS NOT NULL
"""
PUBLISH_ALL = """
WITH again AS (
    INSERT INTO outbox (kind, key, event_id, encoder_id, version)
    SELECT 'vector', track_id::text, uuidv7(), encoder_id, version
    FROM track_embeddings WHERE state = 'EMBEDDED' ORDER BY track_id
    RETURNING id
)
UPDATE streams SET rebuild_through = (SELECT max(id) FROM again) WHERE name = $1
"""
IS_REBUILDING = """
SELECT EXISTS (
    SELECT FROM streams JOIN outbox ON outbox.kind = 'vector' AND outbox.id <= streams.rebuild_through
    WHERE streams.name = $1 AND streams.rebuild_through IS NOT NULL
)
"""
SELECT_FILLING = f"SELECT created_at, ({IS_REBUILDING}) AS is_filling FROM streams WHERE name = $1"
END_REBUILD = """
UPDATE streams SET rebuild_through = NULL
WHERE name = $1 AND rebuild_through IS NOT NULL
    AND NOT EXISTS (SELECT FROM outbox WHERE kind = 'vector' AND id <= rebuild_through)
"""


@dataclass(frozen=True, slots=True)
class TrackState:
    """Everything that the index must know of a track. Tags are (name, score), best first."""

    track_id: TrackId
    version: int
    vector: bytes
    duration_seconds: float
    tags: list[tuple[str, float]]
    title: str
    artist: str
    album: str
    genre: str
    year: int
    relative_path: bytes
    audio_hash: bytes
    descriptors: Descriptors | None
    windows_digest: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """The log holds at least this version of a track, at this sequence."""

    track_id: TrackId
    version: int
    sequence: int


async def states(
    connection: Connection, encoder_id: EncoderId, track_ids: Sequence[TrackId]
) -> dict[TrackId, TrackState]:
    """Return what the log should hold of tracks, by id; it should hold nothing of those that are left out."""
    rows = await connection.fetch(SELECT_STATES, encoder_id, track_ids)
    return {TrackId(row["track_id"]): _state(row) for row in rows}


def _state(row: asyncpg.Record) -> TrackState:
    return TrackState(
        TrackId(row["track_id"]),
        row["version"],
        row["vector"],
        row["duration_seconds"],
        row["tags"],
        row["title"],
        row["artist"],
        row["album"],
        row["genre"],
        row["year"],
        row["relative_path"],
        row["audio_hash"],
        descriptors.from_row(row),
        row["windows_digest"],
    )


async def mark_published(connection: Connection, encoder_id: EncoderId, told: Sequence[Told]) -> None:
    """Remember what the log was told, inside of a transaction.

    A track becomes INDEXED where that is its newest version, which `version` states as a lower bound.
    """
    track_ids = [one.track_id for one in told]
    await connection.execute(LOCK_TRACKS, encoder_id, track_ids)
    await connection.execute(
        MARK_PUBLISHED,
        encoder_id,
        track_ids,
        [one.version for one in told],
        [one.sequence for one in told],
        VECTORS,
    )


async def read_point(connection: Connection, encoder_id: EncoderId | None = None) -> ReadPoint | None:
    """Return the newest confirmed point of an encoder's part of the log, None where nothing was ever published.

    Args:
        connection: To the truth.
        encoder_id: None means the serving encoder.
    """
    row = await connection.fetchrow(SELECT_READ_POINT, VECTORS, encoder_id)
    return None if row is None else ReadPoint(row["stream_created_at"], row["sequence"])


async def first_told(connection: Connection) -> int | None:
    """Return the lowest sequence at which the log holds what a track is; None where it holds nothing."""
    found: int | None = await connection.fetchval(SELECT_FIRST_TOLD, VECTORS)
    return found


async def known_stream(connection: Connection, name: str) -> datetime | None:
    """Return when a stream was created, as it was last seen."""
    found: datetime | None = await connection.fetchval(SELECT_STREAM, name)
    return found


async def known_streams(connection: Connection) -> dict[str, datetime]:
    """Return when every stream was created, as it was last seen, by name."""
    return {row["name"]: row["created_at"] for row in await connection.fetch(SELECT_STREAMS)}


async def lock_stream(connection: Connection, name: str) -> datetime | None:
    """Like `known_stream`, and lets nobody else note another stream until the transaction ends."""
    found: datetime | None = await connection.fetchval(LOCK_STREAM, name)
    return found


async def note_stream(connection: Connection, name: str, created_at: datetime) -> None:
    """Note that a stream is another one than before."""
    await connection.execute(UPSERT_STREAM, name, created_at)


async def rebuild(connection: Connection) -> None:
    """Promise the whole log anew, inside of the transaction that noted its stream."""
    await execute_long(connection, FORGET_PUBLISHED)
    await execute_long(connection, PUBLISH_ALL, VECTORS)


async def is_rebuilding(connection: Connection) -> bool:
    """Say whether vectors of a rebuild are still to be published."""
    return bool(await connection.fetchval(IS_REBUILDING, VECTORS))


async def filling(connection: Connection) -> tuple[datetime | None, bool]:
    """Return when the log's stream was created, as it was last seen, and whether a rebuild of it is under way."""
    row = await connection.fetchrow(SELECT_FILLING, VECTORS)
    return (None, False) if row is None else (row["created_at"], row["is_filling"])


async def end_rebuild(connection: Connection) -> None:
    """Note the end of a rebuild, once everything is published."""
    await connection.execute(END_REBUILD, VECTORS)
