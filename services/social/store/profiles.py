"""Reads people as others see them, with their figures."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import asyncpg

from services.social.domain.ids import UserId
from services.social.domain.people import Counts, EarnedBadge, GenreCount, Member, Profile
from services.social.store import follows
from services.social.store.database import Connection
from services.social.store.follows import ACTIVE, MEMBER, member_of

# $1 is the viewer, NULL for a guest: oneself is always there, who blocks the viewer never.
_FOUND = f"""(
    u.user_id IS NOT DISTINCT FROM $1::uuid OR (
        {ACTIVE} AND NOT EXISTS (SELECT FROM user_blocks WHERE blocker_id = u.user_id AND blocked_id = $1::uuid)
    )
)"""
FIND = f"SELECT {MEMBER}, u.is_listed FROM users AS u WHERE u.user_id = ANY ($2::uuid[]) AND {_FOUND}"
FIND_NAME = f"SELECT {MEMBER}, u.is_listed FROM users AS u WHERE u.username_key = $2 AND {_FOUND}"
FOUND = f"SELECT u.user_id FROM users AS u WHERE u.user_id = ANY ($2::uuid[]) AND {_FOUND}"

COUNTS = """
    SELECT user_id, playlists, public_playlists, followers, following, likes_received, saves_received, likes_given,
        plays
    FROM person_counts WHERE user_id = ANY ($1::uuid[])
"""
# One statement, so that what is counted meanwhile is neither missed nor told twice.
COUNTS_NOW = """
    SELECT
        greatest(0, coalesce(c.playlists, 0) + coalesce(more.playlists, 0))::int AS playlists,
        greatest(0, coalesce(c.public_playlists, 0) + coalesce(more.public_playlists, 0))::int AS public_playlists,
        greatest(0, coalesce(c.followers, 0) + coalesce(more.followers, 0))::int AS followers,
        (SELECT count(*) FROM follows WHERE follower_id = $1)::int AS following,
        greatest(0, coalesce(c.likes_received, 0) + coalesce(more.likes, 0))::int AS likes_received,
        greatest(0, coalesce(c.saves_received, 0) + coalesce(more.saves, 0))::int AS saves_received,
        coalesce(c.likes_given, 0) AS likes_given, coalesce(c.plays, 0) AS plays
    FROM (
        SELECT
            sum(amount) FILTER (WHERE kind = 'playlist_count') AS playlists,
            sum(amount) FILTER (WHERE kind = 'public_playlist_count') AS public_playlists,
            sum(amount) FILTER (WHERE kind = 'follow') AS followers,
            sum(amount) FILTER (WHERE kind = 'like') AS likes,
            sum(amount) FILTER (WHERE kind = 'save') AS saves
        FROM signals WHERE user_id = $1
    ) AS more LEFT JOIN person_counts AS c ON c.user_id = $1
"""
LISTENED = """
    SELECT user_id, genre, sum(plays) AS count FROM daily_listening
    WHERE user_id = ANY ($1::uuid[]) GROUP BY user_id, genre HAVING sum(plays) > 0
    ORDER BY user_id, count DESC, genre
"""
# Others learn nothing of what is not public; a copy is not made. Of the newest $3, which bounds what is read.
_MADE = """
    SELECT track.genre, count(*) AS count
    FROM (
        SELECT playlist_id FROM playlists AS p
        WHERE owner_id = $1 AND {condition} AND copied_from IS NULL ORDER BY playlist_id DESC LIMIT $2
    ) AS made
    JOIN playlist_entries AS entry USING (playlist_id) JOIN tracks AS track USING (track_id)
    GROUP BY track.genre ORDER BY count DESC, track.genre
"""
MADE = _MADE.format(condition="visibility = 'PUBLIC' AND hidden_at IS NULL")
OWN_MADE = _MADE.format(condition="true")
BADGES = """
    SELECT user_id, badge, tier, earned_at FROM (
        SELECT DISTINCT ON (user_id, badge) user_id, badge, tier, earned_at FROM badges
        WHERE user_id = ANY ($1::uuid[]) ORDER BY user_id, badge, tier DESC
    ) AS highest ORDER BY user_id, earned_at DESC, badge
"""
_MOST_MADE = 100


async def find_visible(connection: Connection, viewer_id: UserId | None, user_ids: Sequence[UserId]) -> set[UserId]:
    """Return those of these people whom the viewer may see."""
    return {UserId(row["user_id"]) for row in await connection.fetch(FOUND, viewer_id, user_ids)}


async def find_profile(
    connection: Connection, viewer_id: UserId | None, *, user_id: UserId | None = None, username_key: str = ""
) -> Profile | None:
    """Return a person with all of their figures, by id or by folded name; None where the viewer may not see them.

    What is not counted yet is in it.
    """
    if user_id is not None:
        row = await connection.fetchrow(FIND, viewer_id, [user_id])
    else:
        row = await connection.fetchrow(FIND_NAME, viewer_id, username_key)
    if row is None:
        return None
    member, is_own = member_of(row), row["user_id"] == viewer_id
    [profile] = await _profiles(connection, viewer_id, [row])
    is_open = is_own or profile.is_listed
    made = await connection.fetch(OWN_MADE if is_own else MADE, member.user_id, _MOST_MADE) if is_open else []
    counts = await connection.fetchrow(COUNTS_NOW, member.user_id)
    return replace(
        profile,
        counts=profile.counts if counts is None else Counts(**counts),
        made=tuple(GenreCount(each["genre"], each["count"]) for each in made),
    )


async def find_profiles(connection: Connection, viewer_id: UserId | None, user_ids: Sequence[UserId]) -> list[Profile]:
    """Return those of these people whom the viewer may see, with figures at most a second old, and without `made`."""
    return await _profiles(connection, viewer_id, await connection.fetch(FIND, viewer_id, user_ids))


async def _profiles(connection: Connection, viewer_id: UserId | None, found: Sequence[asyncpg.Record]) -> list[Profile]:
    members: list[tuple[Member, bool]] = [(member_of(row), row["is_listed"]) for row in found]
    ids = [member.user_id for member, _ in members]
    open_ids = [member.user_id for member, is_listed in members if is_listed or member.user_id == viewer_id]
    counts = {row["user_id"]: Counts(**dict(tuple(row.items())[1:])) for row in await connection.fetch(COUNTS, ids)}
    listened: defaultdict[UserId, list[GenreCount]] = defaultdict(list)
    for row in await connection.fetch(LISTENED, open_ids):
        listened[row["user_id"]].append(GenreCount(row["genre"], row["count"]))
    badges: defaultdict[UserId, list[EarnedBadge]] = defaultdict(list)
    for row in await connection.fetch(BADGES, ids):
        badges[row["user_id"]].append(EarnedBadge(row["badge"], row["tier"], row["earned_at"]))
    others = [] if viewer_id is None else [user_id for user_id in ids if user_id != viewer_id]
    relations = {} if viewer_id is None else await follows.relations(connection, viewer_id, others)
    return [
        Profile(
            member,
            is_listed,
            counts.get(member.user_id, Counts()),
            tuple(listened[member.user_id]),
            (),
            tuple(badges[member.user_id]),
            relations.get(member.user_id),
        )
        for member, is_listed in members
    ]
