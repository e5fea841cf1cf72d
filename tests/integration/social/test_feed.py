import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from museed.social.v1 import feed_pb2
from services.chassis.errors import InvalidArgument, Unauthenticated
from services.social.domain.activities import ActivityKind, first_id_of
from services.social.domain.ids import PlaylistId, UserId
from services.social.store import activities
from services.social.store.database import LAST_ID, Database
from services.social.store.feed import OF_ALL, OF_EACH, FeedPlan, read_feed
from services.social.wiring.people import forgetting
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql
from tests.integration.social.people_steps import NOW, feeds, follow_in_tables, like, make_person, show
from tests.integration.social.test_people import make_people

# The same feed gathered in every way: one by one, by walking through all, and by a walk that is soon over.
PLANS = [
    FeedPlan(),
    FeedPlan(more=2),
    FeedPlan(few=0),
    FeedPlan(few=0, walk=3),
    FeedPlan(few=0, walk=3, rounds=1),
]


async def pages(database: Database, viewer: str, size: int, plan: FeedPlan) -> list[str]:
    """The whole feed, page by page."""
    found, before = list[str](), LAST_ID
    while True:
        async with database.connection() as connection:
            page = await read_feed(connection, UserId(viewer), before, size, plan)
        assert len(page.items) <= size
        found += [one.activity_id for one in page.items]
        if page.last_id is None:
            return found
        before = page.last_id


@dataclass
class Scene:
    """A viewer, those whom they follow and those whom they do not, playlists in and out of sight."""

    database: Database
    sql: Sql
    viewer: str
    actors: list[str] = field(default_factory=list)
    playlists: list[PlaylistId] = field(default_factory=list)

    async def act(self, actor: int, playlist: int) -> None:
        async with self.database.transaction() as connection:
            await activities.record(
                connection,
                ActivityKind.SAVED,
                UserId(self.actors[actor]),
                NOW,
                playlist_id=self.playlists[playlist],
                comment_id=str(first_id_of(NOW + timedelta(seconds=await self.count()))),
            )

    async def count(self) -> int:
        return int(await self.sql.fetchval("SELECT count(*) FROM activities"))

    async def oracle(self) -> list[str]:
        """Newest first, of followed people 0 to 3, of whom 3 is suspended, about playlists 0 and 1."""
        rows = await self.sql.fetch(
            "SELECT activity_id, actor_id, playlist_id FROM activities ORDER BY activity_id DESC"
        )
        return [
            str(row["activity_id"])
            for row in rows
            if str(row["actor_id"]) in self.actors[:3] and str(row["playlist_id"]) in self.playlists[:2]
        ]


async def make_scene(database: Database, sql: Sql) -> Scene:
    scene = Scene(database, sql, await make_person(sql, "viewer"))
    owner, hidden = await make_person(sql, "owner"), await make_person(sql, "hidden")
    for number in range(5):
        scene.actors.append(await make_person(sql, f"actor{number}"))
        if number < 4:
            await follow_in_tables(sql, scene.viewer, scene.actors[number])
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = ANY($1)", [scene.actors[3], hidden])
    scene.playlists = [await show(sql, owner), await show(sql, owner), await show(sql, owner), await show(sql, hidden)]
    await sql.execute("UPDATE playlists SET visibility = 'UNLISTED' WHERE playlist_id = $1", scene.playlists[2])
    await sql.execute("DELETE FROM activities")
    return scene


steps = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=12)


async def test_pages_together_are_the_feed_whatever_is_added_meanwhile(database: Database, sql: Sql) -> None:
    scene = await make_scene(database, sql)
    runner = asyncio.get_running_loop()

    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps, st.lists(steps, max_size=4), st.integers(1, 5), st.sampled_from(PLANS))
    def check(before: list[tuple[int, int]], meanwhile: list[list[tuple[int, int]]], size: int, plan: FeedPlan) -> None:
        asyncio.run_coroutine_threadsafe(run(before, meanwhile, size, plan), runner).result(30)

    async def run(
        before: list[tuple[int, int]], meanwhile: list[list[tuple[int, int]]], size: int, plan: FeedPlan
    ) -> None:
        await sql.execute("DELETE FROM activities")
        for step in before:
            await scene.act(*step)
        expected, found, cursor, more = await scene.oracle(), list[str](), LAST_ID, list(meanwhile)
        while True:
            async with database.connection() as connection:
                page = await read_feed(connection, UserId(scene.viewer), cursor, size, plan)
            found += [one.activity_id for one in page.items]
            if page.last_id is None:
                break
            cursor = page.last_id
            for step in more.pop() if more else []:
                await scene.act(*step)
        assert found == expected
        assert await pages(database, scene.viewer, size, plan) == await scene.oracle()

    await asyncio.to_thread(check)


