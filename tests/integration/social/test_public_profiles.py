from collections.abc import Awaitable, Callable
from datetime import date, timedelta

import pytest

from museed.social.v1 import feed_pb2, people_pb2, playlists_pb2
from services.chassis.errors import InvalidArgument, NotFound
from services.social.domain.ids import UserId, new_id
from services.social.store import listings
from services.social.store.database import Database
from tests.integration.social.conftest import TIMEOUT_S, Client, Library, Person, Sql
from tests.integration.social.people_steps import (
    NOW,
    block,
    feeds,
    follow,
    follow_in_tables,
    like,
    make_person,
    people,
    profile,
    show,
)
from tests.integration.social.test_tallier import make_playlist, tallier


async def by_name(client: Client, name: str) -> people_pb2.Profile:
    request = people_pb2.GetProfileRequest(username=name)
    return (await people(client).GetProfile(request, timeout=TIMEOUT_S)).profile


async def hear(sql: Sql, user_id: str, days_ago: int, genre: str, plays: int) -> None:
    await sql.execute(
        "INSERT INTO daily_listening (user_id, day, genre, plays, seconds) VALUES ($1, $2, $3, $4, 60)",
        user_id,
        date(2026, 11, 1) - timedelta(days=days_ago),
        genre,
        plays,
    )


def shares(found: object) -> list[tuple[str, int, float]]:
    return [(one.genre, one.count, one.share) for one in found]  # type: ignore[attr-defined]  # repeated GenreShare


async def test_profile_has_all_figures(social: Client, sql: Sql) -> None:
    ann = await social.sign_up("Ann")
    for days_ago, genre, plays in ((0, "Jazz", 3), (1, "Jazz", 2), (400, "Rock", 4), (1, "Pop", 1)):
        await hear(sql, ann.user_id, days_ago, genre, plays)
    for badge, tier, minute in (("gardener", 1, 0), ("gardener", 2, 1), ("sharer", 1, 5), ("loyal", 3, 2)):
        await sql.execute(
            "INSERT INTO badges VALUES ($1, $2, $3, $4)", ann.user_id, badge, tier, NOW + timedelta(minutes=minute)
        )
    await sql.execute(
        "INSERT INTO person_counts (user_id, likes_received, saves_received, likes_given, plays)"
        " VALUES ($1, 7, 3, 5, 10)",
        ann.user_id,
    )
    found = await by_name(social, "aNN")
    assert (found.user.user_id, found.user.username, found.user.nickname) == (ann.user_id, "Ann", "Ann")
    assert (found.likes_received, found.saves_received, found.play_count) == (7, 3, 10)
    assert found.liked_playlist_count == 5
    assert found.top_genre == "Jazz"
    assert shares(found.listened) == [("Jazz", 5, 0.5), ("Rock", 4, 0.4), ("Pop", 1, 0.1)]
    assert [(one.name, one.tier) for one in found.badges] == [("sharer", 1), ("loyal", 3), ("gardener", 2)]
    assert found.is_listed
    await sql.execute("UPDATE users SET is_listed = false WHERE user_id = $1", ann.user_id)
    other = await by_name(social, "ann")
    assert (other.play_count, other.top_genre, list(other.listened), list(other.made)) == (0, "", [], [])
    assert not other.is_listed
    assert other.likes_received == 7
    own = await profile(social, ann, ann.user_id)
    assert (own.play_count, own.top_genre, len(own.listened)) == (10, "Jazz", 3)
    request = people_pb2.BatchGetProfilesRequest(user_ids=[ann.user_id])
    answer = await people(social).BatchGetProfiles(request, timeout=TIMEOUT_S)
    assert (answer.profiles[0].play_count, answer.profiles[0].top_genre) == (0, "")
    assert answer.profiles[0].liked_playlist_count == 5


