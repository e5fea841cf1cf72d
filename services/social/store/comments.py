"""Rows of comments."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from services.social.domain.comments import Comment
from services.social.domain.ids import CommentId, PlaylistId, UserId
from services.social.store.database import LAST_ID, Connection
from services.social.store.visibility import blocked, openable

COMMENT = """
    c.comment_id, c.playlist_id, c.user_id AS author_id, c.text, c.created_at, c.edited_at,
    c.deleted_at IS NOT NULL AS is_deleted, c.hidden_at IS NOT NULL AS is_hidden
"""
SELECT_COMMENT = f"SELECT {COMMENT} FROM comments AS c WHERE comment_id = $1"
SELECT_COMMENTS_BY_ID = f"SELECT {COMMENT} FROM comments AS c WHERE comment_id = ANY ($1::uuid[])"
LOCK_COMMENT = f"{SELECT_COMMENT} FOR NO KEY UPDATE"


def shown_condition(viewer: str, is_admin: str) -> str:
    """Return a condition on comments `c` and users `u`, their authors, of a playlist that the viewer may open.

    What was deleted or hidden, what was said by those who are suspended, and by those whom a block keeps apart from the
    viewer, is left out; of hidden ones the author still sees their own, and admins see all.
    """
    return f"""(
        c.deleted_at IS NULL AND (c.hidden_at IS NULL OR c.user_id = {viewer} OR {is_admin})
        AND u.suspended_at IS NULL AND u.deleted_at IS NULL AND NOT {blocked("c.user_id", viewer)}
    )"""


SELECT_COMMENTS = f"""
SELECT {COMMENT} FROM comments AS c LEFT JOIN users AS u USING (user_id)
WHERE c.playlist_id = $1 AND c.comment_id < coalesce($2, '{LAST_ID}'::uuid) AND {shown_condition("$4::uuid", "$5")}
ORDER BY c.comment_id DESC LIMIT $3
"""
SHOWN = f"""
SELECT c.comment_id FROM comments AS c LEFT JOIN users AS u USING (user_id)
JOIN playlists AS p ON p.playlist_id = c.playlist_id JOIN users AS o ON o.user_id = p.owner_id
WHERE c.comment_id = ANY ($2::uuid[]) AND {openable("$1::uuid")}
    AND {shown_condition("$1::uuid", "EXISTS (SELECT FROM users WHERE user_id = $1::uuid AND role = 'admin')")}
"""
# Reads no more rows than the quota, whatever somebody has said in all.
COUNT_SINCE = """
SELECT count(*) FROM (
    SELECT created_at FROM comments WHERE user_id = $1 ORDER BY comment_id DESC LIMIT $2
) AS newest WHERE created_at > $3
"""
INSERT_COMMENT = """
INSERT INTO comments (comment_id, playlist_id, user_id, text, created_at) VALUES ($1, $2, $3, $4, $5)
"""
EDIT_COMMENT = "UPDATE comments SET text = $2, edited_at = $3 WHERE comment_id = $1"
# Nothing of what was said is kept.
DELETE_COMMENT = "UPDATE comments SET deleted_at = $2, text = '' WHERE comment_id = $1"


async def find_comment(connection: Connection, comment_id: CommentId) -> Comment | None:
    """Return a comment, also a deleted one."""
    row = await connection.fetchrow(SELECT_COMMENT, comment_id)
    return None if row is None else _comment(row)


async def lock_comment(connection: Connection, comment_id: CommentId) -> Comment | None:
    """Like `find_comment`, and lets nobody else change it until the transaction ends."""
    row = await connection.fetchrow(LOCK_COMMENT, comment_id)
    return None if row is None else _comment(row)


async def comments_of(
    connection: Connection,
    playlist_id: PlaylistId,
    viewer_id: UserId | None,
    is_admin: bool,
    before: CommentId | None,
    limit: int,
) -> list[Comment]:
    """Return what was said of a playlist, newest first, before a comment, as somebody sees it."""
    rows = await connection.fetch(SELECT_COMMENTS, playlist_id, before, limit, viewer_id, is_admin)
    return [_comment(row) for row in rows]


async def shown(connection: Connection, viewer_id: UserId | None, comment_ids: Sequence[str]) -> set[str]:
    """Return those of these comments that the lists of their playlists show to somebody."""
    return {row["comment_id"] for row in await connection.fetch(SHOWN, viewer_id, comment_ids)}


async def shown_comments(connection: Connection, viewer_id: UserId | None, comment_ids: Sequence[str]) -> list[Comment]:
    """Return those of these comments that the lists of their playlists show to somebody, in no particular order."""
    seen = await shown(connection, viewer_id, comment_ids)
    return [_comment(row) for row in await connection.fetch(SELECT_COMMENTS_BY_ID, list(seen))]


async def count_since(connection: Connection, user_id: UserId, since: datetime, most: int) -> int:
    """Count what somebody said since a time, at most `most`; deleted ones count."""
    return int(await connection.fetchval(COUNT_SINCE, user_id, most, since))


async def insert_comment(
    connection: Connection, comment_id: CommentId, playlist_id: PlaylistId, user_id: UserId, text: str, now: datetime
) -> None:
    """Add a comment."""
    await connection.execute(INSERT_COMMENT, comment_id, playlist_id, user_id, text, now)


async def edit_comment(connection: Connection, comment_id: CommentId, text: str, now: datetime) -> None:
    """Change what a comment says."""
    await connection.execute(EDIT_COMMENT, comment_id, text, now)


async def delete_comment(connection: Connection, comment_id: CommentId, now: datetime) -> None:
    """Take a comment away; its row stays, so that its id is known."""
    await connection.execute(DELETE_COMMENT, comment_id, now)


def _comment(row: asyncpg.Record) -> Comment:
    return Comment(**row)
