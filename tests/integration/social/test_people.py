import asyncio

import pytest

from museed.social.v1 import people_events_pb2, people_pb2
from services.chassis.errors import (
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
)
from services.social.domain.ids import new_id
from services.social.domain.people import MOST_BLOCKED, MOST_FOLLOWED
from services.social.errors.people import FollowLimitReached
from services.social.store.database import Database
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql, until
from tests.integration.social.people_steps import (
    NOW,
    block,
    follow,
    follow_in_tables,
    make_person,
    people,
    profile,
)

RELATION = people_pb2.Relation


async def unfollow(client: Client, who: Person, whom: str) -> people_pb2.Relation:
    request = people_pb2.UnfollowRequest(user_id=whom)
    return (await people(client).Unfollow(request, timeout=TIMEOUT_S, metadata=who.metadata)).relation


async def unblock(client: Client, who: Person, whom: str) -> people_pb2.Relation:
    request = people_pb2.UnblockUserRequest(user_id=whom)
    return (await people(client).UnblockUser(request, timeout=TIMEOUT_S, metadata=who.metadata)).relation


async def followers(client: Client, who: Person | None, whom: str, size: int = 0) -> list[str]:
    """All followers by name, page by page."""
    found, token = list[str](), ""
    while True:
        request = people_pb2.ListFollowersRequest(user_id=whom, page_size=size, page_token=token)
        metadata = None if who is None else who.metadata
        answer = await people(client).ListFollowers(request, timeout=TIMEOUT_S, metadata=metadata)
        found += [edge.user.username for edge in answer.followers]
        token = answer.next_page_token
        if not token:
            return found


async def following(client: Client, who: Person | None, whom: str, size: int = 0) -> list[str]:
    found, token = list[str](), ""
    while True:
        request = people_pb2.ListFollowingRequest(user_id=whom, page_size=size, page_token=token)
        metadata = None if who is None else who.metadata
        answer = await people(client).ListFollowing(request, timeout=TIMEOUT_S, metadata=metadata)
        found += [edge.user.username for edge in answer.following]
        token = answer.next_page_token
        if not token:
            return found


async def make_people(sql: Sql, count: int, prefix: str = "somebody") -> list[str]:
    """Many people in one statement."""
    ids = [new_id() for _ in range(count)]
    await sql.execute(
        "INSERT INTO users (user_id, username, username_key, nickname, email, email_key, role, password_hash,"
        " created_at, updated_at) SELECT id, $2 || n, $2 || n, $2 || n, $2 || n, $2 || n, 'user', '', now(), now()"
        " FROM unnest($1::uuid[]) WITH ORDINALITY AS made (id, n)",
        ids,
        prefix,
    )
    return ids


async def test_following_is_counted_told_and_ended(social: Client, sql: Sql) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    assert await follow(social, ann, bob.user_id) == RELATION(is_following=True)
    assert await follow(social, ann, bob.user_id) == RELATION(is_following=True)
    shown = await profile(social, ann, bob.user_id)
    assert (shown.follower_count, shown.relation) == (1, RELATION(is_following=True))
    assert (await profile(social, bob, ann.user_id)).relation == RELATION(is_follower=True)
    assert (await profile(social, ann, ann.user_id)).following_count == 1
    assert not (await profile(social, ann, ann.user_id)).HasField("relation")
    assert not (await profile(social, None, ann.user_id)).HasField("relation")
    assert await sql.fetchval("SELECT count(*) FROM notifications WHERE user_id = $1", bob.user_id) == 1
    assert await unfollow(social, ann, bob.user_id) == RELATION()
    assert await unfollow(social, ann, bob.user_id) == RELATION()
    assert (await profile(social, ann, bob.user_id)).follower_count == 0

    async def is_counted() -> bool:
        row = await sql.fetchrow(
            "SELECT (SELECT coalesce(sum(followers), 0) FROM person_counts WHERE user_id = $1) AS followers,"
            " (SELECT count(*) FROM signals) AS left",
            bob.user_id,
        )
        return row is not None and (row["followers"], row["left"]) == (0, 0)

    await until(is_counted)
    assert (await profile(social, ann, bob.user_id)).follower_count == 0


