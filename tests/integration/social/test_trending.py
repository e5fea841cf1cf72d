import asyncio
import random
from datetime import datetime, timedelta

import pytest

from museed.social.v1 import feed_pb2
from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.social.domain.ids import PlaylistId
from services.social.domain.signals import HEAT, SignalKind, faded
from services.social.store import signals, trending
from services.social.store.database import Database
from services.social.workers.trending import RANKING_LIFE, RANKING_SIZE, TrendMaker
from tests.integration.social.conftest import TIMEOUT_S, Client, Sql
from tests.integration.social.people_steps import NOW, block, feeds, make_person, show
from tests.integration.social.test_tallier import HALF_LIFE, tallier

EVERY = timedelta(seconds=30)


class Clock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def maker(database: Database, clock: Clock) -> TrendMaker:
    return TrendMaker(database, clock, EVERY)


async def heat(sql: Sql, playlist_id: str, score: float) -> None:
    await sql.execute(
        "INSERT INTO playlist_heat VALUES ($1, $2) ON CONFLICT (playlist_id) DO UPDATE SET score = excluded.score",
        playlist_id,
        score,
    )


async def test_order_is_that_of_sums_that_fade(database: Database, sql: Sql) -> None:
    owner, fan = await make_person(sql, "owner"), await make_person(sql, "fan")
    lists = [await show(sql, owner) for _ in range(12)]
    chance = random.Random(7)
    worth = dict.fromkeys(lists, 0.0)
    async with database.transaction() as connection:
        for _ in range(300):
            playlist_id, kind = chance.choice(lists[:-1]), chance.choice(list(HEAT))
            hours = chance.random() * 24 * 14
            at = NOW - timedelta(hours=hours)
            await signals.add(connection, kind, at, actor_id=fan, playlist_id=playlist_id, user_id=owner)
            worth[playlist_id] += HEAT[kind] * 0.5 ** (hours / 48)
            if chance.random() < 0.3:  # taken back
                await signals.add(connection, kind, at, actor_id=fan, playlist_id=playlist_id, user_id=owner, amount=-1)
                worth[playlist_id] -= HEAT[kind] * 0.5 ** (hours / 48)
    await tallier(database).catch_up()
    assert await maker(database, Clock(NOW)).make() is not None
    rows = await sql.fetch("SELECT rank, playlist_id, score FROM trending_ranks ORDER BY rank")
    expected = sorted(lists[:-1], key=lambda one: -worth[one])
    assert [(row["rank"], str(row["playlist_id"])) for row in rows] == list(enumerate(expected, 1))
    for row in rows:
        assert faded(row["score"], NOW, HALF_LIFE) == pytest.approx(worth[PlaylistId(str(row["playlist_id"]))])


async def test_owners_do_not_lift_what_is_theirs(database: Database, sql: Sql) -> None:
    owner, fan = await make_person(sql, "owner"), await make_person(sql, "fan")
    own, liked = await show(sql, owner), await show(sql, owner)
    async with database.transaction() as connection:
        for kind in HEAT:
            for playlist_id in (own, liked):
                await signals.add(connection, kind, NOW, actor_id=owner, playlist_id=playlist_id, user_id=owner)
        await signals.add(connection, SignalKind.COMMENT, NOW, actor_id=fan, playlist_id=liked, user_id=owner)
        # As moderation takes a comment of the owner's back: it does not say whose the playlist is.
        await signals.add(connection, SignalKind.COMMENT, NOW, actor_id=owner, playlist_id=liked, amount=-1)
    await tallier(database).catch_up()
    rows = await sql.fetch("SELECT playlist_id, score FROM playlist_heat")
    assert [str(row["playlist_id"]) for row in rows] == [liked]
    assert faded(rows[0]["score"], NOW, HALF_LIFE) == pytest.approx(HEAT[SignalKind.COMMENT])
    assert await sql.fetchval("SELECT likes FROM playlist_counts WHERE playlist_id = $1", own) == 1


async def test_of_makers_at_once_one_makes_it_and_the_next_waits_its_turn(database: Database, sql: Sql) -> None:
    await heat(sql, await show(sql, await make_person(sql, "owner")), 1.0)
    clock = Clock(NOW)
    for step in range(3):
        made = await asyncio.gather(*(maker(database, clock).make() for _ in range(5)))
        assert len([one for one in made if one is not None]) == 1, step
        clock.now += timedelta(seconds=29)
        assert await maker(database, clock).make() is None
        clock.now += timedelta(seconds=1)
    rows = await sql.fetch("SELECT generation, count(*) AS ranks FROM trending_ranks GROUP BY generation")
    assert [row["ranks"] for row in rows] == [1, 1, 1]