async def test_genres_of_what_one_made_are_those_of_public_originals(
    social: Client, library: Library, sql: Sql
) -> None:
    ann = await social.sign_up("ann")
    genres = ["Jazz", "Jazz", "Rock", "Pop"]
    for track_id, genre in zip(library.track_ids, genres, strict=False):
        await sql.execute("UPDATE tracks SET genre = $2 WHERE track_id = $1", track_id, genre)
    public, copy = await show(sql, ann.user_id), await show(sql, ann.user_id)
    private = await make_playlist(sql, UserId(ann.user_id))
    await sql.execute("UPDATE playlists SET copied_from = $2 WHERE playlist_id = $1", copy, public)
    for playlist_id, numbers in ((public, (0, 1, 2)), (private, (3,)), (copy, (2, 3))):
        for position, number in enumerate(numbers):
            await sql.execute(
                "INSERT INTO playlist_entries (entry_id, playlist_id, track_id, position) VALUES ($1, $2, $3, $4)",
                new_id(),
                playlist_id,
                library.track_ids[number],
                position,
            )
    assert shares((await by_name(social, "ann")).made) == [("Jazz", 2, 2 / 3), ("Rock", 1, 1 / 3)]
    own = await profile(social, ann, ann.user_id)
    assert shares(own.made) == [("Jazz", 2, 0.5), ("Pop", 1, 0.25), ("Rock", 1, 0.25)]


async def test_what_is_not_counted_yet_is_in_a_profile_and_counted_once(
    social: Client, database: Database, sql: Sql
) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    async with database.transaction() as connection:
        # Whoever holds this counts, and so nobody does.
        await connection.fetchval("SELECT pg_advisory_xact_lock(7305805, 1)")
        await follow(social, bob, ann.user_id)
        await show(sql, ann.user_id)
        for kind in ("like", "like", "save"):
            await sql.execute(
                "INSERT INTO signals (kind, actor_id, user_id, amount, at) VALUES ($1, $2, $3, 1, now())",
                kind,
                bob.user_id,
                ann.user_id,
            )
        assert await sql.fetchval("SELECT count(*) FROM signals WHERE user_id = $1", ann.user_id) > 0
        before = await profile(social, ann, ann.user_id)
    await tallier(database).catch_up()
    after = await profile(social, ann, ann.user_id)
    for found in (before, after):
        assert (found.playlist_count, found.follower_count) == (1, 1)
        assert (found.likes_received, found.saves_received) == (2, 1)


async def test_own_profile_counts_private_playlists_too(social: Client, sql: Sql) -> None:
    ann = await social.sign_up("ann")
    await show(sql, ann.user_id)
    await make_playlist(sql, UserId(ann.user_id))
    assert (await profile(social, ann, ann.user_id)).playlist_count == 2
    assert (await by_name(social, "ann")).playlist_count == 1


async def test_nobody_finds_who_is_suspended_or_gone_or_blocks_them(social: Client, sql: Sql) -> None:
    ann = await social.sign_up("ann")
    suspended, gone = await make_person(sql, "suspended"), await make_person(sql, "gone")
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", suspended)
    await sql.execute("UPDATE users SET deleted_at = now() WHERE user_id = $1", gone)
    blocker, blocked = await social.sign_up("blocker"), await social.sign_up("blocked")
    await block(social, blocker, ann.user_id)
    await block(social, ann, blocked.user_id)
    for nobody in (suspended, gone, blocker.user_id, new_id(), "nonsense"):
        with pytest.raises(NotFound) as refused:
            await profile(social, ann, nobody)
        assert refused.value.reason == "USER_NOT_FOUND"
        calls = (
            feeds(social).ListPlaylistsOfUser(
                feed_pb2.ListPlaylistsOfUserRequest(user_id=nobody), timeout=TIMEOUT_S, metadata=ann.metadata
            ),
            feeds(social).ListLikedPlaylists(
                feed_pb2.ListLikedPlaylistsRequest(user_id=nobody), timeout=TIMEOUT_S, metadata=ann.metadata
            ),
            people(social).ListFollowers(
                people_pb2.ListFollowersRequest(user_id=nobody), timeout=TIMEOUT_S, metadata=ann.metadata
            ),
            people(social).ListFollowing(
                people_pb2.ListFollowingRequest(user_id=nobody), timeout=TIMEOUT_S, metadata=ann.metadata
            ),
        )
        for call in calls:
            with pytest.raises(NotFound):
                await call
    ids = [suspended, gone, blocker.user_id, blocked.user_id, ann.user_id, ann.user_id, new_id(), "nonsense"]
    request = people_pb2.BatchGetProfilesRequest(user_ids=ids)
    answer = await people(social).BatchGetProfiles(request, timeout=TIMEOUT_S, metadata=ann.metadata)
    found = {one.user.username: one for one in answer.profiles}
    assert set(found) == {"ann", "blocked"}
    assert found["blocked"].relation.is_blocked
    assert not found["ann"].HasField("relation")
    with pytest.raises(NotFound):
        await by_name(social, "nobody")
    for wrong in (people_pb2.GetProfileRequest(), people_pb2.GetProfileRequest(username="x" * 31)):
        with pytest.raises(InvalidArgument):
            await people(social).GetProfile(wrong, timeout=TIMEOUT_S)
    many = people_pb2.BatchGetProfilesRequest(user_ids=[new_id()] * 101)
    with pytest.raises(InvalidArgument):
        await people(social).BatchGetProfiles(many, timeout=TIMEOUT_S)


