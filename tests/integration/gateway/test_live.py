"""The feed, notifications and a playlist over real sockets and a real NATS: without a gap, whoever goes away."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from museed.social.v1 import (
    editing_pb2,
    feed_pb2,
    notifications_pb2,
    people_events_pb2,
    playlists_pb2,
)
from services.chassis.bus import PEOPLE_EVENTS, SOCIAL_EVENTS, Bus
from services.chassis.errors import PermissionDenied, Unavailable
from services.gateway.live import following, hub
from services.gateway.live.cursors import Place
from services.gateway.live.topics import activity_item
from services.gateway.schema import live as live_schema
from tests.conftest import NatsServer
from tests.fakes.answers import NOW
from tests.fakes.upstreams import timestamp
from tests.integration.gateway.conftest import Gateway, serving_gateway
from tests.integration.gateway.live_steps import (
    ANN,
    BOB,
    EVE,
    activity,
    do,
    event,
    failure,
    hearing,
    let_see,
    notify,
    tell,
)
from tests.integration.gateway.socket_client import SocketClient, initialised

FEED = "subscription($after: String) { feed(after: $after) { cursor activity { at } } }"
NOTES = """subscription($after: String) { notifications(after: $after) {
  cursor unreadCount notification { at } } }"""
CHANGES = "subscription($id: ID!) { playlistChanges(playlistId: $id) { changes playlist { title version } } }"


@pytest.fixture
async def live(own_gateway: Gateway, bus: Bus, nats_server: NatsServer) -> AsyncIterator[Gateway]:
    """A gateway that follows a real NATS."""
    let_see(own_gateway.social)
    async with hearing(own_gateway, bus, nats_server):
        yield own_gateway


@contextlib.asynccontextmanager
async def feed_of_ann(gateway: Gateway, after: str | None = None, query: str = FEED) -> AsyncIterator[SocketClient]:
    async with asyncio.timeout(60), initialised(gateway.url, ann(gateway)) as client:
        await client.subscribe("1", query, {"after": after})
        yield client


def ann(gateway: Gateway, **claims: Any) -> str:
    return gateway.bearer(sub=ANN, **claims)["Authorization"]


def moment(seconds: int) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def at(activity: feed_pb2.Activity) -> str:
    return activity.at.ToDatetime(tzinfo=UTC).isoformat()


async def seconds_of(client: SocketClient, count: int) -> list[int]:
    """Take so many activities and tell them by the second in which they were done."""
    found: list[int] = []
    while len(found) < count:
        made = (await event(client))["activity"]
        if made is not None:
            found.append(round((NOW.fromisoformat(made["at"]) - NOW).total_seconds()))
    return found


async def test_followed_people_are_in_the_feed_as_far_as_they_may_be_seen(live: Gateway, bus: Bus) -> None:
    made = [activity(who, NOW + timedelta(seconds=second)) for second, who in enumerate([BOB, EVE, BOB, BOB, BOB])]
    let_see(live.social, made[2].activity_id, made[3].activity_id)
    async with feed_of_ann(live) as client:
        assert (await event(client))["activity"] is None
        for one in made:
            await tell(bus, "activity_recorded", people_events_pb2.ActivityRecorded(activity=one))
        assert await seconds_of(client, 2) == [0, 4]
        await do(bus, 9)
        assert await seconds_of(client, 1) == [9]
        spent = live.behind.spent()
        assert set(spent) == {"ListFollowedIds", "CanView"}
        assert spent["CanView"] <= 5  # whom nobody follows is not asked for
        assert live.social.seen_tokens["CanView"] == ann(live).removeprefix("Bearer ")
    async with asyncio.timeout(60):
        while live.parts.live.hub.follower_count:
            await asyncio.sleep(0.01)


async def test_a_cursor_goes_on_behind_its_event_in_another_process(
    live: Gateway, bus: Bus, nats_server: NatsServer, tmp_path: Path
) -> None:
    async with feed_of_ann(live) as client:
        start = (await event(client))["cursor"]
        for second in range(3):
            await do(bus, second)
        events = [await event(client) for _ in range(3)]
    for second in range(3, 6):
        await do(bus, second)  # nobody is there
    async with serving_gateway(tmp_path / "other") as other, hearing(other, bus, nats_server):
        let_see(other.social)
        for number, cursor in enumerate([start, *(one["cursor"] for one in events)]):
            async with feed_of_ann(other, cursor) as client:
                assert (await event(client))["activity"] is None
                assert await seconds_of(client, 6 - number) == list(range(number, 6))
                await do(bus, 10 + number)
                assert await seconds_of(client, 1) == [10 + number]
                await do(bus, 6)  # for those who come next: all behind their cursor is theirs
                assert await seconds_of(client, 1) == [6]
            break
        for number, one in enumerate(events):
            async with feed_of_ann(other, one["cursor"]) as client:
                await event(client)
                assert await seconds_of(client, 7 - number) == [*range(number + 1, 6), 10, 6]
        assert "ListFeed" not in other.behind.spent()


async def test_what_the_process_keeps_no_more_is_read_from_rows_once(
    live: Gateway, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    async with feed_of_ann(live) as client:
        await event(client)
        made = [activity(at=now - timedelta(seconds=30 - number)) for number in range(6)]
        for one in made[:3]:
            await tell(bus, "activity_recorded", people_events_pb2.ActivityRecorded(activity=one))
        events = [await event(client) for _ in range(3)]
    live.parts.live.hub.begin(live.parts.live.hub.here)  # as if all of it had been too long ago
    live.social.answers["ListFeed"] = feed_pb2.ListFeedResponse(activities=made[::-1])
    for seen, shown in enumerate(events, start=1):
        async with feed_of_ann(live, shown["cursor"]) as client:
            await event(client)
            rows = [await event(client) for _ in range(6 - seen)]
            assert [row["activity"]["at"] for row in rows] == [at(each) for each in made[seen:]]
            # Told of late: it was in the rows.
            await tell(bus, "activity_recorded", people_events_pb2.ActivityRecorded(activity=made[4]))
            last = activity(at=now + timedelta(seconds=seen))
            await tell(bus, "activity_recorded", people_events_pb2.ActivityRecorded(activity=last))
            assert (await event(client))["activity"]["at"] == at(last)
        live.parts.live.hub.begin(live.parts.live.hub.here)
    async with feed_of_ann(live, rows[-2]["cursor"]) as client:  # of a row itself
        await event(client)
        assert (await event(client))["activity"]["at"] == at(made[5])


async def test_too_much_is_read_anew_by_the_client(live: Gateway, bus: Bus) -> None:
    async with feed_of_ann(live) as client:
        cursor = (await event(client))["cursor"]
    live.parts.live.hub.begin(live.parts.live.hub.here)
    live.parts.live.hub.put(activity_item(activity(), live.parts.live.hub.here.sequence + 1))
    live.parts.live.hub.begin(Place(1, 0))
    live.social.answers["ListFeed"] = lambda request: feed_pb2.ListFeedResponse(
        activities=[activity(at=datetime.now(UTC)) for _ in range(100)], next_page_token="more"
    )
    async with feed_of_ann(live, cursor) as client:
        await event(client)
        found = await failure(client)
        assert (found["code"], found["reason"], found["limit"]) == ("FAILED_PRECONDITION", "CURSOR_TOO_OLD", "500")


async def test_followers_of_a_stream_that_was_lost_read_rows_and_follow_the_new_one(
    live: Gateway, bus: Bus, nats_server: NatsServer
) -> None:
    async with feed_of_ann(live) as client:
        await event(client)
        await do(bus, 1)
        assert await seconds_of(client, 1) == [1]
        lost = activity(at=datetime.now(UTC))
        live.social.answers["ListFeed"] = feed_pb2.ListFeedResponse(activities=[lost])
        nats_server.kill()
        shutil.rmtree(nats_server.store)
        nats_server.start()
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(Unavailable):
                    await bus.ensure_streams()
                    break
        while (found := await event(client))["activity"] is None:
            pass
        assert found["activity"]["at"] == at(lost)
        await do(bus, 2)
        assert await seconds_of(client, 1) == [2]


async def test_a_slow_follower_falls_behind_and_loses_nothing(
    live: Gateway, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MOST_WAITING", 2)
    async with feed_of_ann(live) as client:
        await event(client)
        live.social.delays_s["CanView"] = 0.3
        for second in range(12):
            await do(bus, second)
        assert await seconds_of(client, 12) == list(range(12))


async def test_followers_outlast_a_social_that_is_away(live: Gateway, bus: Bus) -> None:
    async with feed_of_ann(live) as client:
        await event(client)
        live.social.faults["CanView"] = Unavailable("away", reason="DATABASE_UNAVAILABLE")
        await do(bus, 1)
        async with asyncio.timeout(60):
            while live.social.calls["CanView"] < 2:
                await asyncio.sleep(0.01)
        del live.social.faults["CanView"]
        assert await seconds_of(client, 1) == [1]
        live.social.faults["CanView"] = PermissionDenied("no", reason="SCOPE_MISSING")
        await do(bus, 2)
        assert (await failure(client))["reason"] == "SCOPE_MISSING"
        assert (await client.receive())["type"] == "complete"


async def test_whom_one_begins_to_follow_is_in_the_feed_whichever_is_told_first(live: Gateway, bus: Bus) -> None:
    async with feed_of_ann(live) as client:
        await event(client)
        await do(bus, 1, EVE)  # she is followed already, and it was not told yet
        await do(bus, -60, EVE)
        follow = people_events_pb2.UserFollowed(follower_id=ANN, followee_id=EVE, followed_at=timestamp(NOW))
        await tell(bus, "user_followed", follow)
        assert await seconds_of(client, 1) == [1]
        await do(bus, 2, EVE)
        assert await seconds_of(client, 1) == [2]
        await tell(bus, "user_followed", follow)
        unfollow = people_events_pb2.UserUnfollowed(follower_id=ANN, followee_id=EVE, unfollowed_at=timestamp(NOW))
        await tell(bus, "user_unfollowed", unfollow)
        await do(bus, 3, EVE)
        await do(bus, 4)
        assert await seconds_of(client, 1) == [4]


async def test_notifications_come_to_those_who_are_told(live: Gateway, bus: Bus) -> None:
    live.social.answers["CountUnread"] = notifications_pb2.CountUnreadResponse(unread_count=7)
    async with feed_of_ann(live, query=NOTES) as client:
        first = await event(client)
        assert (first["notification"], first["unreadCount"]) == (None, 7)
        await notify(bus, 1, EVE)
        await notify(bus, 2)
        found = await event(client)
        assert (found["notification"]["at"], found["unreadCount"]) == (moment(2), 7)
        await notify(bus, 3)
        assert (await event(client))["notification"]["at"] == moment(3)
    async with feed_of_ann(live, found["cursor"], NOTES) as client:
        await event(client)
        assert (await event(client))["notification"]["at"] == moment(3)


async def test_a_playlist_is_followed_through_its_changes_to_its_end(
    live: Gateway, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "REREAD_S", 600.0)
    monkeypatch.setattr(live_schema, "_COUNTED_AFTER_S", 0.05)
    playlist = live.social.add_playlist(live.social.add_tracks(1))
    kept = live.social.playlists[playlist.playlist_id].playlist
    live.social.answers["BatchGetPlaylists"] = lambda request: editing_pb2.BatchGetPlaylistsResponse(
        playlists=[kept] if kept.visibility == playlists_pb2.VISIBILITY_PUBLIC else []
    )
    id_ = playlist.playlist_id
    async with asyncio.timeout(60), initialised(live.url, None) as client:
        await client.subscribe("1", CHANGES, {"id": playlist.playlist_id})
        assert await event(client) == {"changes": [], "playlist": {"title": "Like Track 000", "version": 1}}
        kept.title, kept.version = "Other", 2
        await tell(bus, "playlist_changed", people_events_pb2.PlaylistChanged(playlist_id=id_, version=2))
        assert await event(client) == {"changes": ["EDITED"], "playlist": {"title": "Other", "version": 2}}
        await tell(bus, "playlist_liked", people_events_pb2.PlaylistLiked(playlist_id=id_))
        found = (await event(client))["changes"]
        await tell(bus, "comment_added", people_events_pb2.CommentAdded(playlist_id=id_))
        found += (await event(client))["changes"]
        assert found == ["LIKES", "COMMENTS"]
        kept.visibility = playlists_pb2.VISIBILITY_PRIVATE
        await tell(bus, "playlist_changed", people_events_pb2.PlaylistChanged(playlist_id=id_, version=3))
        assert await event(client) == {"changes": ["GONE"], "playlist": None}
        assert await client.receive() == {"id": "1", "type": "complete"}
        await client.subscribe("1", CHANGES, {"id": playlist.playlist_id})
        assert (await failure(client))["reason"] == "PLAYLIST_NOT_FOUND"
    assert live.parts.live.hub.bells.watcher_count == 0


async def test_signs_of_life_move_the_cursor(own_gateway: Gateway, bus: Bus, nats_server: NatsServer) -> None:
    settings = own_gateway.parts.settings.model_copy(update={"live_heartbeat_s": 0.05})
    object.__setattr__(own_gateway.parts, "settings", settings)
    let_see(own_gateway.social)
    async with hearing(own_gateway, bus, nats_server) as live, feed_of_ann(live) as client:
        await event(client)
        await do(bus, 1, EVE)
        cursors = {(await event(client))["cursor"] for _ in range(60)}
        places = {live.parts.live.cursors.read(one, "feed", ANN).place.sequence for one in cursors}
        assert max(places) == 1


async def test_followers_outlast_the_time_of_an_operation(tmp_path: Path, bus: Bus, nats_server: NatsServer) -> None:
    async with serving_gateway(tmp_path, request_timeout_s=0.5) as gateway, hearing(gateway, bus, nats_server):
        let_see(gateway.social)
        async with feed_of_ann(gateway) as client:
            await event(client)
            await asyncio.sleep(0.6)  # it is the passing of this time that nothing may depend on
            await do(bus, 1)
            assert await seconds_of(client, 1) == [1]


async def test_cursors_hold_for_one_person_and_one_list(live: Gateway) -> None:
    async with feed_of_ann(live) as client:
        cursor = (await event(client))["cursor"]
    async with asyncio.timeout(60), initialised(live.url, live.bearer(sub=EVE)["Authorization"]) as client:
        await client.subscribe("1", FEED, {"after": cursor})
        assert (await failure(client))["reason"] == "CURSOR_INVALID"
    async with feed_of_ann(live, cursor, NOTES) as client:
        assert (await failure(client))["reason"] == "CURSOR_INVALID"
    for made_up in ("", "x", "é", cursor[:-2], "A" * 200):
        async with feed_of_ann(live, made_up) as client:
            assert (await failure(client))["field"] == "after"


async def test_guests_and_tokens_without_the_scope_follow_nothing(live: Gateway) -> None:
    async with asyncio.timeout(60), initialised(live.url, None) as client:
        for query in (FEED, NOTES):
            await client.subscribe("1", query, {})
            assert (await failure(client))["reason"] == "LOGIN_REQUIRED"
            assert (await client.receive())["type"] == "complete"
    async with asyncio.timeout(60), initialised(live.url, f"Bearer {live.signer.api_token('write')}") as client:
        await client.subscribe("1", NOTES, {})
        assert (await failure(client))["reason"] == "SCOPE_MISSING"


async def test_while_nothing_is_heard_nothing_begins(own_gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_READY_TIMEOUT_S", 0.05)
    async with feed_of_ann(own_gateway) as client:
        found = await failure(client)
        assert (found["code"], found["reason"], found["retryAfterMs"]) == ("UNAVAILABLE", "LIVE_UNAVAILABLE", 1000)


async def test_one_reader_of_each_stream_serves_everybody(live: Gateway, bus: Bus) -> None:
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(60):
        clients = [await stack.enter_async_context(initialised(live.url, ann(live))) for _ in range(4)]
        for number in range(80):
            await clients[number % 4].subscribe(str(number), FEED, {})
            await event(clients[number % 4], str(number))
        for stream in (SOCIAL_EVENTS, PEOPLE_EVENTS):
            assert (await bus.jetstream.stream_info(stream)).state.consumer_count == 1
        await do(bus, 1)
        for client in clients:
            assert {(await client.receive())["type"] for _ in range(20)} == {"next"}
