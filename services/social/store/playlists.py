"""Rows of playlists and their entries."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import asyncpg

from services.social.domain.ids import EncoderId, EntryId, PlaylistId, TrackId, UserId, new_id
from services.social.domain.playlists import ChosenTrack, Entry, Playlist, Visibility
from services.social.domain.recipe import Recipe
from services.social.domain.visibility import may_open, thing_of
from services.social.errors import PlaylistNotFound
from services.social.errors.playlists import TooManyPlaylists
from services.social.store import activities
from services.social.store.database import LAST_ID, Connection

# Lengths and numbers of entries are kept by triggers.
PLAYLIST_COLUMNS = """
    p.playlist_id, p.owner_id, p.title, p.description, p.visibility, coalesce(p.encoder_id, '') AS encoder_id,
    p.version, p.entry_count, p.duration_seconds, p.created_at, p.updated_at, p.share_slug, p.copied_from,
    coalesce(
        (SELECT source.visibility = 'PUBLIC' FROM playlists AS source WHERE source.playlist_id = p.copied_from), false
    ) AS is_source_public,
    p.listed_at, p.hidden_at IS NOT NULL AS is_hidden,
    p.recipe IS NOT NULL AS has_recipe, o.suspended_at IS NULL AND o.deleted_at IS NULL AS is_owner_active
"""
COUNT_COLUMNS = """
    coalesce(counted.likes, 0) AS likes, coalesce(counted.saves, 0) AS saves, coalesce(counted.comments, 0) AS comments
"""
PLAYLIST_TABLES = """
    playlists AS p JOIN users AS o ON o.user_id = p.owner_id
    LEFT JOIN playlist_counts AS counted ON counted.playlist_id = p.playlist_id
"""
# What is counted and what is not counted yet, by one snapshot: between two statements the tallier could come.
SELECT_EXACTLY = f"""
SELECT {PLAYLIST_COLUMNS},
    coalesce(counted.likes, 0) + pending.likes AS likes, coalesce(counted.saves, 0) + pending.saves AS saves,
    coalesce(counted.comments, 0) + pending.comments AS comments
FROM {PLAYLIST_TABLES} CROSS JOIN LATERAL (
    SELECT coalesce(sum(amount) FILTER (WHERE kind = 'like'), 0)::int AS likes,
        coalesce(sum(amount) FILTER (WHERE kind = 'save'), 0)::int AS saves,
        coalesce(sum(amount) FILTER (WHERE kind = 'comment'), 0)::int AS comments
    FROM signals WHERE signals.playlist_id = p.playlist_id
) AS pending
"""
SELECT_PLAYLIST = f"{SELECT_EXACTLY} WHERE p.playlist_id = $1"
SELECT_BY_SLUG = f"{SELECT_EXACTLY} WHERE p.share_slug = $1"
SELECT_PLAYLISTS = f"""
SELECT {PLAYLIST_COLUMNS}, {COUNT_COLUMNS} FROM {PLAYLIST_TABLES} WHERE p.playlist_id = ANY ($1::uuid[])
"""
SELECT_OWN = f"""
SELECT {PLAYLIST_COLUMNS}, {COUNT_COLUMNS} FROM {PLAYLIST_TABLES}
WHERE p.owner_id = $1 AND p.playlist_id < coalesce($2, '{LAST_ID}'::uuid) ORDER BY p.playlist_id DESC LIMIT $3
"""
# To edit; to do something that must find the playlist still there; and to read it whole, without an edit in between.
# Many may do the latter two at a time.
LOCK_PLAYLIST = "SELECT FROM playlists WHERE playlist_id = $1 FOR NO KEY UPDATE"
HOLD_PLAYLIST = "SELECT FROM playlists WHERE playlist_id = $1 FOR KEY SHARE"
FREEZE_PLAYLIST = "SELECT FROM playlists WHERE playlist_id = $1 FOR SHARE"
SELECT_ENTRIES = """
SELECT entry_id, track_id, position, is_seed, similarity, shared_tags, added_by, nearest_seed, quantile,
    seed_similarities