async def latest(client: Client, who: Person | None, size: int = 0) -> list[str]:
    found, token = list[str](), ""
    while True:
        request = feed_pb2.ListLatestRequest(page_size=size, page_token=token)
        answer = await feeds(client).ListLatest(request, timeout=TIMEOUT_S, metadata=who.metadata if who else None)
        found += [one.playlist_id for one in answer.playlists]
        token = answer.next_page_token
        if not token:
            return found


async def of_person(client: Client, who: Person | None, user_id: str, size: int = 0) -> list[str]:
    found, token = list[str](), ""
    while True:
        request = feed_pb2.ListPlaylistsOfUserRequest(user_id=user_id, page_size=size, page_token=token)
        metadata = who.metadata if who else None
        answer = await feeds(client).ListPlaylistsOfUser(request, timeout=TIMEOUT_S, metadata=metadata)
        found += [one.playlist_id for one in answer.playlists]
        token = answer.next_page_token
        if not token:
            return found


async def liked(client: Client, who: Person | None, user_id: str, size: int = 0) -> list[str]:
    found, token = list[str](), ""
    while True:
        request = feed_pb2.ListLikedPlaylistsRequest(user_id=user_id, page_size=size, page_token=token)
        metadata = who.metadata if who else None
        answer = await feeds(client).ListLikedPlaylists(request, timeout=TIMEOUT_S, metadata=metadata)
        found += [one.playlist.playlist_id for one in answer.playlists]
        token = answer.next_page_token
        if not token:
            return found


