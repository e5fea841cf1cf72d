from datetime import timedelta

import pytest

from museed.social.v1 import notifications_pb2, people_events_pb2, people_pb2
from services.chassis.errors import InvalidArgument
from services.social.domain.activities import first_id_of
from services.social.domain.ids import UserId, new_id
from services.social.domain.notifications import MOST_UNREAD, NotificationKind
from services.social.store import activities, notifications
from services.social.store.database import Database
from services.social.wiring.people import forgetting
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql
from tests.integration.social.hands import Hands
from tests.integration.social.people_steps import (
    NOW,
    block,
    follow,
    follow_in_tables,
    like,
    make_person,
    notes,
    people,
    show,
)


async def listed(client: Client, who: Person, size: int = 0, *, unread_only: bool = False) -> list[str]:
    """All notifications by id, page by page."""
    found, token = list[str](), ""
    while True:
        request = notifications_pb2.ListNotificationsRequest(page_size=size, page_token=token, unread_only=unread_only)
        answer = await notes(client).ListNotifications(request, timeout=TIMEOUT_S, metadata=who.metadata)
        found += [one.notification_id for one in answer.notifications]
        token = answer.next_page_token
        if not token:
            return found


async def unread(client: Client, who: Person) -> int:
    request = notifications_pb2.CountUnreadRequest()
    return (await notes(client).CountUnread(request, timeout=TIMEOUT_S, metadata=who.metadata)).unread_count


async def mark(client: Client, who: Person, *ids: str, up_to: str = "") -> int:
    return (await marked(client, who, *ids, up_to=up_to)).unread_count


