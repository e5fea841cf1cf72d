"""Every read of people, feeds, notifications and trends has an index for it, whatever its parameters."""

from services.social.store import (
    activities,
    comments,
    feed,
    follows,
    listings,
    notifications,
    profiles,
    trending,
    views,
)
from tests.integration.social.conftest import Sql
from tests.integration.social.test_playlist_plans import plan_of

STATEMENTS = {
    "feed of each": feed.OF_EACH,
    "feed of all": feed.OF_ALL,
    "feed, seen": feed.SEEN,
    "old activities": activities.DELETE_OLD,
    "notify": activities.NOTIFY,
    "lock people": follows.LOCK_PEOPLE,
    "relations": follows.RELATIONS,
    "blocks between": follows.BLOCKS_BETWEEN,
    "count followed": follows.COUNT_FOLLOWED,
    "count blocked": follows.COUNT_BLOCKED,
    "unfollow": follows.DELETE_FOLLOW,
    "unblock": follows.DELETE_BLOCK,
    "followers": follows.FOLLOWERS,
    "following": follows.FOLLOWING,
    "followers of each": follows.FOLLOWERS_OF_EACH,
    "following of each": follows.FOLLOWING_OF_EACH,
    "blocked": follows.BLOCKED,
    "notifications": notifications.ALL,
    "unread": notifications.UNREAD,
    "count unread": notifications.COUNT_UNREAD,
    "shown": notifications.SHOWN,
    "mark": notifications.MARK_READ,
    "mark up to": notifications.MARK_READ_UP_TO,
    "old notifications": notifications.DELETE_OLD,
    "people": profiles.FIND,
    "by name": profiles.FIND_NAME,
    "visible people": profiles.FOUND,
    "counts": profiles.COUNTS,
    "counts now": profiles.COUNTS_NOW,
    "listened": profiles.LISTENED,
    "made": profiles.MADE,
    "own made": profiles.OWN_MADE,
    "badges": profiles.BADGES,
    "latest": listings.LATEST,
    "of person": listings.OF_PERSON,
    "liked": listings.LIKED,
    "own liked": listings.OWN_LIKED,
    "a ranking": trending.GENERATION,
    "ranks": trending.RANKS,
    "make ranks": trending.INSERT_RANKS,
    "cold": trending.DELETE_COLD,
    "playlists seen": views.PLAYLISTS,
    "jobs seen": views.JOBS,
    "comments seen": comments.SHOWN,
}
# What bounds a page must bound the index, and not be looked at row by row.
BOUNDS = {
    "feed of all": "(activity_id < $2)",
    "followers": "(followee_id = $1) AND (at <= $3)",
    "following": "(follower_id = $1) AND (at <= $3)",
    "blocked": "(blocker_id = $1) AND (at <= $2)",
    "notifications": "(user_id = $1) AND (notification_id < $2)",
    "unread": "(user_id = $1) AND (notification_id < $2)",
    "latest": "(ROW(listed_at, playlist_id) < ROW($2, $3))",
    "of person": "(owner_id = $2) AND (playlist_id < $3)",
    "liked": "(user_id = $2) AND (at <= $3)",
    "own liked": "(user_id = $2) AND (at <= $3)",
    "ranks": "(generation = $2) AND (rank > $3)",
}


async def test_plans_scan_no_table_and_pages_begin_where_the_index_does(database_url: str, sql: Sql) -> None:
    await sql.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
    for name, statement in STATEMENTS.items():
        plan = await plan_of(sql, statement)
        assert [line for line in plan.splitlines() if "Seq Scan" in line] == [], (name, plan)
    await sql.execute("SET enable_bitmapscan = off; SET enable_sort = off")
    for name, bound in BOUNDS.items():
        plan = await plan_of(sql, STATEMENTS[name])
        assert len([line for line in plan.splitlines() if "Index Cond" in line and bound in line]) == 1, (name, plan)


async def test_plans_hold_where_many_block_many(database_url: str, sql: Sql) -> None:
    await sql.execute(
        "INSERT INTO users (user_id, username, username_key, nickname, email, email_key, role, password_hash,"
        " created_at, updated_at) SELECT uuidv7(), n, n, n, n, n, 'user', '', now(), now()"
        " FROM generate_series(1, 20000) AS n"
    )
    await sql.execute(
        "WITH people AS (SELECT user_id, row_number() OVER () AS n FROM users)"
        " INSERT INTO user_blocks (blocker_id, blocked_id, at) SELECT one.user_id, other.user_id, now()"
        " FROM people AS one JOIN people AS other ON other.n BETWEEN one.n + 1 AND one.n + 3"
    )
    await sql.execute("ANALYZE; SET plan_cache_mode = force_generic_plan")
    for name, statement in STATEMENTS.items():
        plan = await plan_of(sql, statement)
        assert [line for line in plan.splitlines() if "Seq Scan on user_blocks" in line] == [], (name, plan)
