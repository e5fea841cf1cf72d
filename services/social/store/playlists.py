"""Rows of playlists and their entries."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from services.social.ids import EncoderId, EntryId, PlaylistId, TrackId, UserId, new_id
from services.social.jobs import Recipe
from services.social.playlists import ChosenTrack, Entry, Playlist, Visibility
from services.social.store.database import Connection

PLAYLIST = """
    playlist.playlist_id, playlist.owner_id, playlist.title, playlist.description, playlist.visibility,
    coalesce(playlist.encoder_id, '') AS encoder_id, playlist.version, playlist.created_at, playlist.updated_at,
    (SELECT count(*) FROM playlist_entries AS entry WHERE entry.playlist_id = playlist.playlist_id) AS entry_count,
    (SELECT coalesce(sum(coalesce(embedding.duration_seconds, track.header_seconds)), 0)
        FROM playlist_entries AS entry JOIN tracks AS track USING (track_id)
        LEFT JOIN serving_encoder AS serving ON true
        LEFT JOIN embeddings AS embedding
            ON embedding.encoder_id = serving.encoder_id AND embedding.audio_hash = track.audio_hash
        WHERE entry.playlist_id = playlist.playlist_id) AS duration_seconds
"""
SELECT_PLAYLIST = f"SELECT {PLAYLIST} FROM playlists AS playlist WHERE playlist_id = $1"
LOCK_PLAYLIST = f"{SELECT_PLAYLIST} FOR NO KEY UPDATE"
SELECT_OWN = f"""
SELECT {PLAYLIST} FROM playlists AS playlist
WHERE owner_id = $1 AND ($2::uuid IS NULL OR playlist_id < $2) ORDER BY playlist_id DESC LIMIT $3
"""
SELECT_ENTRIES = """
SELECT entry_id, track_id, position, is_seed, similarity, shared_tags
FROM playlist_entries WHERE playlist_id = $1 ORDER BY position
"""
INSERT_PLAYLIST = """
INSERT INTO playlists
    (playlist_id, owner_id, title, visibility, recipe, encoder_id, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
"""
INSERT_ENTRY = """
INSERT INTO playlist_entries
    (entry_id, playlist_id, track_id, position, is_seed, similarity, seed_similarities, shared_tags)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
UPDATE_PLAYLIST = """
UPDATE playlists SET title = $2, description = $3, visibility = $4, version = $5, updated_at = $6
WHERE playlist_id = $1
"""
DELETE_PLAYLIST = "DELETE FROM playlists WHERE playlist_id = $1 AND owner_id = $2 RETURNING playlist_id"


async def find_playlist(connection: Connection, playlist_id: PlaylistId) -> Playlist | None:
    """Return a playlist without its entries, whoever may open it."""
    row = await connection.fetchrow(SELECT_PLAYLIST, playlist_id)
    return None if row is None else _playlist(row)


async def lock_playlist(connection: Connection, playlist_id: PlaylistId) -> Playlist | None:
    """Like `find_playlist`, and lets nobody else edit it until the transaction ends."""
    row = await connection.fetchrow(LOCK_PLAYLIST, playlist_id)
    return None if row is None else _playlist(row)


async def own_playlists(
    connection: Connection, owner_id: UserId, before: PlaylistId | None, limit: int
) -> list[Playlist]:
    """Return a person's playlists, newest first, those made before `before`."""
    return [_playlist(row) for row in await connection.fetch(SELECT_OWN, owner_id, before, limit)]


async def entries_of(connection: Connection, playlist_id: PlaylistId) -> list[Entry]:
    """Return a playlist's entries in playing order."""
    rows = await connection.fetch(SELECT_ENTRIES, playlist_id)
    return [Entry(EntryId(row["entry_id"]), TrackId(row["track_id"]), *tuple(row)[2:]) for row in rows]


async def insert_playlist(
    connection: Connection,
    playlist_id: PlaylistId,
    owner_id: UserId,
    title: str,
    visibility: Visibility,
    recipe: Recipe,
    encoder_id: EncoderId,
    tracks: Sequence[ChosenTrack],
    now: datetime,
) -> None:
    """Add a generated playlist with its entries in playing order."""
    await connection.execute(
        INSERT_PLAYLIST, playlist_id, owner_id, title, visibility.value, recipe.to_json(), encoder_id, now
    )
    await connection.executemany(
        INSERT_ENTRY,
        [
            (
                new_id(),
                playlist_id,
                track.track_id,
                position,
                track.is_seed,
                track.similarity,
                track.seed_similarities,
                track.shared_tags,
            )
            for position, track in enumerate(tracks)
        ],
    )


async def update_playlist(connection: Connection, playlist: Playlist) -> None:
    """Store what an edit made of a playlist that the transaction has locked."""
    await connection.execute(
        UPDATE_PLAYLIST,
        playlist.playlist_id,
        playlist.title,
        playlist.description,
        playlist.visibility.value,
        playlist.version,
        playlist.updated_at,
    )


async def delete_playlist(connection: Connection, playlist_id: PlaylistId, owner_id: UserId) -> bool:
    """Delete a playlist of this person's; say whether there was one."""
    return await connection.fetchval(DELETE_PLAYLIST, playlist_id, owner_id) is not None


def _playlist(row: asyncpg.Record) -> Playlist:
    return Playlist(**{**row, "visibility": Visibility(row["visibility"])})
