"""Rows of media roots and of the library's tracks."""

from collections.abc import Sequence

import asyncpg

from services.social.domain.catalog import EmbeddingState, Media, ReadPoint, Track, TrackFile
from services.social.domain.ids import RootId, TrackId, UserId
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

# Lists of labels travel as text: arrays of arrays must be as long as each other. No label has a control character.
_SEPARATOR = "\x1f"
_TYPES = {
    "relative_path": "bytea",
    "file_hash": "bytea",
    "audio_hash": "bytea",
    "size_bytes": "bigint",
    "content_type": "text",
    "title": "text",
    "artist": "text",
    "album": "text",
    "raw_genre": "text",
    "genre": "text",
    "is_genre_known": "boolean",
    "year": "integer",
    "header_seconds": "double precision",
    "sub_genres": "text",
    "source_tags": "text",
    "isrc": "text",
    "musicbrainz_recording_id": "uuid",
    "musicbrainz_artist_id": "uuid",
    "musicbrainz_release_id": "uuid",
    "licence": "text",
    "source": "text",
    "mtime_ns": "bigint",
    "has_cover": "boolean",
    "artist_key": "text",
    "search_title": "text",
    "search_text": "text",
    "search_jamo": "text",
    "search_initials": "text",
}
_LISTS = ("sub_genres", "source_tags")
FILE_COLUMNS = ", ".join(_TYPES)
_GIVEN_ARRAYS = ", ".join(f"${number}::{name}[]" for number, name in enumerate(_TYPES.values(), start=3))
_GIVEN_VALUES = ", ".join(
    f"string_to_array(given.{name}, E'\\x1f')" if name in _LISTS else f"given.{name}" for name in _TYPES
)
SELECT_FILES = f"""
SELECT track_id, {FILE_COLUMNS} FROM tracks
WHERE root_id = $1 AND path_hash = ANY (SELECT sha256(path) FROM unnest($2::bytea[]) AS path)
"""
INSERT_TRACKS = f"""
INSERT INTO tracks (root_id, track_id, {FILE_COLUMNS})
SELECT $1, given.track_id, {_GIVEN_VALUES} FROM unnest($2::uuid[], {_GIVEN_ARRAYS}) AS given (track_id, {FILE_COLUMNS})
"""
# Artist and album are looked up anew (see refining).
UPDATE_TRACKS = f"""
UPDATE tracks
SET ({FILE_COLUMNS}, refined, missing_since, updated_at) = ROW ({_GIVEN_VALUES}, 0, NULL, now())
FROM unnest($2::uuid[], {_GIVEN_ARRAYS}) AS given (track_id, {FILE_COLUMNS})
WHERE tracks.root_id = $1 AND tracks.track_id = given.track_id
"""
# What is nobody's news: the file is there, was written then, and has a picture or none.
SEE_TRACKS = """
UPDATE tracks
SET mtime_ns = coalesce(given.mtime_ns, tracks.mtime_ns), has_cover = coalesce(given.has_cover, tracks.has_cover),
    missing_since = NULL
FROM unnest($1::uuid[], $2::bigint[], $3::boolean[]) AS given (track_id, mtime_ns, has_cover)
WHERE tracks.track_id = given.track_id
    AND (missing_since IS NOT NULL
        OR (given.mtime_ns IS NOT NULL AND given.mtime_ns IS DISTINCT FROM tracks.mtime_ns)
        OR (given.has_cover IS NOT NULL AND given.has_cover IS DISTINCT FROM tracks.has_cover))
"""
# Two may change places: both leave first. No path of a file begins with NUL.
LEAVE_PATHS = (
    "UPDATE tracks SET relative_path = '\\x00'::bytea || uuid_send(track_id) WHERE track_id = ANY ($1::uuid[])"
)

# What everybody may see of a track, under the encoder that is served.
TRACK_COLUMNS = f"""
    track.track_id, track.title, track.artist, track.album, track.genre, track.raw_genre, track.year, track.created_at,
    track.audio_hash, coalesce(embedding.duration_seconds, track.header_seconds) AS duration_seconds,
    coalesce(embedding.tags, '[]'::jsonb) AS tags, coalesce(progress.state, 'PENDING') AS state,
    coalesce(progress.failure_reason, '') AS failure_reason, coalesce(progress.failure_message, '') AS failure_message,
    progress.stream_created_at, progress.sequence, track.has_cover, {descriptors.COLUMNS}
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
SELECT_NOT_BLOCKED = f"""
{SELECT_TRACKS}
    AND NOT EXISTS (SELECT FROM blocked_tracks AS one WHERE one.user_id = $2 AND one.track_id = track.track_id)
    AND NOT EXISTS (SELECT FROM blocked_artists AS one WHERE one.user_id = $2 AND one.artist_id = track.artist_id)
"""

# Only what a model could hear is music: a registered path alone must not open any file to everybody.
SELECT_MEDIA = """
SELECT location, relative_path, file_hash, size_bytes, content_type, header_seconds
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
    """Put what files are now in the place of what they were; one that lay elsewhere lies at its new path."""
    if files:
        await connection.execute(UPDATE_TRACKS, root_id, *_arrays(files))


async def leave_paths(connection: Connection, track_ids: Sequence[TrackId]) -> None:
    """Make room at the paths of tracks that `update_tracks` puts elsewhere in the same transaction."""
    if track_ids:
        await connection.execute(LEAVE_PATHS, track_ids)


async def see_tracks(connection: Connection, files: Sequence[tuple[TrackId, TrackFile]]) -> None:
    """Note that files are there, when they were last written, and their pictures; nothing else of them differs."""
    if files:
        columns = zip(*((track_id, file.mtime_ns, file.has_cover) for track_id, file in files), strict=True)
        await connection.execute(SEE_TRACKS, *map(list, columns))


async def find_tracks(
    connection: Connection, track_ids: Sequence[TrackId], blocker: UserId | None = None
) -> list[Track]:
    """Return the tracks among these ids, in no particular order, without what somebody blocks."""
    if blocker is None:
        return [to_track(row) for row in await connection.fetch(SELECT_TRACKS, track_ids)]
    return [to_track(row) for row in await connection.fetch(SELECT_NOT_BLOCKED, track_ids, blocker)]


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
        row["has_cover"],
    )


def _file(row: asyncpg.Record) -> TrackFile:
    values = dict(row)
    del values["track_id"]
    return TrackFile(**values)


def _arrays(files: Sequence[tuple[TrackId, TrackFile]]) -> list[list[object]]:
    return [[track_id for track_id, _ in files], *([_value(file, name) for _, file in files] for name in _TYPES)]


def _value(file: TrackFile, name: str) -> object:
    value: object = getattr(file, name)
    return _SEPARATOR.join(value) if isinstance(value, list) else value
