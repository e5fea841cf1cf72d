"""Rows of what moderation hides, deletes and shows again."""

from datetime import datetime
from typing import NamedTuple

import asyncpg

from services.social.domain.ids import CommentId, PlaylistId, UserId
from services.social.domain.moderation import Subject
from services.social.store.database import Connection

OWNER_OF = {
    Subject.PLAYLIST: "SELECT owner_id FROM playlists WHERE playlist_id = $1",
    Subject.COMMENT: "SELECT user_id FROM comments WHERE comment_id = $1 AND deleted_at IS NULL",
}
LOCK_PLAYLIST = "SELECT FROM playlists WHERE playlist_id = $1 FOR NO KEY UPDATE"
# The constraint on hidden playlists wants all of it at once. Its place in lists is kept for the day it is shown again.
HIDE_PLAYLIST = """
UPDATE playlists
SET hidden_at = $2, hidden_from = visibility, visibility = 'PRIVATE', version = version + 1, updated_at = $2
WHERE playlist_id = $1 AND hidden_at IS NULL RETURNING version
"""
SHOW_PLAYLIST = """
UPDATE playlists
SET hidden_at = NULL, hidden_from = NULL, visibility = hidden_from, version = version + 1, updated_at = $2
WHERE playlist_id = $1 AND hidden_at IS NOT NULL RETURNING version
"""
# Nobody deletes the playlist, and counts its comments off, between.
HOLD_PLAYLIST_OF = """
SELECT FROM playlists WHERE playlist_id = (SELECT playlist_id FROM comments WHERE comment_id = $1) FOR KEY SHARE
"""
# One that was hidden before is not told of again. What a deleted one said is gone.
HIDE_COMMENT = """
UPDATE comments SET hidden_at = $2 WHERE comment_id = $1 AND hidden_at IS NULL AND deleted_at IS NULL
RETURNING playlist_id, user_id, created_at
"""
SHOW_COMMENT = """
UPDATE comments SET hidden_at = NULL WHERE comment_id = $1 AND hidden_at IS NOT NULL AND deleted_at IS NULL
RETURNING playlist_id, user_id, created_at
"""
DELETE_COMMENT = """
UPDATE comments AS c SET deleted_at = $2, text = ''
FROM (SELECT comment_id, hidden_at FROM comments WHERE comment_id = $1 FOR UPDATE) AS before
WHERE c.comment_id = before.comment_id AND c.deleted_at IS NULL
RETURNING c.playlist_id, c.user_id, c.created_at, before.hidden_at
"""


class Written(NamedTuple):
    """A comment: of which playlist, whose (nobody's where its author left), since when."""

    playlist_id: PlaylistId
    author_id: UserId | None
    at: datetime


async def find_owner(connection: Connection, kind: Subject, subject_id: str) -> tuple[bool, UserId | None]:
    """Say whether there is such a playlist or comment, hidden or not, and whose: nobody's where its author left."""
    row = await connection.fetchrow(OWNER_OF[kind], subject_id)
    return (False, None) if row is None else (True, row[0])


async def lock_playlist(connection: Connection, playlist_id: PlaylistId) -> None:
    """Let nobody else change a playlist until the transaction ends."""
    await connection.execute(LOCK_PLAYLIST, playlist_id)


async def hide_playlist(connection: Connection, playlist_id: PlaylistId, now: datetime) -> int | None:
    """Take a playlist out of sight; returns its new version, None where there is nothing to hide."""
    found: int | None = await connection.fetchval(HIDE_PLAYLIST, playlist_id, now)
    return found


async def show_playlist(connection: Connection, playlist_id: PlaylistId, now: datetime) -> int | None:
    """Give a playlist its visibility again; returns its new version, None where nothing is hidden."""
    found: int | None = await connection.fetchval(SHOW_PLAYLIST, playlist_id, now)
    return found


async def hide_comment(connection: Connection, comment_id: CommentId, now: datetime) -> Written | None:
    """Take a comment out of sight; None where it was not seen before."""
    await connection.execute(HOLD_PLAYLIST_OF, comment_id)
    return _written(await connection.fetchrow(HIDE_COMMENT, comment_id, now))


async def show_comment(connection: Connection, comment_id: CommentId) -> Written | None:
    """Show a comment again; None where it is not hidden."""
    await connection.execute(HOLD_PLAYLIST_OF, comment_id)
    return _written(await connection.fetchrow(SHOW_COMMENT, comment_id))


async def delete_comment(connection: Connection, comment_id: CommentId, now: datetime) -> Written | None:
    """Delete a comment with what it said; None where it was not seen before."""
    await connection.execute(HOLD_PLAYLIST_OF, comment_id)
    row = await connection.fetchrow(DELETE_COMMENT, comment_id, now)
    return None if row is None or row["hidden_at"] is not None else _written(row)


def _written(row: asyncpg.Record | None) -> Written | None:
    return None if row is None else Written(PlaylistId(row["playlist_id"]), row["user_id"], row["created_at"])