async def test_feed_of_five_thousand_is_the_same_in_every_way(database: Database, sql: Sql) -> None:
    viewer = await make_person(sql, "viewer")
    many = await make_people(sql, 5_001)
    await sql.execute(
        "INSERT INTO follows (follower_id, followee_id, at) SELECT $1, id, now() FROM unnest($2::uuid[]) AS id",
        viewer,
        many[:5_000],
    )
    playlist_id = await show(sql, many[0])
    await sql.execute("DELETE FROM activities")
    # Two of each, and more by somebody who is not followed than a walk goes through.
    await sql.execute(
        "INSERT INTO activities (activity_id, actor_id, kind, playlist_id, comment_id, at)"
        " SELECT uuidv7(), id, 'SAVED', $2, uuidv7(), now() FROM unnest($1::uuid[]) AS id, generate_series(1, 2)",
        many[:5_000],
        playlist_id,
    )
    await sql.execute(
        "INSERT INTO activities (activity_id, actor_id, kind, playlist_id, comment_id, at)"
        " SELECT uuidv7(), $1, 'SAVED', $2, uuidv7(), now() FROM generate_series(1, 5000)",
        many[5_000],
        playlist_id,
    )
    rows = await sql.fetch(
        "SELECT activity_id FROM activities WHERE actor_id <> $1 ORDER BY 1 DESC LIMIT 300", many[-1]
    )
    expected = [str(row["activity_id"]) for row in rows]
    for plan in (FeedPlan(), FeedPlan(few=0, walk=100), FeedPlan(few=5_000)):
        found, before = list[str](), LAST_ID
        async with database.connection() as connection:
            for _ in range(3):
                page = await read_feed(connection, UserId(viewer), before, 100, plan)
                assert page.last_id is not None
                found, before = found + [one.activity_id for one in page.items], page.last_id
        assert found == expected


async def test_few_rows_are_read_of_many_people_who_do_much(database: Database, sql: Sql) -> None:
    viewer, owner = await make_person(sql, "viewer"), await make_person(sql, "owner")
    many = await make_people(sql, 300)
    await sql.execute(
        "INSERT INTO follows (follower_id, followee_id, at) SELECT $1, id, now() FROM unnest($2::uuid[]) AS id",
        viewer,
        many,
    )
    playlist_id = await show(sql, owner)
    await sql.execute(
        "INSERT INTO activities (activity_id, actor_id, kind, playlist_id, comment_id, at)"
        " SELECT uuidv7(), id, 'SAVED', $2, uuidv7(), now() FROM unnest($1::uuid[]) AS id, generate_series(1, 30)",
        many,
        playlist_id,
    )
    await sql.execute("ANALYZE")
    await sql.execute(f"PREPARE each AS {OF_EACH}")
    answer = await sql.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE each('{viewer}', '{LAST_ID}', 20)")
    # One of each person, and a page of each of as many people as a page has places.
    assert 300 < rows_read(json.loads(answer)[0]["Plan"], "activities") <= 300 + 20 * 20


async def test_walk_reads_once_whom_somebody_follows_and_stops_where_the_page_is_full(
    database: Database, sql: Sql
) -> None:
    viewer, owner = await make_person(sql, "viewer"), await make_person(sql, "owner")
    many = await make_people(sql, 2_000)
    # Most follow few, so that nobody is expected to follow many.
    await sql.execute(
        "INSERT INTO follows (follower_id, followee_id, at) SELECT $1, id, now() FROM unnest($2::uuid[]) AS id"
        " UNION ALL SELECT one, other, now() FROM unnest($2) AS one, unnest($3::uuid[]) AS other WHERE one <> other",
        viewer,
        many[:1_500],
        many[-4:],
    )
    await sql.execute(
        "INSERT INTO activities (activity_id, actor_id, kind, playlist_id, comment_id, at)"
        " SELECT uuidv7(), id, 'SAVED', $2, uuidv7(), now() FROM unnest($1::uuid[]) AS id",
        many,
        await show(sql, owner),
    )
    await sql.execute("ANALYZE; SET plan_cache_mode = force_generic_plan")
    await sql.execute(f"PREPARE walk AS {OF_ALL}")
    answer = await sql.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE walk('{viewer}', '{LAST_ID}', 20, 1000)")
    plan = json.loads(answer)[0]["Plan"]
    # The last 500 are followed by nobody but each other.
    assert rows_read(plan, "activities") == 520
    assert rows_read(plan, "follows") == 1_500
    assert "Rows Removed by Join Filter" not in answer