async def test_lists_have_what_is_public_once_in_pages_of_any_size(social: Client, sql: Sql) -> None:
    ann, bob = await social.sign_up("ann"), await make_person(sql, "bob")
    # Made public in another order than made, and three at one moment.
    first, second, third, fourth = [await show(sql, bob, minutes) for minutes in (5, 5, 1, 5)]
    others = await show(sql, ann.user_id, 3)
    unlisted, hidden = await show(sql, bob, 9), await show(sql, bob, 9)
    await sql.execute("UPDATE playlists SET visibility = 'UNLISTED' WHERE playlist_id = $1", unlisted)
    await sql.execute(
        "UPDATE playlists SET visibility = 'PRIVATE', hidden_at = now(), hidden_from = 'PUBLIC' WHERE playlist_id = $1",
        hidden,
    )
    for minute, playlist_id in enumerate((first, second, third, fourth, others, unlisted, hidden)):
        await like(sql, ann.user_id, playlist_id, NOW + timedelta(minutes=minute // 3))
    by_like = [*sorted((fourth, others, unlisted)), *sorted((first, second, third))]
    for size in (1, 2, 3, 100):
        assert await latest(social, None, size) == [fourth, second, first, others, third]
        assert await of_person(social, None, bob, size) == [fourth, third, second, first]
        assert await liked(social, None, ann.user_id, size) == [one for one in by_like if one != unlisted]
        # To oneself also what a link opens.
        assert await liked(social, ann, ann.user_id, size) == by_like
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", bob)
    assert await latest(social, None) == [others]
    assert await liked(social, ann, ann.user_id) == [others]


async def test_what_is_closed_while_a_list_is_read_is_not_told(
    social: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    closed, left = await show(sql, bob.user_id, 2), await show(sql, bob.user_id, 1)
    for playlist_id in (closed, left):
        await like(sql, ann.user_id, playlist_id)

    def closing(read: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def run(*given: object) -> object:
            found = await read(*given)
            await sql.execute("UPDATE playlists SET visibility = 'PRIVATE' WHERE playlist_id = $1", closed)
            return found

        return run

    for name in ("latest", "of_person", "liked_by"):
        monkeypatch.setattr(listings, name, closing(getattr(listings, name)))
    for read in (latest(social, ann), of_person(social, ann, bob.user_id), liked(social, None, ann.user_id)):
        await sql.execute("UPDATE playlists SET visibility = 'PUBLIC'")
        assert await read == [left]


async def test_a_block_takes_playlists_out_of_lists_both_ways(social: Client, sql: Sql) -> None:
    ann, bob, eve = [await social.sign_up(name) for name in ("ann", "bob", "eve")]
    of_ann, of_bob = await show(sql, ann.user_id, 1), await show(sql, bob.user_id, 2)
    for who, playlist_id in ((ann, of_bob), (bob, of_ann), (eve, of_ann), (eve, of_bob)):
        await like(sql, who.user_id, playlist_id)
    await block(social, ann, bob.user_id)
    assert await latest(social, ann) == [of_ann]
    assert await latest(social, bob) == [of_bob]
    assert await latest(social, eve) == [of_bob, of_ann]
    assert await liked(social, ann, ann.user_id) == []
    assert await liked(social, bob, bob.user_id) == []
    assert await liked(social, ann, eve.user_id) == [of_ann]
    assert await liked(social, bob, eve.user_id) == [of_bob]
    assert await of_person(social, ann, bob.user_id) == []


async def test_playlist_in_a_list_has_its_figures(social: Client, database: Database, sql: Sql) -> None:
    ann, bob = await social.sign_up("ann"), await make_person(sql, "bob")
    playlist_id = await show(sql, bob, 4)
    await sql.execute(
        "INSERT INTO playlist_counts (playlist_id, likes, saves, comments) VALUES ($1, 5, 4, 3)", playlist_id
    )
    await like(sql, ann.user_id, playlist_id)
    answer = await feeds(social).ListLatest(feed_pb2.ListLatestRequest(), timeout=TIMEOUT_S, metadata=ann.metadata)
    [found] = answer.playlists
    assert (found.title, found.owner_id, found.like_count, found.save_count, found.comment_count) == (
        "A list",
        bob,
        5,
        4,
        3,
    )
    assert found.is_liked
    assert found.listed_at.ToDatetime(NOW.tzinfo) == NOW + timedelta(minutes=4)
    assert found.visibility == playlists_pb2.VISIBILITY_PUBLIC
    assert found.share_slug == await sql.fetchval("SELECT share_slug FROM playlists")
    [other] = (await feeds(social).ListLatest(feed_pb2.ListLatestRequest(), timeout=TIMEOUT_S)).playlists
    assert not other.HasField("is_liked")


async def test_following_counts_of_many_come_from_the_tally(social: Client, database: Database, sql: Sql) -> None:
    ann, bob = await social.sign_up("ann"), await make_person(sql, "bob")
    await follow_in_tables(sql, ann.user_id, bob)
    await sql.execute("INSERT INTO person_counts (user_id, following, followers) VALUES ($1, 4, 2)", ann.user_id)
    request = people_pb2.BatchGetProfilesRequest(user_ids=[ann.user_id, bob])
    answer = await people(social).BatchGetProfiles(request, timeout=TIMEOUT_S)
    found = {one.user.username: (one.following_count, one.follower_count) for one in answer.profiles}
    assert found == {"ann": (4, 2), "bob": (0, 0)}
