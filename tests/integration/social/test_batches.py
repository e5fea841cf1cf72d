"""Lists of several people at once say what the RPC for one person says, and go on by its page tokens."""

from typing import Any

import pytest

from museed.social.v1 import badges_pb2, badges_pb2_grpc, listening_pb2, listening_pb2_grpc, people_pb2
from services.chassis.errors import InvalidArgument, NotFound
from services.social.domain.ids import new_id
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql
from tests.integration.social.people_steps import block, follow, people
from tests.integration.social.test_public_profiles import hear


def _as(who: Person | None) -> dict[str, Any]:
    return {"timeout": TIMEOUT_S, "metadata": None if who is None else who.metadata}


async def test_first_pages_of_follows_are_those_of_one_person_and_go_on(social: Client) -> None:
    ann, bob, cid, dan = [await social.sign_up(name) for name in ("ann", "bob", "cid", "dan")]
    for who in (bob, cid, dan):
        await follow(social, who, ann.user_id)
    await follow(social, cid, bob.user_id)
    both = [ann.user_id, bob.user_id, new_id(), "nonsense"]
    request = people_pb2.BatchGetFollowersRequest(user_ids=both, page_size=2)
    pages = {page.user_id: page for page in (await people(social).BatchGetFollowers(request, **_as(bob))).pages}
    assert set(pages) == {ann.user_id, bob.user_id}
    for user_id, page in pages.items():
        one = people_pb2.ListFollowersRequest(user_id=user_id, page_size=2)
        single = await people(social).ListFollowers(one, **_as(bob))
        assert list(page.edges) == list(single.followers)
        assert page.next_page_token == single.next_page_token
    assert [edge.user.username for edge in pages[ann.user_id].edges] == ["dan", "cid"]
    one = people_pb2.ListFollowersRequest(user_id=ann.user_id, page_token=pages[ann.user_id].next_page_token)
    rest = await people(social).ListFollowers(one, **_as(bob))
    assert [edge.user.username for edge in rest.followers] == ["bob"]
    asked = people_pb2.BatchGetFollowingRequest(user_ids=[cid.user_id, dan.user_id, ann.user_id])
    found = {page.user_id: page for page in (await people(social).BatchGetFollowing(asked, **_as(None))).pages}
    assert [edge.user.username for edge in found[cid.user_id].edges] == ["bob", "ann"]
    assert [edge.user.username for edge in found[dan.user_id].edges] == ["ann"]
    assert list(found[ann.user_id].edges) == []


async def test_whom_the_caller_may_not_see_is_in_no_batch(social: Client, sql: Sql) -> None:
    ann, bob, cid, dan = [await social.sign_up(name) for name in ("ann", "bob", "cid", "dan")]
    for who in (bob, cid):
        await follow(social, who, ann.user_id)
    await follow(social, bob, dan.user_id)
    await block(social, dan, cid.user_id)
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", bob.user_id)
    ids = [ann.user_id, bob.user_id, dan.user_id]
    request = people_pb2.BatchGetFollowersRequest(user_ids=ids)
    pages = (await people(social).BatchGetFollowers(request, **_as(cid))).pages
    assert {page.user_id: [edge.user.username for edge in page.edges] for page in pages} == {ann.user_id: ["cid"]}
    badges, listening = badges_pb2_grpc.BadgeServiceStub(social.channel), listening_pb2_grpc.ListeningServiceStub
    of = await badges.BatchGetBadges(badges_pb2.BatchGetBadgesRequest(user_ids=ids), **_as(cid))
    drawn = await badges.BatchGetAvatars(badges_pb2.BatchGetAvatarsRequest(user_ids=ids), **_as(cid))
    heard = await listening(social.channel).BatchGetListening(
        listening_pb2.BatchGetListeningRequest(user_ids=ids), **_as(cid)
    )
    assert [one.user_id for one in of.users] == [ann.user_id]
    assert [one.user_id for one in drawn.avatars] == [ann.user_id]
    assert [one.user_id for one in heard.users] == [ann.user_id]


