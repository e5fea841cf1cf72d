import itertools

import pytest

from museed.social.v1 import access_pb2
from services.chassis.errors import InvalidArgument, NotFound
from services.social.domain.activities import ActivityKind
from services.social.domain.ids import PlaylistId, UserId, new_id
from services.social.domain.notifications import NotificationKind
from services.social.domain.playlists import Visibility
from services.social.domain.visibility import Thing, may_open
from services.social.store import activities
from services.social.store.database import Database
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql
from tests.integration.social.hands import Hands
from tests.integration.social.people_steps import (
    NOW,
    block,
    follow,
    follow_in_tables,
    make_person,
    make_playlist,
    profile,
    show,
    views,
)

PLAYLIST, JOB = access_pb2.THING_KIND_PLAYLIST, access_pb2.THING_KIND_JOB
NOTIFICATION, ACTIVITY = access_pb2.THING_KIND_NOTIFICATION, access_pb2.THING_KIND_ACTIVITY
USER, COMMENT = access_pb2.THING_KIND_USER, access_pb2.THING_KIND_COMMENT
Named = tuple["access_pb2.ThingKind.ValueType", str]


async def can_view(client: Client, who: Person | None, *things: Named) -> list[bool]:
    request = access_pb2.CanViewRequest(things=[access_pb2.Thing(kind=kind, id=one) for kind, one in things])
    metadata = None if who is None else who.metadata
    return list((await views(client).CanView(request, timeout=TIMEOUT_S, metadata=metadata)).can_view)


async def test_playlists_are_seen_as_the_rules_say_by_every_kind_of_caller(social: Client, sql: Sql) -> None:
    callers = {name: await social.sign_up(name) for name in ("owner", "other", "blocked", "blocker")}
    things: dict[PlaylistId, Thing] = {}
    for number, (visibility, is_hidden, state) in enumerate(
        itertools.product(Visibility, (False, True), ("", "suspended_at", "deleted_at", "own"))
    ):
        owner = UserId(callers["owner"].user_id) if state == "own" else await make_person(sql, f"maker{number}")
        playlist_id = await make_playlist(sql, owner)
        await sql.execute("UPDATE playlists SET visibility = $2 WHERE playlist_id = $1", playlist_id, visibility)
        if is_hidden:
            await sql.execute(
                "UPDATE playlists SET visibility = 'PRIVATE', hidden_at = now(), hidden_from = $2"
                " WHERE playlist_id = $1",
                playlist_id,
                visibility,
            )
        if state.endswith("_at"):
            await sql.execute(f"UPDATE users SET {state} = now() WHERE user_id = $1", owner)
        things[playlist_id] = Thing(
            owner, Visibility.PRIVATE if is_hidden else visibility, is_hidden, not state.endswith("_at")
        )
    await block(social, callers["owner"], callers["blocked"].user_id)
    await block(social, callers["blocker"], callers["owner"].user_id)
    for who in (None, *callers.values()):
        viewer_id = None if who is None else UserId(who.user_id)
        seen = await can_view(social, who, *[(PLAYLIST, one) for one in things])
        assert seen == [may_open(thing, viewer_id) for thing in things.values()]
        assert any(seen)
        is_admin = who is callers["owner"]  # the first to sign up: opens what is hidden, and sees no more of it
        for playlist_id, thing in list(things.items())[::5]:
            assert await opens(social, who, playlist_id) == may_open(thing, viewer_id, is_admin=is_admin)


async def opens(client: Client, who: Person | None, playlist_id: str) -> bool:
    try:
        await client.playlist(who, playlist_id)
    except NotFound:
        return False
    return True


async def test_people_are_seen_as_their_profiles_are(social: Client, sql: Sql) -> None:
    ann, bob, eve = [await social.sign_up(name) for name in ("ann", "bob", "eve")]
    suspended, gone = await make_person(sql, "suspended"), await make_person(sql, "gone")
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", suspended)
    await sql.execute("UPDATE users SET deleted_at = now() WHERE user_id = $1", gone)
    await block(social, ann, bob.user_id)
    ids = [ann.user_id, bob.user_id, eve.user_id, suspended, gone, new_id()]
    for who in (None, ann, bob, eve):
        expected = []
        for user_id in ids:
            try:
                await profile(social, who, user_id)
            except NotFound:
                expected.append(False)
            else:
                expected.append(True)
        assert await can_view(social, who, *((USER, one) for one in ids)) == expected
    assert await can_view(social, bob, (USER, ann.user_id), (USER, bob.user_id)) == [False, True]


