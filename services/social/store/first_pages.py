"""First pages of lists of many playlists or people at once, each read with one item more than is shown."""

from collections.abc import Sequence

from services.social.domain.accounts import Person, Role
from services.social.domain.comments import Comment
from services.social.domain.ids import EntryId, PlaylistId, TrackId, UserId
from services.social.domain.playlists import Entry
from services.social.store.comments import COMMENT, shown_condition
from services.social.store.database import Connection
from services.social.store.engagement import Liker
from services.social.store.listings import FROM_NEWEST, Listed, liked_by
from services.social.store.visibility import blocked, listed, openable

OPENABLE = f"""
SELECT p.playlist_id FROM playlists AS p JOIN users AS o ON o.user_id = p.owner_id
WHERE p.playlist_id = ANY ($2::uuid[]) AND {openable("$1::uuid")}
"""
ENTRIES = """
SELECT given.id, e.* FROM unnest($1::uuid[]) AS given (id) CROSS JOIN LATERAL (
    SELECT entry_id, track_id, position, is_seed, similarity, shared_tags, added_by, nearest_seed, quantile,
        seed_similarities
    FROM playlist_entries WHERE playlist_id = given.id ORDER BY position OFFSET $2 LIMIT $3
) AS e ORDER BY e.position
"""
COMMENTS = f"""
SELECT c.* FROM unnest($1::uuid[]) AS given (id) CROSS JOIN LATERAL (
    SELECT {COMMENT} FROM comments AS c LEFT JOIN users AS u USING (user_id)
    WHERE c.playlist_id = given.id AND {shown_condition("$2::uuid", "$3")} ORDER BY c.comment_id DESC LIMIT $4
) AS c ORDER BY c.comment_id DESC
"""
LIKERS = f"""
SELECT l.* FROM unnest($1::uuid[]) AS given (id) CROSS JOIN LATERAL (
    SELECT l.playlist_id, u.user_id, u.username, u.nickname, u.email, u.role, u.created_at, l.at
    FROM likes AS l JOIN users AS u USING (user_id)
    WHERE l.playlist_id = given.id
        AND u.suspended_at IS NULL AND u.deleted_at IS NULL AND NOT {blocked("l.user_id", "$2::uuid")}
    ORDER BY l.at DESC, l.user_id LIMIT $3
) AS l ORDER BY l.at DESC, l.user_id
"""
OF_PEOPLE = f"""
SELECT l.* FROM unnest($2::uuid[]) AS given (id) CROSS JOIN LATERAL (
    SELECT p.owner_id, p.playlist_id FROM playlists AS p JOIN users AS o ON o.user_id = p.owner_id
    WHERE p.owner_id = given.id AND {listed("$1::uuid")} ORDER BY p.playlist_id DESC LIMIT $3
) AS l ORDER BY l.playlist_id DESC
"""
# What somebody likes themselves is listed by `listings.liked_by`, which shows them more.
LIKED_BY_PEOPLE = f"""
SELECT given.id, l.* FROM unnest($2::uuid[]) AS given (id) CROSS JOIN LATERAL (
    SELECT p.playlist_id, l.at
    FROM likes AS l JOIN playlists AS p ON p.playlist_id = l.playlist_id JOIN users AS o ON o.user_id = p.owner_id
    WHERE l.user_id = given.id AND {listed("$1::uuid")} ORDER BY l.at DESC, l.playlist_id LIMIT $3
) AS l ORDER BY l.at DESC, l.playlist_id
"""


async def openable_among(
    connection: Connection, viewer_id: UserId | None, playlist_ids: Sequence[PlaylistId]
) -> list[PlaylistId]:
    """Return those of these playlists that somebody, or a guest, may open."""
    return [PlaylistId(row["playlist_id"]) for row in await connection.fetch(OPENABLE, viewer_id, playlist_ids)]


async def entries_of_each(
    connection: Connection, playlist_ids: Sequence[PlaylistId], offset: int, limit: int
) -> dict[PlaylistId, list[Entry]]:
    """Return the entries of each playlist from a position on, in playing order."""
    found: dict[PlaylistId, list[Entry]] = {one: [] for one in playlist_ids}
    for row in await connection.fetch(ENTRIES, playlist_ids, offset, limit):
        entry = Entry(EntryId(row["entry_id"]), TrackId(row["track_id"]), *tuple(row)[3:])
        found[PlaylistId(row["id"])].append(entry)
    return found


async def comments_of_each(
    connection: Connection, playlist_ids: Sequence[PlaylistId], viewer_id: UserId | None, is_admin: bool, limit: int
) -> dict[PlaylistId, list[Comment]]:
    """Return what was said of each playlist, newest first, as somebody who may open them all sees it."""
    found: dict[PlaylistId, list[Comment]] = {one: [] for one in playlist_ids}
    for row in await connection.fetch(COMMENTS, playlist_ids, viewer_id, is_admin, limit):
        comment = Comment(**row)
        found[comment.playlist_id].append(comment)
    return found


async def likers_of_each(
    connection: Connection, playlist_ids: Sequence[PlaylistId], viewer_id: UserId | None, limit: int
) -> dict[PlaylistId, list[Liker]]:
    """Return who likes each playlist, newest first, as somebody who may open them all sees it."""
    found: dict[PlaylistId, list[Liker]] = {one: [] for one in playlist_ids}
    for row in await connection.fetch(LIKERS, playlist_ids, viewer_id, limit):
        person = Person(UserId(row[1]), row[2], row[3], row[4], Role(row[5]), row[6])
        found[PlaylistId(row[0])].append(Liker(person, row[7]))
    return found


async def playlists_of_each(
    connection: Connection, viewer_id: UserId | None, owner_ids: Sequence[UserId], limit: int
) -> dict[UserId, list[PlaylistId]]:
    """Return the public playlists of each person, newest first."""
    found: dict[UserId, list[PlaylistId]] = {one: [] for one in owner_ids}
    for row in await connection.fetch(OF_PEOPLE, viewer_id, owner_ids, limit):
        found[UserId(row["owner_id"])].append(PlaylistId(row["playlist_id"]))
    return found


async def liked_by_each(
    connection: Connection, viewer_id: UserId | None, user_ids: Sequence[UserId], limit: int
) -> dict[UserId, list[Listed]]:
    """Return what each person likes, liked last first, as somebody sees it."""
    found: dict[UserId, list[Listed]] = {one: [] for one in user_ids}
    others = [one for one in user_ids if one != viewer_id]
    for row in await connection.fetch(LIKED_BY_PEOPLE, viewer_id, others, limit):
        found[UserId(row["id"])].append(Listed(PlaylistId(row["playlist_id"]), row["at"]))
    if viewer_id is not None and viewer_id in found:
        found[viewer_id] = await liked_by(connection, viewer_id, viewer_id, FROM_NEWEST, limit)
    return found
