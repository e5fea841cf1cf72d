"""Rows of what people are told of; they are written by `store/activities.py: notify`."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from services.social.domain.ids import UserId
from services.social.domain.notifications import Notification, NotificationKind
from services.social.store.database import Connection
from services.social.store.visibility import blocked

# Who did it is in sight, without a block either way; what it was done to is still there, and it was not undone.
_FROM = """
    FROM notifications AS n
    LEFT JOIN users AS u ON u.user_id = n.actor_id
    LEFT JOIN playlists AS p ON p.playlist_id = n.playlist_id
    LEFT JOIN comments AS c ON c.comment_id = n.comment_id
    LEFT JOIN follows AS f ON f.follower_id = n.actor_id AND f.followee_id = n.user_id
    LEFT JOIN likes AS l ON l.user_id = n.actor_id AND l.playlist_id = n.playlist_id
"""
_SHOWN = f"""(
    (n.actor_id IS NULL OR (
        u.user_id IS NOT NULL AND u.suspended_at IS NULL AND u.deleted_at IS NULL
        AND NOT {blocked("n.actor_id", "$1::uuid")}
    ))
    AND (n.playlist_id IS NULL OR p.playlist_id IS NOT NULL)
    AND (n.comment_id IS NULL OR (c.comment_id IS NOT NULL AND c.deleted_at IS NULL
        AND (c.hidden_at IS NULL OR n.kind = 'CONTENT_HIDDEN')))
    AND (n.kind <> 'FOLLOWED' OR f.at IS NOT NULL) AND (n.kind <> 'LIKED' OR l.at IS NOT NULL)
)"""
_COLUMNS = """
    n.notification_id, n.kind, n.actor_id, n.playlist_id, n.comment_id, n.subject_id, n.badge, n.at, n.read_at
"""
ALL = f"""
    SELECT {_COLUMNS} {_FROM}
    WHERE n.user_id = $1 AND n.notification_id < $2 AND {_SHOWN} ORDER BY n.notification_id DESC LIMIT $3
"""
UNREAD = f"""
    SELECT {_COLUMNS} {_FROM}
    WHERE n.user_id = $1 AND n.read_at IS NULL AND n.notification_id < $2 AND {_SHOWN}
    ORDER BY n.notification_id DESC LIMIT $3
"""
COUNT_UNREAD = f"""
    SELECT count(*) FROM (
        SELECT {_FROM} WHERE n.user_id = $1 AND n.read_at IS NULL AND {_SHOWN} LIMIT $2
    ) AS unread
"""
SHOWN = f"""
    SELECT n.notification_id {_FROM}
    WHERE n.user_id = $1 AND n.notification_id = ANY ($2::uuid[]) AND {_SHOWN}
"""
ASKED = f"""
    SELECT {_COLUMNS} {_FROM}
    WHERE n.user_id = $1 AND (n.notification_id = ANY ($2::uuid[]) OR n.notification_id <= $3::uuid) AND {_SHOWN}
    ORDER BY n.notification_id DESC LIMIT $4
"""
# In one order: two who mark the same never wait for each other.
MARK_READ = """
    UPDATE notifications SET read_at = $3 WHERE notification_id IN (
        SELECT notification_id FROM notifications
        WHERE user_id = $1 AND read_at IS NULL AND notification_id = ANY ($2::uuid[])
        ORDER BY notification_id DESC FOR NO KEY UPDATE
    )
"""
MARK_READ_UP_TO = """
    UPDATE notifications SET read_at = $3 WHERE notification_id IN (
        SELECT notification_id FROM notifications
        WHERE user_id = $1 AND read_at IS NULL AND notification_id <= $2
        ORDER BY notification_id DESC LIMIT $4 FOR NO KEY UPDATE
    ) RETURNING notification_id
"""
DELETE_OLD = """
    DELETE FROM notifications WHERE notification_id IN (
        SELECT notification_id FROM notifications WHERE notification_id < $1 ORDER BY notification_id LIMIT $2
    ) RETURNING notification_id
"""
_MARK_BATCH = 5_000


async def notifications_of(
    connection: Connection, user_id: UserId, before: str, limit: int, *, unread_only: bool
) -> list[Notification]:
    """Return what a person is told of, newest first, below an id."""
    rows = await connection.fetch(UNREAD if unread_only else ALL, user_id, before, limit)
    return [_notification(row) for row in rows]


async def count_unread(connection: Connection, user_id: UserId, most: int) -> int:
    """Return how many notifications were not read, at most `most`."""
    return int(await connection.fetchval(COUNT_UNREAD, user_id, most))


async def shown(connection: Connection, user_id: UserId, notification_ids: Sequence[str]) -> set[str]:
    """Return those of these that the person's list has."""
    return {row["notification_id"] for row in await connection.fetch(SHOWN, user_id, notification_ids)}


async def mark_read(connection: Connection, user_id: UserId, notification_ids: Sequence[str], now: datetime) -> None:
    """Mark some of a person's notifications as read."""
    await connection.execute(MARK_READ, user_id, notification_ids, now)


async def mark_read_up_to(connection: Connection, user_id: UserId, last_id: str, now: datetime) -> None:
    """Mark all of a person's notifications up to one as read, newest first, in batches: cut short, it is done again."""
    while len(await connection.fetch(MARK_READ_UP_TO, user_id, last_id, now, _MARK_BATCH)) == _MARK_BATCH:
        pass


async def marked(
    connection: Connection, user_id: UserId, notification_ids: Sequence[str], last_id: str | None, limit: int
) -> list[Notification]:
    """Return the newest of a person's among these ids and all up to `last_id`, as their list has them."""
    rows = await connection.fetch(ASKED, user_id, notification_ids, last_id, limit)
    return [_notification(row) for row in rows]


async def delete_old(connection: Connection, before: str, limit: int) -> int:
    """Forget notifications with lower ids; return how many of at most `limit`."""
    return len(await connection.fetch(DELETE_OLD, before, limit))


def _notification(row: asyncpg.Record) -> Notification:
    return Notification(**{**row, "kind": NotificationKind(row["kind"])})