async def test_own_jobs_and_notifications_and_the_own_feed_are_seen(
    social: Client, database: Database, sql: Sql
) -> None:
    ann, bob, eve = [await social.sign_up(name) for name in ("ann", "bob", "eve")]
    job_id = new_id()
    await sql.execute(
        "INSERT INTO jobs (job_id, user_id, kind, state, request, run_after, due_at)"
        " VALUES ($1, $2, 'EXTENSION', 'QUEUED', '{}', 'infinity', now() + interval '1 day')",
        job_id,
        ann.user_id,
    )
    await follow(social, ann, bob.user_id)
    await follow(social, eve, bob.user_id)
    playlist_id = await show(sql, eve.user_id)
    await follow_in_tables(sql, bob.user_id, ann.user_id)
    async with database.transaction() as connection:
        me = UserId(bob.user_id)
        await activities.record(connection, ActivityKind.SAVED, me, NOW, playlist_id=playlist_id)
        await activities.notify(
            connection, UserId(ann.user_id), NotificationKind.FOLLOWED, NOW, actor_id=UserId(bob.user_id)
        )
    activity_id = str(await sql.fetchval("SELECT activity_id FROM activities WHERE kind = 'SAVED'"))
    note_id = str(await sql.fetchval("SELECT notification_id FROM notifications WHERE user_id = $1", ann.user_id))
    things = [(JOB, job_id), (NOTIFICATION, note_id), (ACTIVITY, activity_id)]
    assert await can_view(social, ann, *things) == [True, True, True]
    assert await can_view(social, eve, *things) == [False, False, True]
    assert await can_view(social, bob, *things) == [False, False, False]
    assert await can_view(social, None, *things) == [False, False, False]
    await block(social, ann, bob.user_id)
    assert await can_view(social, ann, *things) == [True, False, False]


async def test_comments_are_seen_as_below_their_playlists(social: Client, sql: Sql) -> None:
    admin = await social.sign_up("admin")
    owner, author, other, blocked = [await social.sign_up(name) for name in ("owner", "author", "other", "blocked")]
    callers = [None, *(Hands(social, who) for who in (admin, owner, author, other, blocked))]
    playlist_id = await show(sql, owner.user_id)
    comment_id = (await Hands(social, author).comment(playlist_id, "Hm")).comment_id

    async def check(*seen_by: Person | None) -> None:
        for hands in callers:
            who = None if hands is None else hands.person
            seen = await can_view(social, who, (COMMENT, comment_id), (COMMENT, new_id()))
            assert seen == [who in seen_by, False]
            if any(seen):
                listed = (await (hands or Hands(social, None)).comments(playlist_id)).comments
                assert [one.comment_id for one in listed] == [comment_id]

    await check(None, admin, owner, author, other, blocked)
    await block(social, author, blocked.user_id)
    await check(None, admin, owner, author, other)
    for statement, seen_by in (
        ("UPDATE comments SET hidden_at = {}", [admin, author]),
        ("UPDATE comments SET deleted_at = {}", []),
        ("UPDATE users SET suspended_at = {} WHERE username = 'author'", []),
        ("UPDATE users SET suspended_at = {} WHERE username = 'owner'", [owner]),
    ):
        await sql.execute(statement.format("now()"))
        await check(*seen_by)
        await sql.execute(statement.format("NULL"))
    await sql.execute("UPDATE playlists SET visibility = 'PRIVATE'")
    await check(owner)


async def test_answers_come_in_the_order_of_the_request_whatever_is_asked_twice(social: Client, sql: Sql) -> None:
    ann = await social.sign_up("ann")
    shown: str = await show(sql, ann.user_id)
    private: str = await make_playlist(sql, UserId(ann.user_id))
    things: list[Named] = [
        (PLAYLIST, private),
        (USER, ann.user_id),
        (PLAYLIST, shown),
        (USER, shown),
        (JOB, "nonsense"),
        (PLAYLIST, shown),
    ]
    assert await can_view(social, None, *things) == [False, True, True, False, False, True]
    assert await can_view(social, ann, *things * 80) == [True, True, True, False, False, True] * 80
    for wrong in ([], things * 84, [(access_pb2.THING_KIND_UNSPECIFIED, shown)]):
        with pytest.raises(InvalidArgument):
            await can_view(social, ann, *wrong)