async def test_ranking_is_bounded_has_only_what_is_listed_and_is_forgotten(database: Database, sql: Sql) -> None:
    owner, gone = await make_person(sql, "owner"), await make_person(sql, "gone")
    for number in range(RANKING_SIZE + 3):
        await heat(sql, await show(sql, owner), float(number))
    private, hidden, of_gone = await show(sql, owner), await show(sql, owner), await show(sql, gone)
    for playlist_id in (private, hidden, of_gone):
        await heat(sql, playlist_id, 10_000.0)
    await sql.execute("UPDATE playlists SET visibility = 'UNLISTED' WHERE playlist_id = $1", private)
    await sql.execute(
        "UPDATE playlists SET visibility = 'PRIVATE', hidden_at = now(), hidden_from = 'PUBLIC' WHERE playlist_id = $1",
        hidden,
    )
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", gone)
    clock = Clock(NOW)
    first = await maker(database, clock).make()
    rows = await sql.fetch("SELECT score FROM trending_ranks ORDER BY rank")
    assert [row["score"] for row in rows] == [float(n) for n in range(RANKING_SIZE + 2, 2, -1)]
    clock.now += RANKING_LIFE
    second = await maker(database, clock).make()
    assert {row[0] for row in await sql.fetch("SELECT generation FROM trending_generations")} == {first, second}
    clock.now += timedelta(seconds=30)
    third = await maker(database, clock).make()
    assert {row[0] for row in await sql.fetch("SELECT generation FROM trending_ranks")} == {second, third}


async def test_pages_belong_to_one_ranking_until_it_is_over(database: Database, social: Client, sql: Sql) -> None:
    owner, viewer = await social.sign_up("owner"), await social.sign_up("viewer")
    # Long after what the service makes by itself, which finds this new enough.
    clock = Clock(NOW + timedelta(days=3650))
    lists = [await show(sql, owner.user_id) for _ in range(5)]
    for number, playlist_id in enumerate(lists):
        await heat(sql, playlist_id, float(-number))
    async with database.transaction() as connection:
        await trending.make(connection, clock.now, EVERY, timedelta(days=1), RANKING_SIZE)
    first = await feeds(social).ListTrending(feed_pb2.ListTrendingRequest(page_size=2), timeout=TIMEOUT_S)
    assert [(one.rank, one.playlist.playlist_id) for one in first.playlists] == [(1, lists[0]), (2, lists[1])]
    assert first.made_at.ToDatetime(clock.now.tzinfo) == clock.now
    assert not first.playlists[0].playlist.HasField("is_liked")
    # Another ranking turns everything round; the reader of the first one does not notice.
    for number, playlist_id in enumerate(lists):
        await heat(sql, playlist_id, float(number))
    clock.now += EVERY
    async with database.transaction() as connection:
        await trending.make(connection, clock.now, EVERY, timedelta(days=1), RANKING_SIZE)
    await sql.execute("UPDATE playlists SET visibility = 'PRIVATE' WHERE playlist_id = $1", lists[3])
    rest = feed_pb2.ListTrendingRequest(page_size=2, page_token=first.next_page_token)
    second = await feeds(social).ListTrending(rest, timeout=TIMEOUT_S)
    assert [(one.rank, one.playlist.playlist_id) for one in second.playlists] == [(3, lists[2]), (5, lists[4])]
    assert second.next_page_token == ""
    newest = await feeds(social).ListTrending(feed_pb2.ListTrendingRequest(page_size=1), timeout=TIMEOUT_S)
    assert [one.playlist.playlist_id for one in newest.playlists] == [lists[4]]
    await block(social, viewer, owner.user_id)
    for who in (viewer, owner):
        request = feed_pb2.ListTrendingRequest()
        answer = await feeds(social).ListTrending(request, timeout=TIMEOUT_S, metadata=who.metadata)
        assert len(answer.playlists) == (0 if who is viewer else 4)
    clock.now += timedelta(minutes=30)
    await maker(database, clock).make()
    with pytest.raises(FailedPrecondition) as over:
        await feeds(social).ListTrending(rest, timeout=TIMEOUT_S)
    assert (over.value.reason, over.value.metadata["field"]) == ("PAGE_EXPIRED", "page_token")
    with pytest.raises(InvalidArgument):
        await feeds(social).ListTrending(feed_pb2.ListTrendingRequest(page_token="x"), timeout=TIMEOUT_S)


async def test_service_makes_rankings_by_itself(social: Client) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            answer = await feeds(social).ListTrending(feed_pb2.ListTrendingRequest(), timeout=TIMEOUT_S)
            if answer.HasField("made_at"):
                break
            await asyncio.sleep(0.05)
    assert list(answer.playlists) == []


async def test_popularity_is_forgotten_when_nothing_is_left_of_it(database: Database, sql: Sql) -> None:
    owner, fan = await make_person(sql, "owner"), await make_person(sql, "fan")
    old, young = await show(sql, owner), await show(sql, owner)
    async with database.transaction() as connection:
        for playlist_id, days in ((old, 41), (young, 39)):
            at = NOW - timedelta(days=days)
            await signals.add(connection, SignalKind.LIKE, at, actor_id=fan, playlist_id=playlist_id, user_id=owner)
    await tallier(database).catch_up()
    await maker(database, Clock(NOW)).sweep(database, NOW)
    assert [str(row[0]) for row in await sql.fetch("SELECT playlist_id FROM playlist_heat")] == [young]
