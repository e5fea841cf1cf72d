"""Reads feeds: gathered from what people did when somebody looks (fan-out on read), newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.social.domain.activities import ActivityKind
from services.social.domain.ids import UserId
from services.social.store import follows
from services.social.store.database import Connection
from services.social.store.visibility import blocked, listed

# A look at the newest of each person: right for any number of them. Only the $3 people who did something last can have
# done what is among the newest $3, so of no more is read more than one row.
OF_EACH = """
    WITH last AS MATERIALIZED (
        SELECT followee_id AS actor_id, (
            SELECT activity_id FROM activities
            WHERE actor_id = followee_id AND activity_id < $2 ORDER BY activity_id DESC LIMIT 1
        ) AS activity_id
        FROM follows WHERE follower_id = $1
    ), people AS MATERIALIZED (
        SELECT actor_id FROM last WHERE activity_id IS NOT NULL ORDER BY activity_id DESC LIMIT $3
    )
    SELECT newest.activity_id
    FROM people CROSS JOIN LATERAL (
        SELECT activity_id FROM activities
        WHERE actor_id = people.actor_id AND activity_id < $2 ORDER BY activity_id DESC LIMIT $3
    ) AS newest
    ORDER BY newest.activity_id DESC LIMIT $3
"""

# The newest of everybody, of whom many are followed: no more rows than fill the page, and at most $4. IS TRUE keeps the
# planner from a join with whom somebody follows, whom it takes for few: they are read once, into a hash table.
OF_ALL = """
    SELECT activity_id
    FROM (
        SELECT activity_id, actor_id FROM activities WHERE activity_id < $2 ORDER BY activity_id DESC LIMIT $4
    ) AS walked
    WHERE (actor_id IN (SELECT followee_id FROM follows WHERE follower_id = $1)) IS TRUE
    ORDER BY activity_id DESC LIMIT $3
"""

_IS_ACTIVE = "{0}.suspended_at IS NULL AND {0}.deleted_at IS NULL"
# What is undone, gone or out of sight is not told; the feed is of those whom the viewer follows now. Joins, where
# EXISTS would have a planner read the whole of a table once instead of a row for each; and a value where it would join
# with all whom somebody follows, whom it takes for few.
SEEN = f"""
    WITH a AS MATERIALIZED (
        SELECT * FROM activities
        WHERE activity_id = ANY ($2::uuid[])
            AND (SELECT true FROM follows WHERE follower_id = $1::uuid AND followee_id = activities.actor_id)
    )
    SELECT a.activity_id, a.kind, a.actor_id, a.playlist_id, a.user_id, a.comment_id, a.at
    FROM a
    JOIN users AS actor ON actor.user_id = a.actor_id
    LEFT JOIN playlists AS p ON p.playlist_id = a.playlist_id
    LEFT JOIN users AS o ON o.user_id = p.owner_id
    LEFT JOIN users AS other ON other.user_id = a.user_id
    LEFT JOIN follows AS theirs ON theirs.follower_id = a.actor_id AND theirs.followee_id = a.user_id
    LEFT JOIN likes AS l ON l.user_id = a.actor_id AND l.playlist_id = a.playlist_id
    LEFT JOIN comments AS c ON c.comment_id = a.comment_id
    WHERE {_IS_ACTIVE.format("actor")} AND NOT {blocked("a.actor_id", "$1::uuid")}
        AND CASE a.kind
            WHEN 'FOLLOWED' THEN theirs.at IS NOT NULL AND {_IS_ACTIVE.format("other")}
                AND NOT {blocked("a.user_id", "$1::uuid")}
            WHEN 'LIKED' THEN l.at IS NOT NULL AND {listed("$1::uuid")}
            WHEN 'COMMENTED' THEN c.comment_id IS NOT NULL AND c.deleted_at IS NULL AND c.hidden_at IS NULL
                AND {listed("$1::uuid")}
            ELSE {listed("$1::uuid")}
        END
    ORDER BY a.activity_id DESC
"""


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that somebody did; ids that say nothing for its kind are None."""

    activity_id: str
    kind: ActivityKind
    actor_id: UserId
    playlist_id: str | None
    user_id: UserId | None
    comment_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class FeedPlan:
    """How a feed is gathered.

    Attributes:
        few: So many people are looked at one by one.
        walk: So many of everybody's activities are looked through first where more are followed.
        rounds: How often a page is filled up for those that are out of sight.
        more: So many activities are looked at in each round after the first, which looks at one page.
    """

    few: int = 500
    walk: int = 20_000
    rounds: int = 3
    more: int = 200


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Activities, and the last one that was looked at; None where there are no more."""

    items: list[Activity]
    last_id: str | None


async def read_feed(
    connection: Connection, viewer_id: UserId, before: str, size: int, plan: FeedPlan | None = None
) -> FeedPage:
    """Return a page of somebody's feed, newest first.

    A page goes on behind the last activity that was looked at, shown or not: pages may be short, and nothing that was
    there when the first of them was read is left out or comes twice.

    Args:
        connection: To the truth.
        viewer_id: Whose feed.
        before: Id of the last activity that was looked at; LAST_ID starts.
        size: Most activities.
        plan: How it is gathered; the usual way if None.
    """
    way = plan or FeedPlan()
    is_many = await follows.count_followed(connection, viewer_id, way.few + 1) > way.few
    items: list[Activity] = []
    wanted = size
    for _ in range(way.rounds):
        ids = await _gather(connection, viewer_id, before, wanted, way.walk if is_many else None)
        items += await seen(connection, viewer_id, ids)
        if len(items) > size:
            return FeedPage(items[:size], items[size - 1].activity_id)
        if len(ids) < wanted:
            return FeedPage(items, None)
        before, wanted = ids[-1], way.more
        if len(items) == size:
            break
    return FeedPage(items, before)


async def seen(connection: Connection, viewer_id: UserId | None, activity_ids: Sequence[str]) -> list[Activity]:
    """Return those of these activities that belong in somebody's feed now, newest first; none for a guest."""
    if not activity_ids:
        return []
    return [_activity(row) for row in await connection.fetch(SEEN, viewer_id, activity_ids)]


async def _gather(connection: Connection, viewer_id: UserId, before: str, limit: int, walk: int | None) -> list[str]:
    """Return the newest activities of those who are followed, seen or not; fewer than `limit` where that is all."""
    if walk is not None:
        rows = await connection.fetch(OF_ALL, viewer_id, before, limit, walk)
        if len(rows) == limit:
            return [row["activity_id"] for row in rows]
    return [row["activity_id"] for row in await connection.fetch(OF_EACH, viewer_id, before, limit)]


def _activity(row: asyncpg.Record) -> Activity:
    return Activity(
        row["activity_id"],
        ActivityKind(row["kind"]),
        UserId(row["actor_id"]),
        row["playlist_id"],
        row["user_id"],
        row["comment_id"],
        row["at"],
    )
