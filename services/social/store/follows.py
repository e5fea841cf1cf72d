"""Rows of who follows whom, and who blocks whom."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from services.social.domain.ids import UserId
from services.social.domain.people import Edge, Member, Relation
from services.social.domain.signals import SignalKind
from services.social.errors.sessions import SessionEnded
from services.social.store import signals
from services.social.store.database import Connection
from services.social.store.visibility import blocked

MEMBER = "u.user_id, u.username, u.nickname, u.created_at"
ACTIVE = "u.suspended_at IS NULL AND u.deleted_at IS NULL"

# In the order of ids, as whoever locks two people does.
LOCK_PEOPLE = """
    SELECT user_id, suspended_at IS NULL AND deleted_at IS NULL AS is_active, deleted_at IS NULL AS is_there
    FROM users WHERE user_id = ANY ($1::uuid[]) ORDER BY user_id FOR NO KEY UPDATE
"""
RELATIONS = """
    SELECT other.user_id,
        EXISTS (SELECT FROM follows WHERE follower_id = $1 AND followee_id = other.user_id) AS is_following,
        EXISTS (SELECT FROM follows WHERE follower_id = other.user_id AND followee_id = $1) AS is_follower,
        EXISTS (SELECT FROM user_blocks WHERE blocker_id = $1 AND blocked_id = other.user_id) AS is_blocked
    FROM unnest($2::uuid[]) AS other (user_id)
"""
BLOCKS_BETWEEN = """
    SELECT EXISTS (SELECT FROM user_blocks WHERE blocker_id = $1 AND blocked_id = $2) AS by_first,
        EXISTS (SELECT FROM user_blocks WHERE blocker_id = $2 AND blocked_id = $1) AS by_second
"""
FOLLOWED_IDS = "SELECT followee_id FROM follows WHERE follower_id = $1 LIMIT $2"
# Bounded by what is allowed, not by what is there.
COUNT_FOLLOWED = "SELECT count(*) FROM (SELECT FROM follows WHERE follower_id = $1 LIMIT $2) AS followed"
COUNT_BLOCKED = "SELECT count(*) FROM (SELECT FROM user_blocks WHERE blocker_id = $1 LIMIT $2) AS blocked"
INSERT_FOLLOW = "INSERT INTO follows (follower_id, followee_id, at) VALUES ($1, $2, $3)"
DELETE_FOLLOW = "DELETE FROM follows WHERE follower_id = $1 AND followee_id = $2 RETURNING at"
INSERT_BLOCK = "INSERT INTO user_blocks (blocker_id, blocked_id, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
DELETE_BLOCK = "DELETE FROM user_blocks WHERE blocker_id = $1 AND blocked_id = $2 RETURNING at"

# $1 whose, $2 the viewer, $3 and $4 the last one shown.
FOLLOWERS = f"""
    SELECT {MEMBER}, f.at FROM follows AS f JOIN users AS u ON u.user_id = f.follower_id
    WHERE f.followee_id = $1 AND {ACTIVE} AND NOT {blocked("u.user_id", "$2::uuid")}
        AND f.at <= $3 AND (f.at < $3 OR f.follower_id > $4)
    ORDER BY f.at DESC, f.follower_id LIMIT $5
"""
FOLLOWING = f"""
    SELECT {MEMBER}, f.at FROM follows AS f JOIN users AS u ON u.user_id = f.followee_id
    WHERE f.follower_id = $1 AND {ACTIVE} AND NOT {blocked("u.user_id", "$2::uuid")}
        AND f.at <= $3 AND (f.at < $3 OR f.followee_id > $4)
    ORDER BY f.at DESC, f.followee_id LIMIT $5
"""
# First pages of several people: $1 whose, $2 the viewer.
_FIRST_OF_EACH = """
    SELECT wanted.whose, edge.* FROM unnest($1::uuid[]) AS wanted (whose) CROSS JOIN LATERAL (
        SELECT {member}, f.at FROM follows AS f JOIN users AS u ON u.user_id = f.{shown}
        WHERE f.{whose} = wanted.whose AND {condition} ORDER BY f.at DESC, f.{shown} LIMIT $3
    ) AS edge ORDER BY wanted.whose, edge.at DESC, edge.user_id
"""
_SEEN = f"{ACTIVE} AND NOT {blocked('u.user_id', '$2::uuid')}"
FOLLOWERS_OF_EACH = _FIRST_OF_EACH.format(member=MEMBER, shown="follower_id", whose="followee_id", condition=_SEEN)
FOLLOWING_OF_EACH = _FIRST_OF_EACH.format(member=MEMBER, shown="followee_id", whose="follower_id", condition=_SEEN)
BLOCKED = f"""
    SELECT {MEMBER}, b.at FROM user_blocks AS b JOIN users AS u ON u.user_id = b.blocked_id
    WHERE b.blocker_id = $1 AND u.deleted_at IS NULL AND b.at <= $2 AND (b.at < $2 OR b.blocked_id > $3)
    ORDER BY b.at DESC, b.blocked_id LIMIT $4
