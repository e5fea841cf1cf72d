"""Says of many things at once who may see them: one statement for each kind, by the rules of what returns them."""

from collections.abc import Sequence

from services.social.domain.ids import UserId
from services.social.store import comments, feed, notifications, profiles
from services.social.store.database import Connection
from services.social.store.visibility import openable

PLAYLISTS = f"""
    SELECT p.playlist_id FROM playlists AS p JOIN users AS o ON o.user_id = p.owner_id
    WHERE p.playlist_id = ANY ($2::uuid[]) AND {openable("$1::uuid")}
"""
JOBS = "SELECT job_id FROM jobs WHERE job_id = ANY ($2::uuid[]) AND user_id = $1::uuid"


async def playlists_seen(connection: Connection, viewer_id: UserId | None, ids: Sequence[str]) -> set[str]:
    """Return the playlists that the viewer may open."""
    return {row["playlist_id"] for row in await connection.fetch(PLAYLISTS, viewer_id, ids)}


async def jobs_seen(connection: Connection, viewer_id: UserId | None, ids: Sequence[str]) -> set[str]:
    """Return the viewer's own jobs."""
    return {row["job_id"] for row in await connection.fetch(JOBS, viewer_id, ids)}


async def notifications_seen(connection: Connection, viewer_id: UserId | None, ids: Sequence[str]) -> set[str]:
    """Return the viewer's own notifications, as far as they are shown."""
    return set() if viewer_id is None else await notifications.shown(connection, viewer_id, ids)


async def activities_seen(connection: Connection, viewer_id: UserId | None, ids: Sequence[str]) -> set[str]:
    """Return the activities that belong in the viewer's feed."""
    return {activity.activity_id for activity in await feed.seen(connection, viewer_id, ids)}


async def comments_seen(connection: Connection, viewer_id: UserId | None, ids: Sequence[str]) -> set[str]:
    """Return the comments that the viewer finds below playlists that they may open."""
    return await comments.shown(connection, viewer_id, ids)


async def people_seen(connection: Connection, viewer_id: UserId | None, ids: Sequence[str]) -> set[str]:
    """Return the people whose profile the viewer may see."""
    return {str(user_id) for user_id in await profiles.find_visible(connection, viewer_id, [UserId(i) for i in ids])}