FROM playlist_entries WHERE playlist_id = $1 ORDER BY position
"""
INSERT_PLAYLIST = """
INSERT INTO playlists
    (playlist_id, owner_id, title, description, visibility, recipe, encoder_id, created_at, updated_at)
VALUES ($1, $2, $3, $8, $4, $5, $6, $7, $7)
"""
# One statement, so that their number is counted once.
INSERT_ENTRIES = """
INSERT INTO playlist_entries
    (entry_id, playlist_id, track_id, position, is_seed, similarity, seed_similarities, shared_tags, added_by,
     nearest_seed, quantile, added_at)
SELECT entry_id, $1, track_id, position, is_seed, similarity, seed_similarities, shared_tags, added_by,
    nearest_seed, quantile, $3
FROM jsonb_to_recordset($2) AS given (
    entry_id uuid, track_id uuid, position integer, is_seed boolean, similarity real, seed_similarities real[],
    shared_tags text[], added_by uuid, nearest_seed smallint, quantile real
)
"""
UPDATE_PLAYLIST = """
UPDATE playlists SET title = $2, description = $3, visibility = $4, version = $5, updated_at = $6
WHERE playlist_id = $1
"""
# As many as are asked for, however many there are.
COUNT_OWN = "SELECT count(*) FROM (SELECT FROM playlists WHERE owner_id = $1 LIMIT $2) AS own"
# Nobody likes, saves or comments it between what is taken back and its end.
LOCK_TO_DELETE = "SELECT playlist_id FROM playlists WHERE playlist_id = $1 AND owner_id = $2 FOR UPDATE"
# What people gave goes with the playlist, and so does what was counted of it for them and for the owner; of comments
# that moderation hid it has counted off already.
TAKE_BACK = """
INSERT INTO signals (kind, actor_id, user_id, amount, at)
SELECT 'like', user_id, $2::uuid, -1, at FROM likes WHERE playlist_id = $1
UNION ALL SELECT 'save', user_id, $2, -1, at FROM saves WHERE playlist_id = $1
UNION ALL SELECT 'comment', user_id, $2, -1, created_at FROM comments
WHERE playlist_id = $1 AND deleted_at IS NULL AND hidden_at IS NULL
"""
# Feeds do not show them any more; looking at them would leave pages empty.
DELETE_ACTIVITIES = "DELETE FROM activities WHERE playlist_id = $1"
DELETE_PLAYLIST = "DELETE FROM playlists WHERE playlist_id = $1"


async def find_playlist(connection: Connection, playlist_id: PlaylistId) -> Playlist | None:
    """Return a playlist without its entries, whoever may open it."""
    row = await connection.fetchrow(SELECT_PLAYLIST, playlist_id)
    return None if row is None else to_playlist(row)


async def lock_playlist(connection: Connection, playlist_id: PlaylistId) -> Playlist | None:
    """Like `find_playlist`, and lets nobody else edit it until the transaction ends."""
    await connection.execute(LOCK_PLAYLIST, playlist_id)
    return await find_playlist(connection, playlist_id)


async def open_for(
    connection: Connection, playlist_id: PlaylistId, viewer_id: UserId | None, *, is_admin: bool = False
) -> Playlist:
    """Return a playlist that somebody, or a guest, may open; an admin also what is hidden.

    Raises:
        PlaylistNotFound: There is none, or it is not for them.
    """
    found = await find_playlist(connection, playlist_id)
    if found is None or not may_open(thing_of(found), viewer_id, is_admin=is_admin):
        raise PlaylistNotFound(playlist_id)
    return found


async def hold_open_for(connection: Connection, playlist_id: PlaylistId, viewer_id: UserId) -> Playlist:
    """Like `open_for`, and lets nobody delete it until the transaction ends; it may be edited.

    Raises:
        PlaylistNotFound: There is none, or it is not for them.
    """
    await hold(connection, playlist_id)
    return await open_for(connection, playlist_id, viewer_id)


async def hold(connection: Connection, playlist_id: PlaylistId) -> None:
    """Let nobody delete a playlist until the transaction ends; it may be edited."""
    await connection.execute(HOLD_PLAYLIST, playlist_id)


async def freeze_open_for(connection: Connection, playlist_id: PlaylistId, viewer_id: UserId) -> Playlist:
    """Like `open_for`, and lets nobody delete or edit it until the transaction ends; others may do the same.

    Raises:
        PlaylistNotFound: There is none, or it is not for them.
    """
    await connection.execute(FREEZE_PLAYLIST, playlist_id)
    return await open_for(connection, playlist_id, viewer_id)


async def lock_own(connection: Connection, playlist_id: PlaylistId, owner_id: UserId) -> Playlist:
    """Return a playlist of this person's, and let nobody else edit it until the transaction ends.

    Raises:
        PlaylistNotFound: There is none, or it is somebody else's.
    """
    found = await lock_playlist(connection, playlist_id)
    if found is None or found.owner_id != owner_id:
        raise PlaylistNotFound(playlist_id)
    return found


async def find_by_slug(connection: Connection, share_slug: str) -> Playlist | None:
    """Return the playlist with this link, whoever may open it."""
    row = await connection.fetchrow(SELECT_BY_SLUG, share_slug)
    return None if row is None else to_playlist(row)


async def find_playlists(connection: Connection, playlist_ids: Sequence[PlaylistId]) -> list[Playlist]:
    """Return the playlists among these ids, in no particular order; their counts are a moment old."""
    return [to_playlist(row) for row in await connection.fetch(SELECT_PLAYLISTS, playlist_ids)]


async def own_playlists(
    connection: Connection, owner_id: UserId, before: PlaylistId | None, limit: int
) -> list[Playlist]:
    """Return a person's playlists, newest first, those made before `before`; their counts are a moment old."""
    return [to_playlist(row) for row in await connection.fetch(SELECT_OWN, owner_id, before, limit)]