async def marked(client: Client, who: Person, *ids: str, up_to: str = "") -> notifications_pb2.MarkReadResponse:
    request = notifications_pb2.MarkReadRequest(notification_ids=ids, up_to_id=up_to)
    return await notes(client).MarkRead(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def tell(database: Database, user_id: str, count: int = 1) -> None:
    async with database.transaction() as connection:
        for _ in range(count):
            await activities.notify(connection, UserId(user_id), NotificationKind.JOB_ENDED, NOW, subject_id=new_id())


async def test_notifications_are_listed_counted_and_read(database: Database, social: Client, sql: Sql) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    await tell(database, ann.user_id, 5)
    await tell(database, bob.user_id, 1)
    rows = await sql.fetch("SELECT notification_id FROM notifications WHERE user_id = $1 ORDER BY 1 DESC", ann.user_id)
    ids = [str(row[0]) for row in rows]
    for size in (1, 2, 5, 100):
        assert await listed(social, ann, size) == ids
        assert await listed(social, ann, size, unread_only=True) == ids
    assert await unread(social, ann) == 5
    assert await mark(social, ann, ids[1], ids[1], new_id(), "nonsense") == 4
    assert await mark(social, ann, ids[1]) == 4
    assert await listed(social, ann, 2, unread_only=True) == [ids[0], *ids[2:]]
    assert await mark(social, ann, up_to=ids[3]) == 2
    assert await listed(social, ann, 2, unread_only=True) == [ids[0], ids[2]]
    assert await listed(social, ann, 2) == ids
    told = (await marked(social, ann, ids[0], ids[0], "nonsense", up_to=ids[3])).notifications
    assert [one.notification_id for one in told] == [ids[0], *ids[3:]]
    assert all(one.HasField("read_at") for one in told)
    theirs = (await listed(social, bob))[0]
    assert list((await marked(social, ann, theirs)).notifications) == []
    assert await mark(social, ann, theirs, up_to=theirs) == 0
    assert await unread(social, bob) == 1
    with pytest.raises(InvalidArgument) as nothing:
        await mark(social, ann)
    assert nothing.value.reason == "REQUIRED"
    with pytest.raises(InvalidArgument):
        await mark(social, ann, up_to="nonsense")
    with pytest.raises(InvalidArgument):
        await mark(social, ann, *[new_id() for _ in range(101)])


async def test_count_of_unread_ends_at_its_bound(social: Client, sql: Sql) -> None:
    ann = await social.sign_up("ann")
    await sql.execute(
        "INSERT INTO notifications (notification_id, user_id, kind, subject_id, at)"
        " SELECT uuidv7(), $1, 'JOB_ENDED', uuidv7(), now() FROM generate_series(1, 5001)",
        ann.user_id,
    )
    assert await unread(social, ann) == MOST_UNREAD
    newest = str(await sql.fetchval("SELECT notification_id FROM notifications ORDER BY 1 DESC LIMIT 1"))
    # More than are marked by one statement.
    assert await mark(social, ann, up_to=newest) == 0


async def test_who_is_blocked_or_gone_and_what_is_deleted_is_not_told_of(
    database: Database, social: Client, sql: Sql
) -> None:
    ann, bob, eve = [await social.sign_up(name) for name in ("ann", "bob", "eve")]
    await follow(social, bob, ann.user_id)
    await follow(social, eve, ann.user_id)
    playlist_id = await show(sql, ann.user_id)
    await like(sql, bob.user_id, playlist_id)
    async with database.transaction() as connection:
        for kind in (NotificationKind.LIKED, NotificationKind.LIKED, NotificationKind.SAVED):
            await activities.notify(
                connection, UserId(ann.user_id), kind, NOW, actor_id=UserId(bob.user_id), playlist_id=playlist_id
            )
        await activities.notify(  # oneself
            connection,
            UserId(ann.user_id),
            NotificationKind.LIKED,
            NOW,
            actor_id=UserId(ann.user_id),
            playlist_id=playlist_id,
        )
    assert len(await listed(social, ann)) == 4
    assert await unread(social, ann) == 4
    await block(social, ann, bob.user_id)
    assert len(await listed(social, ann)) == 1
    assert await unread(social, ann) == 1
    async with database.transaction() as connection:
        for who, other in ((ann, bob), (bob, ann)):
            await activities.notify(
                connection, UserId(who.user_id), NotificationKind.COMMENTED, NOW, actor_id=UserId(other.user_id)
            )
    assert await sql.fetchval("SELECT count(*) FROM notifications WHERE kind = 'COMMENTED'") == 0
    await sql.execute("DELETE FROM user_blocks")
    # The block has ended that bob follows.
    assert len(await listed(social, ann)) == 3
    await follow_in_tables(sql, bob.user_id, ann.user_id)
    assert len(await listed(social, ann)) == 4
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", eve.user_id)
    assert len(await listed(social, ann)) == 3
    await sql.execute("DELETE FROM playlists WHERE playlist_id = $1", playlist_id)
    assert len(await listed(social, ann)) == 1
    assert await unread(social, ann) == 1


async def test_what_is_undone_is_not_told_of_until_it_is_done_again(
    database: Database, social: Client, sql: Sql
) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    playlist_id = await show(sql, ann.user_id)
    hands = Hands(social, bob)
    await hands.like(playlist_id)
    await follow(social, bob, ann.user_id)
    both = await listed(social, ann)
    assert len(both) == await unread(social, ann) == 2
    await hands.unlike(playlist_id)
    assert await listed(social, ann) == both[:1]
    await people(social).Unfollow(
        people_pb2.UnfollowRequest(user_id=ann.user_id), timeout=TIMEOUT_S, metadata=bob.metadata
    )
    assert (await listed(social, ann), await unread(social, ann)) == ([], 0)
    await hands.like(playlist_id)
    await follow(social, bob, ann.user_id)
    assert (await listed(social, ann), await unread(social, ann)) == (both, 2)


async def test_each_notification_is_an_event_and_kinds_have_their_subject(
    database: Database, social: Client, sql: Sql
) -> None:
    ann = await social.sign_up("ann")
    job_id, report_id = new_id(), new_id()
    async with database.transaction() as connection:
        me = UserId(ann.user_id)
        await activities.notify(connection, me, NotificationKind.JOB_ENDED, NOW, subject_id=job_id)
        await activities.notify(connection, me, NotificationKind.REPORT_DECIDED, NOW, subject_id=report_id)
        await activities.notify(connection, me, "BADGE", NOW, badge="gardener.2")
        told = (
            "SELECT payload FROM outbox WHERE subject = 'museed.social.v1.notification_added' AND key = $1 ORDER BY id"
        )
        rows = await connection.fetch(told, ann.user_id)
    request = notifications_pb2.ListNotificationsRequest()
    answer = await notes(social).ListNotifications(request, timeout=TIMEOUT_S, metadata=ann.metadata)
    assert [(one.job_id, one.report_id, one.badge) for one in answer.notifications] == [
        ("", "", "gardener.2"),
        ("", report_id, ""),
        (job_id, "", ""),
    ]
    added = [people_events_pb2.NotificationAdded.FromString(row["payload"]) for row in rows]
    assert [one.notification for one in added] == list(answer.notifications)[::-1]
    assert {one.user_id for one in added} == {ann.user_id}
    assert answer.notifications[0].at.ToDatetime(NOW.tzinfo) == NOW
    assert not answer.notifications[0].HasField("read_at")


async def test_old_notifications_are_forgotten(database: Database, sql: Sql) -> None:
    ann = await make_person(sql, "ann")
    ids = [first_id_of(NOW - timedelta(days=days)) for days in (91, 89)]
    for one in ids:
        await sql.execute(
            "INSERT INTO notifications (notification_id, user_id, kind, subject_id, at)"
            " VALUES ($1::uuid, $2, 'JOB_ENDED', $1::uuid, now())",
            one,
            ann,
        )
    await forgetting(notifications.delete_old, 90)(database, NOW)
    assert [str(row[0]) for row in await sql.fetch("SELECT notification_id FROM notifications")] == [ids[1]]