async def test_every_change_leaves_one_event_and_a_block_none(database: Database, social: Client, sql: Sql) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    await sql.execute("CREATE TABLE kept (LIKE outbox)")
    await sql.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO kept SELECT NEW.*; RETURN NEW; END $$"
    )
    await sql.execute("CREATE TRIGGER keep AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION keep()")
    for _ in range(2):
        await follow(social, ann, bob.user_id)
    for _ in range(2):
        await unfollow(social, ann, bob.user_id)
    await follow(social, ann, bob.user_id)
    await block(social, bob, ann.user_id)
    rows = await sql.fetch("SELECT subject, key, payload FROM kept ORDER BY id")
    assert [row["subject"].rpartition(".")[2] for row in rows] == [
        "notification_added",
        "user_followed",
        "user_unfollowed",
        "user_followed",  # activity and notification of the first time stand
    ]
    assert {row["key"] for row in rows} == {ann.user_id}
    first, second = [people_events_pb2.UserFollowed.FromString(rows[number]["payload"]) for number in (1, 3)]
    assert (first.follower_id, first.followee_id) == (ann.user_id, bob.user_id)
    assert (bool(first.activity_id), bool(second.activity_id)) == (True, False)


async def test_block_ends_both_follows_hides_both_and_forbids_following(social: Client, sql: Sql) -> None:
    ann, bob, eve = [await social.sign_up(name) for name in ("ann", "bob", "eve")]
    await follow(social, ann, bob.user_id)
    await follow(social, bob, ann.user_id)
    await follow(social, eve, bob.user_id)
    await follow(social, ann, eve.user_id)
    await follow(social, bob, eve.user_id)
    assert await block(social, ann, bob.user_id) == RELATION(is_blocked=True)
    assert await block(social, ann, bob.user_id) == RELATION(is_blocked=True)
    assert await sql.fetchval("SELECT count(*) FROM follows") == 3
    assert (await profile(social, ann, ann.user_id)).follower_count == 0
    shown = await profile(social, ann, bob.user_id)
    assert (shown.relation, shown.follower_count) == (RELATION(is_blocked=True), 1)
    with pytest.raises(NotFound) as unseen:
        await profile(social, bob, ann.user_id)
    assert unseen.value.reason == "USER_NOT_FOUND"
    with pytest.raises(FailedPrecondition) as blocked:
        await follow(social, ann, bob.user_id)
    assert blocked.value.reason == "USER_BLOCKED"
    with pytest.raises(NotFound):
        await follow(social, bob, ann.user_id)
    assert await followers(social, ann, eve.user_id) == ["ann"]
    assert await followers(social, bob, eve.user_id) == ["bob"]
    assert await followers(social, None, eve.user_id) == ["bob", "ann"]
    assert await following(social, eve, eve.user_id) == ["bob"]
    with pytest.raises(NotFound):
        await followers(social, bob, ann.user_id)
    assert await unblock(social, ann, bob.user_id) == RELATION()
    assert await sql.fetchval("SELECT count(*) FROM follows") == 3
    assert await follow(social, bob, ann.user_id) == RELATION(is_following=True)


async def test_who_is_blocked_can_block_too_and_sees_whom_they_block(social: Client) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    await block(social, ann, bob.user_id)
    assert await block(social, bob, ann.user_id) == RELATION(is_blocked=True)
    # One's own block is told before it; theirs is not, and is known to be there only from who is not there.
    with pytest.raises(FailedPrecondition) as own:
        await follow(social, ann, bob.user_id)
    assert own.value.reason == "USER_BLOCKED"
    await unblock(social, ann, bob.user_id)
    with pytest.raises(NotFound) as unseen:
        await follow(social, ann, bob.user_id)
    assert (unseen.value.reason, unseen.value.message) == ("USER_NOT_FOUND", "there is no such person")
    request = people_pb2.ListBlockedUsersRequest()
    answer = await people(social).ListBlockedUsers(request, timeout=TIMEOUT_S, metadata=bob.metadata)
    assert [each.user.username for each in answer.blocked] == ["ann"]
    answer = await people(social).ListBlockedUsers(request, timeout=TIMEOUT_S, metadata=ann.metadata)
    assert list(answer.blocked) == []


async def test_oneself_nobody_and_who_is_out_of_sight_cannot_be_followed(social: Client, sql: Sql) -> None:
    ann = await social.sign_up("ann")
    suspended, gone = await make_person(sql, "suspended"), await make_person(sql, "gone")
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", suspended)
    await sql.execute("UPDATE users SET deleted_at = now() WHERE user_id = $1", gone)
    for call in (follow, unfollow, block, unblock):
        with pytest.raises(FailedPrecondition) as own:
            await call(social, ann, ann.user_id)
        assert (own.value.reason, own.value.metadata["field"]) == ("OWN_ACCOUNT", "user_id")
        for nobody in (new_id(), "nonsense", gone):
            with pytest.raises(NotFound):
                await call(social, ann, nobody)
        with pytest.raises(InvalidArgument):
            await call(social, ann, "")
    for call in (follow, unfollow):
        with pytest.raises(NotFound):
            await call(social, ann, suspended)
    assert await sql.fetchval("SELECT count(*) FROM follows") == 0
    assert await sql.fetchval("SELECT count(*) FROM user_blocks") == 0
    # Of those whom one followed before, following ends all the same.
    await follow_in_tables(sql, ann.user_id, suspended)
    assert await unfollow(social, ann, suspended) == RELATION()