def rows_read(plan: dict[str, Any], table: str) -> float:
    """Rows that a plan really read of a table."""
    own = plan["Actual Rows"] * plan["Actual Loops"] if plan.get("Relation Name") == table else 0
    return float(own + sum(rows_read(part, table) for part in plan.get("Plans", [])))


async def test_first_page_looks_far_behind_what_is_out_of_sight(database: Database, sql: Sql) -> None:
    scene = await make_scene(database, sql)
    await scene.act(0, 0)
    [shown] = await scene.oracle()
    for _ in range(100):
        await scene.act(0, 2)
    async with database.connection() as connection:
        page = await read_feed(connection, UserId(scene.viewer), LAST_ID, 5)
    assert [one.activity_id for one in page.items] == [shown]
    assert page.last_id is None


@pytest.fixture
async def viewer(social: Client) -> Person:
    return await social.sign_up("viewer")


async def feed_of(client: Client, who: Person) -> list[tuple[str, str]]:
    """Kind and what it was done to, newest first."""
    request = feed_pb2.ListFeedRequest(page_size=100)
    answer = await feeds(client).ListFeed(request, timeout=TIMEOUT_S, metadata=who.metadata)
    return [
        (feed_pb2.ActivityKind.Name(one.kind).removeprefix("ACTIVITY_KIND_"), one.playlist_id or one.user_id)
        for one in answer.activities
    ]


async def test_playlist_is_told_of_once_when_it_becomes_public(social: Client, viewer: Person, sql: Sql) -> None:
    friend = await make_person(sql, "friend")
    await follow_in_tables(sql, viewer.user_id, friend)
    await sql.execute(  # as a generation does: public from the first moment
        "INSERT INTO playlists (playlist_id, owner_id, title, visibility, created_at, updated_at)"
        " VALUES (uuidv7(), $1, 'Born public', 'PUBLIC', $2, $2)",
        friend,
        NOW,
    )
    born = str(await sql.fetchval("SELECT playlist_id FROM playlists"))
    assert await feed_of(social, viewer) == [("CREATED", born)]
    assert await sql.fetchval("SELECT at FROM activities") == NOW
    grown = await show(sql, friend)
    assert await feed_of(social, viewer) == [("CREATED", grown), ("CREATED", born)]
    for visibility in ("PRIVATE", "PUBLIC"):
        await sql.execute("UPDATE playlists SET visibility = $2 WHERE playlist_id = $1", born, visibility)
    assert await feed_of(social, viewer) == [("CREATED", grown), ("CREATED", born)]
    await sql.execute("UPDATE playlists SET visibility = 'UNLISTED' WHERE playlist_id = $1", grown)
    assert await feed_of(social, viewer) == [("CREATED", born)]
    await sql.execute("DELETE FROM playlists WHERE playlist_id = $1", born)
    assert await feed_of(social, viewer) == []