async def test_badges_pictures_and_listening_of_several_are_those_of_each(social: Client, sql: Sql) -> None:
    ann, bob, shy = [await social.sign_up(name) for name in ("ann", "bob", "shy")]
    await hear(sql, ann.user_id, 0, "Jazz", 30)
    await hear(sql, bob.user_id, 0, "Rock", 40)
    await hear(sql, shy.user_id, 0, "Folk", 50)
    for who in (ann, bob, shy):
        for badge in ("listener", "sharer"):
            await sql.execute("INSERT INTO badges VALUES ($1, $2, 1, now())", who.user_id, badge)
    await sql.execute("UPDATE users SET is_listed = false WHERE user_id = $1", shy.user_id)
    ids = [ann.user_id, bob.user_id, shy.user_id]
    badges, listening = (
        badges_pb2_grpc.BadgeServiceStub(social.channel),
        listening_pb2_grpc.ListeningServiceStub(social.channel),
    )
    of = await badges.BatchGetBadges(badges_pb2.BatchGetBadgesRequest(user_ids=ids), **_as(bob))
    assert {one.user_id for one in of.users} == set(ids)
    for found in of.users:
        request = badges_pb2.ListBadgesRequest(user_id=found.user_id)
        assert list(found.badges) == list((await badges.ListBadges(request, **_as(bob))).badges)
    earned = {
        one.user_id: [badge.name for badge in one.badges if badge.tiers[0].HasField("earned_at")] for one in of.users
    }
    assert earned == {ann.user_id: ["sharer", "listener"], bob.user_id: ["sharer", "listener"], shy.user_id: ["sharer"]}
    drawn = await badges.BatchGetAvatars(badges_pb2.BatchGetAvatarsRequest(user_ids=ids), **_as(bob))
    assert len({one.etag for one in drawn.avatars}) == 3
    for picture in drawn.avatars:
        one = await badges.GetAvatar(badges_pb2.GetAvatarRequest(user_id=picture.user_id), **_as(bob))
        assert (picture.svg, picture.etag) == (one.svg, one.etag)
    heard = await listening.BatchGetListening(listening_pb2.BatchGetListeningRequest(user_ids=ids), **_as(bob))
    assert {one.user_id: one.listening.top_genre for one in heard.users} == {ann.user_id: "Jazz", bob.user_id: "Rock"}
    own = await listening.BatchGetListening(listening_pb2.BatchGetListeningRequest(user_ids=ids), **_as(shy))
    assert {one.user_id for one in own.users} == set(ids)
    with pytest.raises(NotFound):
        await listening.GetListening(listening_pb2.GetListeningRequest(user_id=shy.user_id), **_as(bob))


async def test_a_batch_has_its_bound(social: Client) -> None:
    ids = [new_id() for _ in range(101)]
    badges, listening = (
        badges_pb2_grpc.BadgeServiceStub(social.channel),
        listening_pb2_grpc.ListeningServiceStub(social.channel),
    )
    calls: list[Any] = [
        people(social).BatchGetFollowers(people_pb2.BatchGetFollowersRequest(user_ids=ids), timeout=TIMEOUT_S),
        people(social).BatchGetFollowing(people_pb2.BatchGetFollowingRequest(user_ids=ids), timeout=TIMEOUT_S),
        badges.BatchGetBadges(badges_pb2.BatchGetBadgesRequest(user_ids=ids), timeout=TIMEOUT_S),
        badges.BatchGetAvatars(badges_pb2.BatchGetAvatarsRequest(user_ids=ids[:51]), timeout=TIMEOUT_S),
        listening.BatchGetListening(listening_pb2.BatchGetListeningRequest(user_ids=ids[:21]), timeout=TIMEOUT_S),
    ]
    limits = []
    for call in calls:
        with pytest.raises(InvalidArgument) as caught:
            await call
        limits.append((caught.value.field, caught.value.limit))
    assert limits == [("user_ids", "100")] * 3 + [("user_ids", "50"), ("user_ids", "20")]
