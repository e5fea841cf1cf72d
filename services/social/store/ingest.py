"""What an ingest client asks of the library's rows: files that are known, files that are gone, vectors in and out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.social.domain.ids import EncoderId, RootId, TrackId
from services.social.domain.stored_vectors import StoredVector
from services.social.store import embeddings, outbox
from services.social.store.database import Connection

# By tracks_place_unique: a path may be longer than what an index entry holds, its hash is not.
LIST_ROOT_FILES = """
SELECT path_hash, track_id, relative_path, size_bytes, coalesce(mtime_ns, 0) AS mtime_ns, file_hash, audio_hash,
    missing_since, has_cover
FROM tracks WHERE root_id = $1 AND path_hash > $2 ORDER BY path_hash LIMIT $3
"""
_ROOT = """
SELECT root_id, location, created_at,
    (SELECT count(*) FROM tracks WHERE tracks.root_id = roots.root_id) AS tracks,
    (SELECT count(*) FROM tracks WHERE tracks.root_id = roots.root_id AND missing_since IS NOT NULL) AS missing
FROM roots"""
LIST_ROOTS = f"{_ROOT} WHERE $1::uuid IS NULL OR root_id > $1 ORDER BY root_id LIMIT $2"
FIND_ROOT = f"{_ROOT} WHERE root_id = $1"
MARK_MISSING = """
UPDATE tracks SET missing_since = $3
WHERE root_id = $1 AND missing_since IS NULL
    AND path_hash = ANY (SELECT sha256(path) FROM unnest($2::bytea[]) AS path)
RETURNING track_id
"""
LIST_EMBEDDINGS = """
SELECT audio_hash, vector, duration_seconds FROM embeddings
WHERE encoder_id = $1 AND audio_hash > $2 ORDER BY audio_hash LIMIT $3
"""
LIST_EMBEDDINGS_OF_ROOT = """
SELECT audio_hash, vector, duration_seconds FROM embeddings
WHERE encoder_id = $1 AND audio_hash > $2
    AND EXISTS (SELECT FROM tracks WHERE tracks.audio_hash = embeddings.audio_hash AND root_id = $4)
ORDER BY audio_hash LIMIT $3
"""
SELECT_SOUNDS = "SELECT track_id, audio_hash FROM tracks WHERE audio_hash = ANY ($1::bytea[])"
INSERT_VECTORS = """
INSERT INTO embeddings (encoder_id, audio_hash, vector, duration_seconds, window_count, windows_digest, tags)
SELECT $1, given.audio_hash, given.vector, given.seconds, 0, ''::bytea, '[]'::jsonb
FROM unnest($2::bytea[], $3::bytea[], $4::double precision[]) AS given (audio_hash, vector, seconds)
ON CONFLICT (encoder_id, audio_hash) DO NOTHING
RETURNING audio_hash
"""
DELETE_FAILURES = "DELETE FROM embedding_failures WHERE encoder_id = $1 AND audio_hash = ANY ($2::bytea[])"
LOCK_PROGRESS = """
SELECT FROM track_embeddings WHERE encoder_id = $1 AND audio_hash = ANY ($2::bytea[]) ORDER BY track_id FOR UPDATE
"""
MARK_EMBEDDED = """
UPDATE track_embeddings
SET state = 'EMBEDDED', version = version + 1, failure_reason = '', failure_message = '', changed_at = now()
WHERE encoder_id = $1 AND audio_hash = ANY ($2::bytea[]) AND state IN ('PENDING', 'FAILED')
RETURNING track_id
"""


@dataclass(frozen=True, slots=True)
class RootFile:
    """A file as it was registered; `mtime_ns` 0 and `has_cover` None are not known, `missing_since` None is there."""

    path_hash: bytes
    track_id: TrackId
    relative_path: bytes
    size_bytes: int
    mtime_ns: int
    file_hash: bytes
    audio_hash: bytes
    missing_since: datetime | None
    has_cover: bool | None


@dataclass(frozen=True, slots=True)
class Root:
    """A folder of music with how many tracks it has, and how many of their files are missing."""

    root_id: RootId
    location: str
    created_at: datetime
    tracks: int
    missing: int


async def roots(connection: Connection, after: RootId | None, limit: int) -> list[Root]:
    """List roots by id, which is by age, those after `after`."""
    return [Root(**dict(row)) for row in await connection.fetch(LIST_ROOTS, after, limit)]


async def find_root(connection: Connection, root_id: RootId) -> Root:
    """Return a root that is there."""
    row = await connection.fetchrow(FIND_ROOT, root_id)
    assert row is not None
    return Root(**dict(row))


async def root_files(connection: Connection, root_id: RootId, after: bytes, limit: int) -> list[RootFile]:
    """List a root's files by the hash of their paths, those whose hash is greater than `after`."""
    return [RootFile(**dict(row)) for row in await connection.fetch(LIST_ROOT_FILES, root_id, after, limit)]


async def mark_missing(connection: Connection, root_id: RootId, paths: Sequence[bytes], at: datetime) -> int:
    """Note that files are not there any more, and return how many were there until now."""
    return len(await connection.fetch(MARK_MISSING, root_id, paths, at))


async def list_vectors(
    connection: Connection, encoder_id: EncoderId, root_id: RootId | None, after: bytes, limit: int
) -> list[StoredVector]:
    """List what an encoder heard by audio hash, those greater than `after`; only of one root where one is given."""
    if root_id is None:
        rows = await connection.fetch(LIST_EMBEDDINGS, encoder_id, after, limit)
    else:
        rows = await connection.fetch(LIST_EMBEDDINGS_OF_ROOT, encoder_id, after, limit, root_id)
    return [StoredVector(row["audio_hash"], row["vector"], row["duration_seconds"]) for row in rows]


async def sounds_of_tracks(connection: Connection, audio_hashes: Sequence[bytes]) -> dict[TrackId, bytes]:
    """Return the tracks that carry these recordings, each with its recording."""
    rows = await connection.fetch(SELECT_SOUNDS, audio_hashes)
    return {TrackId(row["track_id"]): row["audio_hash"] for row in rows}


async def import_vectors(
    connection: Connection, encoder_id: EncoderId, given: Sequence[StoredVector], track_ids: Sequence[TrackId]
) -> set[bytes]:
    """Store vectors as if an embedder had made them, and send the tracks with these recordings on to the index.

    Args:
        connection: Inside of a transaction.
        encoder_id: Who made them.
        given: Checked, each recording once, each of a track of the library.
        track_ids: The tracks with these recordings.

    Returns:
        The recordings of which nothing was known before; what was known stays.
    """
    # As a registration does: whoever wants one of these sounds waits, and then finds it known.
    sounds = await connection.fetch(embeddings.LOCK_SOUNDS, encoder_id, track_ids)
    columns = (
        [one.audio_hash for one in given],
        [one.vector for one in given],
        [one.duration_seconds for one in given],
    )
    stored = [row["audio_hash"] for row in await connection.fetch(INSERT_VECTORS, encoder_id, *columns)]
    await connection.execute(DELETE_FAILURES, encoder_id, stored)
    await connection.execute(LOCK_PROGRESS, encoder_id, stored)
    marked = [TrackId(row["track_id"]) for row in await connection.fetch(MARK_EMBEDDED, encoder_id, stored)]
    await connection.fetch(embeddings.DELETE_SETTLED_WORK, encoder_id, [row["audio_hash"] for row in sounds])
    await outbox.add_vectors(connection, encoder_id, marked)
    return set(stored)