async def test_what_is_undone_or_out_of_sight_is_not_told(
    social: Client, viewer: Person, sql: Sql, database: Database
) -> None:
    friend, owner, star = [await make_person(sql, name) for name in ("friend", "owner", "star")]
    await follow_in_tables(sql, viewer.user_id, friend)
    playlist_id = await show(sql, owner)
    comment_id = first_id_of(NOW)
    await sql.execute(
        "INSERT INTO comments (comment_id, playlist_id, user_id, text, created_at) VALUES ($1, $2, $3, 'Hm', now())",
        comment_id,
        playlist_id,
        friend,
    )
    await like(sql, friend, playlist_id)
    await follow_in_tables(sql, friend, star)
    async with database.transaction() as connection:
        record = activities.record
        await record(connection, ActivityKind.COMMENTED, friend, NOW, playlist_id=playlist_id, comment_id=comment_id)
        await record(connection, ActivityKind.LIKED, friend, NOW, playlist_id=playlist_id)
        await record(connection, ActivityKind.FOLLOWED, friend, NOW, user_id=star)
    liked, commented, followed = ("LIKED", playlist_id), ("COMMENTED", playlist_id), ("FOLLOWED", star)
    whole = [followed, liked, commented]
    assert await feed_of(social, viewer) == whole
    changes = [
        ("UPDATE users SET suspended_at = {} WHERE username = 'friend'", []),
        ("UPDATE users SET deleted_at = {} WHERE username = 'friend'", []),
        ("UPDATE users SET suspended_at = {} WHERE username = 'star'", [liked, commented]),
        ("UPDATE users SET suspended_at = {} WHERE username = 'owner'", [followed]),
        ("UPDATE comments SET hidden_at = {}", [followed, liked]),
        ("UPDATE comments SET deleted_at = {}", [followed, liked]),
    ]
    for change, left in changes:
        await sql.execute(change.format("now()"))
        assert await feed_of(social, viewer) == left, change
        await sql.execute(change.format("NULL"))
        assert await feed_of(social, viewer) == whole
    for one, other in ((viewer.user_id, owner), (owner, viewer.user_id)):
        await sql.execute("INSERT INTO user_blocks VALUES ($1, $2, now())", one, other)
        assert await feed_of(social, viewer) == [followed]
        await sql.execute("DELETE FROM user_blocks")
    for one, other in ((viewer.user_id, star), (star, viewer.user_id)):
        await sql.execute("INSERT INTO user_blocks VALUES ($1, $2, now())", one, other)
        assert await feed_of(social, viewer) == [liked, commented]
        await sql.execute("DELETE FROM user_blocks")
    await sql.execute("DELETE FROM likes")
    await sql.execute("DELETE FROM follows WHERE follower_id = $1", friend)
    assert await feed_of(social, viewer) == [commented]
    await sql.execute("DELETE FROM follows")
    assert await feed_of(social, viewer) == []


async def test_token_of_another_feed_is_refused(social: Client, viewer: Person, sql: Sql) -> None:
    friend = await make_person(sql, "friend")
    other = await social.sign_up("other")
    for who in (viewer, other):
        await follow_in_tables(sql, who.user_id, friend)
    for _ in range(2):
        await show(sql, friend)
    answer = await feeds(social).ListFeed(
        feed_pb2.ListFeedRequest(page_size=1), timeout=TIMEOUT_S, metadata=viewer.metadata
    )
    request = feed_pb2.ListFeedRequest(page_size=1, page_token=answer.next_page_token)
    with pytest.raises(InvalidArgument):
        await feeds(social).ListFeed(request, timeout=TIMEOUT_S, metadata=other.metadata)
    with pytest.raises(Unauthenticated):
        await feeds(social).ListFeed(feed_pb2.ListFeedRequest(), timeout=TIMEOUT_S)


async def test_old_activities_are_forgotten(database: Database, sql: Sql) -> None:
    ann = await make_person(sql, "ann")
    ids = [first_id_of(NOW - timedelta(days=days)) for days in (91, 89, 0)]
    for activity_id in ids:
        await sql.execute(
            "INSERT INTO activities (activity_id, actor_id, kind, playlist_id, at)"
            " VALUES ($1::uuid, $2, 'LIKED', $1::uuid, now())",
            activity_id,
            ann,
        )
    await forgetting(activities.delete_old, 90)(database, NOW)
    left = {str(row[0]) for row in await sql.fetch("SELECT activity_id FROM activities")}
    assert left == set(ids[1:])


async def test_all_whom_somebody_follows_are_listed_by_id(social: Client, sql: Sql) -> None:
    viewer = await social.sign_up("viewer")
    followed = [await make_person(sql, name) for name in ("ann", "bob", "gone")]
    for one in followed:
        await follow_in_tables(sql, viewer.user_id, one)
    await follow_in_tables(sql, followed[0], await make_person(sql, "other"))
    await sql.execute("UPDATE users SET deleted_at = now() WHERE username = 'gone'")
    request = feed_pb2.ListFollowedIdsRequest()
    answer = await feeds(social).ListFollowedIds(request, timeout=TIMEOUT_S, metadata=viewer.metadata)
    assert set(answer.user_ids) == set(followed)
    with pytest.raises(Unauthenticated):
        await feeds(social).ListFollowedIds(request, timeout=TIMEOUT_S)
