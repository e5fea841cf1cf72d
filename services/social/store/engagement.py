"""Rows of likes, of saves, and who is in whose way."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.social.domain.accounts import Person, Role
from services.social.domain.ids import PlaylistId, UserId
from services.social.domain.playlists import Playlist
from services.social.domain.visibility import may_act, thing_of
from services.social.errors import PlaylistNotFound
from services.social.errors.people import UserBlocked
from services.social.store import follows
from services.social.store.database import Connection
from services.social.store.visibility import blocked

LIKED_AMONG = "SELECT playlist_id FROM likes WHERE user_id = $1 AND playlist_id = ANY ($2::uuid[])"
INSERT_LIKE = """
INSERT INTO likes (user_id, playlist_id, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING user_id
"""
DELETE_LIKE = "DELETE FROM likes WHERE user_id = $1 AND playlist_id = $2 RETURNING at"
# Those who are suspended or have left, and those whom a block keeps apart from the viewer, are not shown.
SELECT_LIKERS = f"""
SELECT u.user_id, u.username, u.nickname, u.email, u.role, u.created_at, l.at
FROM likes AS l JOIN users AS u USING (user_id)
WHERE l.playlist_id = $1
    AND l.at <= coalesce($2, 'infinity'::timestamptz) AND ($2 IS NULL OR l.at < $2 OR l.user_id > $3::uuid)
    AND u.suspended_at IS NULL AND u.deleted_at IS NULL AND NOT {blocked("l.user_id", "$5::uuid")}
ORDER BY l.at DESC, l.user_id LIMIT $4
"""
SELECT_COPY = """
SELECT s.copy_id FROM saves AS s JOIN playlists AS p ON p.playlist_id = s.copy_id
WHERE s.user_id = $1 AND s.playlist_id = $2 AND p.owner_id = $1
"""
# Says whether it is the first copy: a row that an update made has been there before.
SAVE = """
INSERT INTO saves AS s (user_id, playlist_id, copy_id, at) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id, playlist_id) DO UPDATE SET copy_id = excluded.copy_id
RETURNING s.xmax = 0
"""


@dataclass(frozen=True, slots=True)
class Liker:
    """Somebody who likes a playlist, and since when."""

    person: Person
    at: datetime


async def must_may_act(connection: Connection, playlist: Playlist, user_id: UserId) -> None:
    """Check that somebody may do something about a playlist that they may open.

    Raises:
        UserBlocked: They block its owner.
        PlaylistNotFound: Its owner blocks them, of which they are not told.
    """
    between = await follows.blocks_between(connection, user_id, playlist.owner_id)
    if between.by_first:
        raise UserBlocked(playlist.playlist_id, "playlist_id")
    if not may_act(thing_of(playlist), user_id, is_block_between=between.by_second):
        raise PlaylistNotFound(playlist.playlist_id)


async def liked_among(
    connection: Connection, user_id: UserId | None, playlist_ids: Sequence[PlaylistId]
) -> set[PlaylistId]:
    """Return which of these playlists somebody likes; none for a guest."""
    if user_id is None:
        return set()
    return {PlaylistId(row["playlist_id"]) for row in await connection.fetch(LIKED_AMONG, user_id, playlist_ids)}


async def insert_like(connection: Connection, user_id: UserId, playlist_id: PlaylistId, now: datetime) -> bool:
    """Add a like; say whether there was none."""
    return await connection.fetchval(INSERT_LIKE, user_id, playlist_id, now) is not None


async def delete_like(connection: Connection, user_id: UserId, playlist_id: PlaylistId) -> datetime | None:
    """Take a like away; return when it had been given, None where there was none."""
    found: datetime | None = await connection.fetchval(DELETE_LIKE, user_id, playlist_id)
    return found


async def likers_of(
    connection: Connection,
    playlist_id: PlaylistId,
    viewer_id: UserId | None,
    after: tuple[datetime, UserId] | None,
    limit: int,
) -> list[Liker]:
    """Return who likes a playlist, newest first, those after this one, as somebody sees it."""
    at, user_id = after or (None, None)
    rows = await connection.fetch(SELECT_LIKERS, playlist_id, at, user_id, limit, viewer_id)
    return [Liker(Person(UserId(row[0]), row[1], row[2], row[3], Role(row[4]), row[5]), row[6]) for row in rows]


async def find_copy(connection: Connection, user_id: UserId, playlist_id: PlaylistId) -> PlaylistId | None:
    """Return this person's copy of a playlist, None where they saved none or deleted it."""
    found = await connection.fetchval(SELECT_COPY, user_id, playlist_id)
    return None if found is None else PlaylistId(found)


async def save(
    connection: Connection, user_id: UserId, playlist_id: PlaylistId, copy_id: PlaylistId, now: datetime
) -> bool:
    """Note a copy; say whether it is this person's first of the playlist."""
    return bool(await connection.fetchval(SAVE, user_id, playlist_id, copy_id, now))