async def test_who_has_left_or_is_suspended_follows_and_blocks_nobody(social: Client, sql: Sql) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    # The token is good until the process hears that the session has ended.
    for column in ("suspended_at", "deleted_at"):
        await sql.execute(f"UPDATE users SET {column} = now() WHERE user_id = $1", ann.user_id)
        for call in (follow, unfollow, block, unblock):
            with pytest.raises(Unauthenticated) as ended:
                await call(social, ann, bob.user_id)
            assert ended.value.reason == "SESSION_REVOKED"
        await sql.execute(f"UPDATE users SET {column} = NULL")
    for table in ("follows", "user_blocks", "activities", "notifications"):
        assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_nobody_follows_or_blocks_more_than_the_limit_also_in_two_calls_at_once(social: Client, sql: Sql) -> None:
    ann = await social.sign_up("ann")
    many = await make_people(sql, MOST_BLOCKED + 1)
    await sql.execute(
        "INSERT INTO follows (follower_id, followee_id, at) SELECT $1, id, now() FROM unnest($2::uuid[]) AS id",
        ann.user_id,
        many[: MOST_FOLLOWED - 1],
    )
    two = await asyncio.gather(
        *(follow(social, ann, whom) for whom in many[MOST_FOLLOWED : MOST_FOLLOWED + 2]), return_exceptions=True
    )
    [refused] = [one for one in two if isinstance(one, DomainError)]
    assert isinstance(refused, ResourceExhausted)
    assert (refused.reason, refused.metadata["limit"]) == (FollowLimitReached.default_reason, str(MOST_FOLLOWED))
    assert await sql.fetchval("SELECT count(*) FROM follows") == MOST_FOLLOWED
    assert await follow(social, ann, many[0]) == RELATION(is_following=True)
    await sql.execute("DELETE FROM follows")
    await sql.execute(
        "INSERT INTO user_blocks (blocker_id, blocked_id, at) SELECT $1, id, now() FROM unnest($2::uuid[]) AS id",
        ann.user_id,
        many[:MOST_BLOCKED],
    )
    with pytest.raises(ResourceExhausted) as full:
        await block(social, ann, many[MOST_BLOCKED])
    assert full.value.reason == "BLOCKLIST_FULL"
    assert await block(social, ann, many[0]) == RELATION(is_blocked=True)


async def test_follow_and_block_at_once_never_leave_a_follow_behind(social: Client, sql: Sql) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    for _ in range(8):
        await asyncio.gather(
            follow(social, bob, ann.user_id),
            follow(social, ann, bob.user_id),
            block(social, ann, bob.user_id),
            block(social, bob, ann.user_id),
            return_exceptions=True,
        )
        assert await sql.fetchval("SELECT count(*) FROM user_blocks") == 2
        assert await sql.fetchval("SELECT count(*) FROM follows") == 0
        await unblock(social, ann, bob.user_id)
        await unblock(social, bob, ann.user_id)
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM signals"))
    rows = await sql.fetch("SELECT followers, following FROM person_counts WHERE followers <> 0 OR following <> 0")
    assert rows == []


async def test_lists_of_followers_have_everybody_once_in_pages_newest_first(social: Client, sql: Sql) -> None:
    star = await make_person(sql, "star")
    names = [f"fan{number:02}" for number in range(7)]
    fans = [await make_person(sql, name) for name in names]
    for number, fan in enumerate(fans):
        # Two of each moment: the id decides.
        at = NOW.replace(minute=number // 2)
        await follow_in_tables(sql, fan, star, at)
        await follow_in_tables(sql, star, fan, at)
    expected = ["fan06", "fan04", "fan05", "fan02", "fan03", "fan00", "fan01"]
    for size in (1, 2, 3, 7, 100):
        assert await followers(social, None, star, size) == expected
        assert await following(social, None, star, size) == expected
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", fans[4])
    await sql.execute("UPDATE users SET deleted_at = now() WHERE user_id = $1", fans[5])
    assert await followers(social, None, star, 2) == ["fan06", "fan02", "fan03", "fan00", "fan01"]
    assert await following(social, None, star, 2) == ["fan06", "fan02", "fan03", "fan00", "fan01"]


async def test_nobody_is_told_of_themselves_of_the_same_twice_or_across_a_block(social: Client, sql: Sql) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    await follow(social, ann, bob.user_id)
    await unfollow(social, ann, bob.user_id)
    await follow(social, ann, bob.user_id)
    assert await sql.fetchval("SELECT count(*) FROM notifications") == 1
    assert await sql.fetchval("SELECT count(*) FROM activities") == 1
