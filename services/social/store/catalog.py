"""Rows of media roots and of the library's tracks."""

from collections.abc import Sequence

import asyncpg

from services.social.catalog import EmbeddingState, Media, ReadPoint, Track, TrackFile
from services.social.ids import RootId, TrackId
from services.social.store import descriptors
from services.social.store.database import Connection

INSERT_ROOT = """
INSERT INTO roots (root_id, location) VALUES ($1, $2)
ON CONFLICT (location) DO UPDATE SET location = excluded.location
RETURNING root_id
"""
# One registration of a root at a time; does not hold up those who refer to the root.
LOCK_ROOT = "SELECT root_id FROM roots WHERE root_id = $1 FOR NO KEY UPDATE"
ROOT_EXISTS = "SELECT EXISTS (SELECT FROM roots WHERE root_id = $1)"

FILE_COLUMNS = (
    "relative_path, file_hash, audio_hash, size_bytes, content_type, title, artist, album, raw_genre, genre, "
    "is_genre_known, year, header_seconds, search_title, search_text"
)
FILE_ARRAYS = (
    "$3::bytea[], $4::bytea[], $5::bytea[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::text[], "
    "$11::text[], $12::text[], $13::boolean[], $14::integer[], $15::double precision[], $16::text[], $17::text[]"
)
SELECT_FILES = f"""
SELECT track_id, {FILE_COLUMNS} FROM tracks
WHERE root_id = $1 AND path_hash = ANY (SELECT sha256(path) FROM unnest($2::bytea[]) AS path)
"""
INSERT_TRACKS = f"""
INSERT INTO tracks (root_id, track_id, {FILE_COLUMNS})
SELECT $1, given.* FROM unnest($2::uuid[], {FILE_ARRAYS}) AS given
"""
UPDATE_TRACKS = f"""
UPDATE tracks
SET ({FILE_COLUMNS}, updated_at) =
    ROW ({", ".join("given." + name.strip() for name in FILE_COLUMNS.split(","))}, now())
FROM unnest($2::uuid[], {FILE_ARRAYS}) AS given (track_id, {FILE_COLUMNS})
WHERE tracks.root_id = $1 AND tracks.track_id = given.track_id
"""

# What everybody may see of a track, under the encoder that is served.
TRACK_COLUMNS = f"""
    track.track_id, track.title, track.artist, track.album, track.genre, track.raw_genre, track.year, track.created_at,
    track.audio_hash, coalesce(embedding.duration_seconds, track.header_seconds) AS duration_seconds,
    coalesce(embedding.tags, '[]'::jsonb) AS tags, coalesce(progress.state, 'PENDING') AS state,
    coalesce(progress.failure_reason, '') AS failure_reason, coalesce(progress.failure_message, '') AS failure_message,
    progress.stream_created_at, progress.sequence, {descriptors.COLUMNS}
"""
TRACK_TABLES = """
    tracks AS track
    LEFT JOIN serving_encoder AS serving ON true
    LEFT JOIN track_embeddings AS progress
        ON progress.encoder_id = serving.encoder_id AND progress.track_id = track.track_id
    LEFT JOIN embeddings AS embedding
        ON embedding.encoder_id = serving.encoder_id AND embedding.audio_hash = track.audio_hash
    LEFT JOIN descriptors AS measured ON measured.audio_hash = track.audio_hash
"""
SELECT_TRACKS = f"SELECT {TRACK_COLUMNS} FROM {TRACK_TABLES} WHERE track.track_id = ANY ($1::uuid[])"

# Only what a model could hear is music: a registered path alone must not open any file to everybody.
SELECT_MEDIA = """
SELECT location, relative_path, file_hash, size_bytes, content_type
FROM tracks JOIN roots USING (root_id)
WHERE track_id = $1 AND EXISTS (
    SELECT FROM track_embeddings AS heard
    WHERE heard.track_id = tracks.track_id AND heard.state IN ('EMBEDDED', 'INDEXED')
)
"""
SELECT_AUDIO_OF_FILE = "SELECT audio_hash FROM tracks WHERE file_hash = $1 LIMIT 1"


async def insert_root(connection: Connection, root_id: RootId, location: str) -> RootId:
    """Add a root and return its id, or that of the root that is there already."""
    return RootId(await connection.fetchval(INSERT_ROOT, root_id, location))


async def lock_root(connection: Connection, root_id: RootId) -> bool:
    """Let nobody else register tracks of a root until the transaction ends; say whether there is such a root."""
    return await connection.fetchval(LOCK_ROOT, root_id) is not None


async def root_exists(connection: Connection, root_id: RootId) -> bool:
    """Say whether there is such a root."""
    return bool(await connection.fetchval(ROOT_EXISTS, root_id))


async def files_at(
    connection: Connection, root_id: RootId, paths: Sequence[bytes]
) -> dict[bytes, tuple[TrackId, TrackFile]]:
    """Return what is registered at these paths of a root, by path."""
    rows = await connection.fetch(SELECT_FILES, root_id, paths)
    return {row["relative_path"]: (TrackId(row["track_id"]), _file(row)) for row in rows}


async def insert_tracks(connection: Connection, root_id: RootId, files: Sequence[tuple[TrackId, TrackFile]]) -> None:
    """Add tracks at paths where nothing is registered."""
    if files:
        await connection.execute(INSERT_TRACKS, root_id, *_arrays(files))


async def update_tracks(connection: Connection, root_id: RootId, files: Sequence[tuple[TrackId, TrackFile]]) -> None:
    """Put what files are now in the place of what they were."""
    if files:
        await connection.execute(UPDATE_TRACKS, root_id, *_arrays(files))


async def find_tracks(connection: Connection, track_ids: Sequence[TrackId]) -> list[Track]:
    """Return the tracks among these ids, in no particular order."""
    return [to_track(row) for row in await connection.fetch(SELECT_TRACKS, track_ids)]


async def find_media(connection: Connection, track_id: TrackId) -> Media | None:
    """Say where a track's audio lies."""
    row = await connection.fetchrow(SELECT_MEDIA, track_id)
    return None if row is None else Media(*row.values())


async def audio_hash_of_file(connection: Connection, file_hash: bytes) -> bytes | None:
    """Return the recording that a file of the library holds, None where no file of the library is this one."""
    found: bytes | None = await connection.fetchval(SELECT_AUDIO_OF_FILE, file_hash)
    return found


def to_track(row: asyncpg.Record) -> Track:
    """Read a row with TRACK_COLUMNS."""
    state = EmbeddingState(row["state"])
    read_point = ReadPoint(row["stream_created_at"], row["sequence"]) if state is EmbeddingState.INDEXED else None
    return Track(
        TrackId(row["track_id"]),
        row["title"],
        row["artist"],
        row["album"],
        row["genre"],
        row["raw_genre"],
        row["year"],
        row["duration_seconds"],
        [(name, score) for name, score in row["tags"]],
        state,
        row["failure_reason"],
        row["failure_message"],
        row["created_at"],
        row["audio_hash"],
        read_point,
        descriptors.from_row(row),
    )


def _file(row: asyncpg.Record) -> TrackFile:
    values = dict(row)
    del values["track_id"]
    return TrackFile(**values)


def _arrays(files: Sequence[tuple[TrackId, TrackFile]]) -> list[list[object]]:
    names = [name.strip() for name in FILE_COLUMNS.split(",")]
    return [
        [track_id for track_id, _ in files],
        *([getattr(file, name) for _, file in files] for name in names),
    ]