"""


class BlocksBetween(NamedTuple):
    """Who of two people blocks the other."""

    by_first: bool
    by_second: bool


async def lock_two(connection: Connection, user_id: UserId, other_id: UserId) -> asyncpg.Record | None:
    """Let nobody else change what a person who acts and another are to each other.

    Returns:
        `is_active` and `is_there` of the other.

    Raises:
        SessionEnded: Who acts has left, is suspended, or is not known here.
    """
    rows = {row["user_id"]: row for row in await connection.fetch(LOCK_PEOPLE, [user_id, other_id])}
    if user_id not in rows or not rows[user_id]["is_active"]:
        raise SessionEnded
    return rows.get(other_id)


async def relations(connection: Connection, viewer_id: UserId, others: Sequence[UserId]) -> dict[UserId, Relation]:
    """Return what a person and others are to each other."""
    return {
        UserId(row["user_id"]): Relation(row["is_following"], row["is_follower"], row["is_blocked"])
        for row in await connection.fetch(RELATIONS, viewer_id, others)
    }


async def blocks_between(connection: Connection, first_id: UserId, second_id: UserId) -> BlocksBetween:
    """Say which of two people blocks the other."""
    row = await connection.fetchrow(BLOCKS_BETWEEN, first_id, second_id)
    assert row is not None, "it has no FROM"
    return BlocksBetween(*row)


async def count_followed(connection: Connection, user_id: UserId, most: int) -> int:
    """Return how many people somebody follows, at most `most`."""
    return int(await connection.fetchval(COUNT_FOLLOWED, user_id, most))


async def followed_ids(connection: Connection, user_id: UserId, most: int) -> list[str]:
    """Return all whom somebody follows, at most `most`, seen or not."""
    return [row["followee_id"] for row in await connection.fetch(FOLLOWED_IDS, user_id, most)]


async def count_blocked(connection: Connection, user_id: UserId, most: int) -> int:
    """Return how many people somebody blocks, at most `most`."""
    return int(await connection.fetchval(COUNT_BLOCKED, user_id, most))


async def insert_follow(connection: Connection, follower_id: UserId, followee_id: UserId, now: datetime) -> None:
    """Begin to follow somebody who is not followed yet."""
    await connection.execute(INSERT_FOLLOW, follower_id, followee_id, now)


async def delete_follow(connection: Connection, follower_id: UserId, followee_id: UserId) -> datetime | None:
    """Follow somebody no more; return since when that was, None where it was not."""
    at: datetime | None = await connection.fetchval(DELETE_FOLLOW, follower_id, followee_id)
    return at


async def insert_block(connection: Connection, blocker_id: UserId, blocked_id: UserId, now: datetime) -> None:
    """Block somebody; whom one blocks already stays so."""
    await connection.execute(INSERT_BLOCK, blocker_id, blocked_id, now)


async def delete_block(connection: Connection, blocker_id: UserId, blocked_id: UserId) -> None:
    """Block somebody no more."""
    await connection.execute(DELETE_BLOCK, blocker_id, blocked_id)


async def followers(
    connection: Connection, user_id: UserId, viewer_id: UserId | None, after: tuple[datetime, str], limit: int
) -> list[Edge]:
    """Return who follows a person, newest first, after the last one shown."""
    return [_edge(row) for row in await connection.fetch(FOLLOWERS, user_id, viewer_id, *after, limit)]


async def following(
    connection: Connection, user_id: UserId, viewer_id: UserId | None, after: tuple[datetime, str], limit: int
) -> list[Edge]:
    """Return whom a person follows, newest first, after the last one shown."""
    return [_edge(row) for row in await connection.fetch(FOLLOWING, user_id, viewer_id, *after, limit)]


async def followers_of_each(
    connection: Connection, user_ids: Sequence[UserId], viewer_id: UserId | None, limit: int
) -> dict[UserId, list[Edge]]:
    """Return who follows each of these people, newest first."""
    return _by_whose(await connection.fetch(FOLLOWERS_OF_EACH, user_ids, viewer_id, limit))


async def following_of_each(
    connection: Connection, user_ids: Sequence[UserId], viewer_id: UserId | None, limit: int
) -> dict[UserId, list[Edge]]:
    """Return whom each of these people follows, newest first."""
    return _by_whose(await connection.fetch(FOLLOWING_OF_EACH, user_ids, viewer_id, limit))


async def blocked_by(connection: Connection, user_id: UserId, after: tuple[datetime, str], limit: int) -> list[Edge]:
    """Return whom a person blocks, newest first, after the last one shown."""
    return [_edge(row) for row in await connection.fetch(BLOCKED, user_id, *after, limit)]


async def signal_follow(
    connection: Connection, follower_id: UserId, followee_id: UserId, at: datetime, amount: int
) -> None:
    """Tell the counts that somebody follows another, or with −1 that it ended, which began at `at`."""
    await signals.add(connection, SignalKind.FOLLOW, at, actor_id=follower_id, user_id=followee_id, amount=amount)


def member_of(row: asyncpg.Record) -> Member:
    """Read the columns of MEMBER."""
    return Member(UserId(row["user_id"]), row["username"], row["nickname"], row["created_at"])


def _by_whose(rows: Sequence[asyncpg.Record]) -> dict[UserId, list[Edge]]:
    found: defaultdict[UserId, list[Edge]] = defaultdict(list)
    for row in rows:
        found[UserId(row["whose"])].append(_edge(row))
    return found


def _edge(row: asyncpg.Record) -> Edge:
    return Edge(member_of(row), row["at"])
