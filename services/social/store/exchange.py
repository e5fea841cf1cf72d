"""Tracks for playlists' files: those of a playlist to write, and those that a file's rows may mean."""

from collections import defaultdict
from collections.abc import Sequence

import asyncpg

from services.social.domain.ids import PlaylistId, TrackId
from services.social.exchange.matching import LENGTH_TOLERANCE_S, Candidate, Way, names_of
from services.social.exchange.rows import FileRow, TrackRow
from services.social.store.database import Connection

SELECT_ROWS = """
SELECT t.track_id, t.title, t.artist, t.album, t.header_seconds, t.musicbrainz_recording_id, t.isrc, t.relative_path
FROM playlist_entries AS e JOIN tracks AS t USING (track_id) WHERE e.playlist_id = $1 ORDER BY e.position
"""

# Files of one recording are few; what is beyond 20 of them changes nothing.
_CANDIDATE = """
    t.track_id, t.album, t.header_seconds AS seconds,
    coalesce(t.musicbrainz_recording_id::text, t.isrc, encode(t.audio_hash, 'hex')) AS identity
"""
SELECT_BY_RECORDING = f"""
SELECT row.number, found.* FROM unnest($1::int[], $2::uuid[]) AS row (number, recording_id) CROSS JOIN LATERAL (
    SELECT {_CANDIDATE} FROM tracks AS t WHERE t.musicbrainz_recording_id = row.recording_id
    ORDER BY t.track_id LIMIT 20
) AS found
"""
SELECT_BY_ISRC = f"""
SELECT row.number, found.* FROM unnest($1::int[], $2::text[]) AS row (number, isrc) CROSS JOIN LATERAL (
    SELECT {_CANDIDATE} FROM tracks AS t WHERE t.isrc = row.isrc ORDER BY t.track_id LIMIT 20
) AS found
"""
SELECT_BY_NAME = f"""
SELECT row.number, found.* FROM unnest($1::int[], $2::text[], $3::text[], $4::float8[])
    AS row (number, title, artist, seconds) CROSS JOIN LATERAL (
    SELECT {_CANDIDATE} FROM tracks AS t
    WHERE t.search_title = row.title
        AND (row.artist = '' OR t.artist_key = row.artist)
        AND (row.seconds = 0 OR abs(t.header_seconds - row.seconds) <= $5)
    ORDER BY t.track_id LIMIT 20
) AS found
"""


async def rows_of(connection: Connection, playlist_id: PlaylistId) -> list[tuple[TrackId, TrackRow]]:
    """Return a playlist's tracks in playing order, ready to be written."""
    return [
        (TrackId(row["track_id"]), TrackRow(*tuple(row)[1:]))
        for row in await connection.fetch(SELECT_ROWS, playlist_id)
    ]


async def candidates(connection: Connection, rows: Sequence[FileRow]) -> dict[int, list[Candidate]]:
    """Return the tracks that each row may mean, by the row's place; those of one without any are left out."""
    found: defaultdict[int, list[Candidate]] = defaultdict(list)
    recordings = [(number, row.recording_id) for number, row in enumerate(rows) if row.recording_id is not None]
    if recordings:
        for row in await connection.fetch(SELECT_BY_RECORDING, *_columns(recordings)):
            found[row["number"]].append(_candidate(Way.RECORDING, row))
    isrcs = [(number, row.isrc) for number, row in enumerate(rows) if row.isrc is not None and number not in found]
    if isrcs:
        for row in await connection.fetch(SELECT_BY_ISRC, *_columns(isrcs)):
            found[row["number"]].append(_candidate(Way.ISRC, row))
    names = [
        (number, title, artist, row.seconds)
        for number, row in enumerate(rows)
        if number not in found
        for title, artist in names_of(row)
    ]
    if names:
        for row in await connection.fetch(SELECT_BY_NAME, *_columns(names), LENGTH_TOLERANCE_S):
            found[row["number"]].append(_candidate(Way.NAME, row))
    return found


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _candidate(way: Way, row: asyncpg.Record) -> Candidate:
    return Candidate(way, TrackId(row["track_id"]), row["album"], row["seconds"], row["identity"])
