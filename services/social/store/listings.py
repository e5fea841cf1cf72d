"""Lists of playlists that everybody may see: the latest, a person's, those that a person likes."""

from datetime import UTC, datetime
from typing import NamedTuple

from services.social.domain.ids import PlaylistId, UserId
from services.social.store.database import FIRST_ID, Connection
from services.social.store.visibility import blocked, listed, openable

# $1 is the viewer, NULL for a guest.
LATEST = f"""
    SELECT p.playlist_id, p.listed_at AS at
    FROM playlists AS p JOIN users AS o ON o.user_id = p.owner_id
    WHERE {listed("$1::uuid")} AND (p.listed_at, p.playlist_id) < ($2, $3)
    ORDER BY p.listed_at DESC, p.playlist_id DESC LIMIT $4
"""
OF_PERSON = f"""
    SELECT p.playlist_id, p.created_at AS at
    FROM playlists AS p JOIN users AS o ON o.user_id = p.owner_id
    WHERE p.owner_id = $2 AND {listed("$1::uuid")} AND p.playlist_id < $3
    ORDER BY p.playlist_id DESC LIMIT $4
"""
_LIKED = """
    SELECT p.playlist_id, l.at
    FROM likes AS l JOIN playlists AS p ON p.playlist_id = l.playlist_id JOIN users AS o ON o.user_id = p.owner_id
    WHERE l.user_id = $2 AND {condition} AND l.at <= $3 AND (l.at < $3 OR l.playlist_id > $4)
    ORDER BY l.at DESC, l.playlist_id LIMIT $5
"""
LIKED = _LIKED.format(condition=listed("$1::uuid"))
# What one likes oneself, also where a link alone opens it.
OWN_LIKED = _LIKED.format(condition=f"{openable('$1::uuid')} AND NOT {blocked('p.owner_id', '$1::uuid')}")
# Behind this the list of what somebody likes begins.
FROM_NEWEST = (datetime(9999, 12, 31, tzinfo=UTC), FIRST_ID)


class Listed(NamedTuple):
    """A playlist in a list, and the time by which the list is in order."""

    playlist_id: PlaylistId
    at: datetime


async def latest(
    connection: Connection, viewer_id: UserId | None, before: tuple[datetime, str], limit: int
) -> list[Listed]:
    """Return public playlists, those made public last first, before the last one shown."""
    return [Listed(*row) for row in await connection.fetch(LATEST, viewer_id, *before, limit)]


async def of_person(
    connection: Connection, viewer_id: UserId | None, owner_id: UserId, before: str, limit: int
) -> list[Listed]:
    """Return a person's public playlists, newest first, before the last one shown."""
    return [Listed(*row) for row in await connection.fetch(OF_PERSON, viewer_id, owner_id, before, limit)]


async def liked_by(
    connection: Connection, viewer_id: UserId | None, user_id: UserId, after: tuple[datetime, str], limit: int
) -> list[Listed]:
    """Return what a person likes, liked last first, after the last one shown."""
    statement = OWN_LIKED if viewer_id == user_id else LIKED
    return [Listed(*row) for row in await connection.fetch(statement, viewer_id, user_id, *after, limit)]
