"""What people did, as their followers' feeds tell it, and what others are told of it."""

from datetime import datetime

from services.social.domain.activities import ActivityKind
from services.social.domain.ids import PlaylistId, UserId, new_id
from services.social.domain.notifications import Notification, NotificationKind
from services.social.domain.playlists import Visibility
from services.social.events.notifications import notification_added
from services.social.events.playlists import playlist_shown
from services.social.store import outbox
from services.social.store.database import Connection
from services.social.store.visibility import blocked

RECORD = """
    INSERT INTO activities (activity_id, actor_id, kind, playlist_id, user_id, comment_id, at)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT ON CONSTRAINT activities_once DO NOTHING
    RETURNING activity_id
"""

NOTIFY = f"""
    INSERT INTO notifications
        (notification_id, user_id, kind, actor_id, playlist_id, comment_id, subject_id, badge, at)
    SELECT $1, $2::uuid, $3, $4::uuid, $5, $6, $7, $8, $9
    FROM users AS told
    WHERE told.user_id = $2::uuid AND told.deleted_at IS NULL AND $4::uuid IS DISTINCT FROM $2::uuid
        AND NOT {blocked("$4::uuid", "$2::uuid")}
    ON CONFLICT ON CONSTRAINT notifications_once DO NOTHING
    RETURNING notification_id
"""

DELETE_OLD = """
    DELETE FROM activities
    WHERE activity_id IN (SELECT activity_id FROM activities WHERE activity_id < $1 ORDER BY activity_id LIMIT $2)
    RETURNING activity_id
"""


async def record(
    connection: Connection,
    kind: ActivityKind,
    actor_id: UserId,
    at: datetime,
    *,
    playlist_id: PlaylistId | None = None,
    user_id: UserId | None = None,
    comment_id: str | None = None,
) -> str | None:
    """Note what somebody did, in the transaction in which they do it; the same act done again stays one.

    Returns:
        Its id, which the event of what they did carries on to feeds; None where it was told before.
    """
    return await connection.fetchval(  # type: ignore[no-any-return]
        RECORD, new_id(), actor_id, kind, playlist_id, user_id, comment_id, at
    )


async def record_shown(
    connection: Connection, owner_id: UserId, playlist_id: PlaylistId, visibility: Visibility, at: datetime
) -> None:
    """Note, and tell, that a playlist becomes public, just before it does; any other visibility is nobody's news.

    Where it does not come through here, of an older release, the database notes it and nobody tells it.
    """
    if visibility is not Visibility.PUBLIC:
        return
    told = await record(connection, ActivityKind.CREATED, owner_id, at, playlist_id=playlist_id)
    if told is not None:
        await outbox.add(connection, playlist_shown(told, playlist_id, owner_id, at))


async def notify(
    connection: Connection,
    user_id: UserId,
    kind: str,
    at: datetime,
    *,
    actor_id: UserId | None = None,
    playlist_id: PlaylistId | None = None,
    comment_id: str | None = None,
    subject_id: str | None = None,
    badge: str | None = None,
) -> None:
    """Tell a person of something, in the transaction in which it happens, whose actor is locked.

    Nobody is told of what they do themselves, of what somebody does with whom there is a block, or of the same twice.
    """
    found = Notification(
        new_id(), NotificationKind(kind), actor_id, playlist_id, comment_id, subject_id, badge, at, read_at=None
    )
    told = await connection.fetchval(
        NOTIFY, found.notification_id, user_id, kind, actor_id, playlist_id, comment_id, subject_id, badge, at
    )
    if told is not None:
        await outbox.add(connection, notification_added(found, user_id, actor_id or user_id))


async def delete_old(connection: Connection, before: str, limit: int) -> int:
    """Forget activities with lower ids; return how many of at most `limit`."""
    return len(await connection.fetch(DELETE_OLD, before, limit))