async def must_have_room(connection: Connection, owner_id: UserId, most: int) -> None:
    """Check that a person, whom the transaction has locked, may have another playlist.

    Raises:
        TooManyPlaylists: They have `most`.
    """
    if await connection.fetchval(COUNT_OWN, owner_id, most) >= most:
        raise TooManyPlaylists(most)


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
    description: str = "",
) -> None:
    """Add a generated playlist with its entries in playing order."""
    await activities.record_shown(connection, owner_id, playlist_id, visibility, now)
    await connection.execute(
        INSERT_PLAYLIST, playlist_id, owner_id, title, visibility.value, recipe.to_json(), encoder_id, now, description
    )
    entries = [
        {"entry_id": new_id(), "position": position, "added_by": None, **asdict(track)}
        for position, track in enumerate(tracks)
    ]
    await insert_entries(connection, playlist_id, entries, now)


async def insert_entries(
    connection: Connection, playlist_id: PlaylistId, entries: Sequence[dict[str, Any]], now: datetime
) -> None:
    """Add entries of a playlist that the transaction has made or locked, each with all columns of INSERT_ENTRIES.

    Raises:
        asyncpg.ForeignKeyViolationError: A track is not in the library.
    """
    if entries:
        await connection.execute(INSERT_ENTRIES, playlist_id, list(entries), now)


async def update_playlist(connection: Connection, playlist: Playlist) -> None:
    """Store what an edit made of a playlist that the transaction has locked.

    Who makes it public tells it before (`activities.record_shown`).
    """
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
    """Delete a playlist of this person's, what others gave it and what feeds tell of it; say whether there was one."""
    if await connection.fetchval(LOCK_TO_DELETE, playlist_id, owner_id) is None:
        return False
    await connection.execute(TAKE_BACK, playlist_id, owner_id)
    await connection.execute(DELETE_ACTIVITIES, playlist_id)
    await connection.execute(DELETE_PLAYLIST, playlist_id)
    return True


def to_playlist(row: asyncpg.Record) -> Playlist:
    """Read a row with PLAYLIST_COLUMNS and the counts."""
    return Playlist(**{**row, "visibility": Visibility(row["visibility"])})
