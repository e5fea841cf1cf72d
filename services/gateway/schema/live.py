"""What is followed live beside jobs: the feed, notifications, a playlist."""

import asyncio
from collections.abc import AsyncGenerator
from enum import Enum
from typing import Annotated

import strawberry
from strawberry import field

from museed.social.v1 import feed_pb2, notifications_pb2
from services.chassis import auth
from services.chassis.bus import PEOPLE_EVENTS
from services.chassis.errors import NotFound
from services.gateway.context import Info, RequestContext
from services.gateway.ids import decode_id
from services.gateway.live.following import Delivery, Follower
from services.gateway.live.topics import FeedTopic, NotificationTopic, RowTopic
from services.gateway.schema.feed import Activity
from services.gateway.schema.fields import AnyId, member, resolver, subscription
from services.gateway.schema.notification import Notification
from services.gateway.schema.playlist import Playlist

# Social counts likes, saves and comments a moment after they happen.
_COUNTED_AFTER_S = 1.5
_COUNTED = frozenset({"LIKES", "SAVES", "COMMENTS"})

Since = Annotated[
    str | None,
    strawberry.argument(
        description="`cursor` of the last event that came: goes on right behind it. Without one from now on."
    ),
]


@strawberry.type(description="Something new in the caller's feed, or a sign of life.")
class FeedEvent:
    """Of `feed`."""

    cursor: str = field(description="Give it as `after` to go on behind this event, over any connection.")
    activity: Activity | None = field(
        description="What somebody did whom the caller follows; null in a sign of life, which only moves the cursor."
    )


@strawberry.type(description="Something new to tell the caller, or a sign of life.")
class NotificationEvent:
    """Of `notifications`."""

    cursor: str = field(description="Give it as `after` to go on behind this event, over any connection.")
    notification: Notification | None = field(
        description="What there is to tell; null in a sign of life, which only moves the cursor."
    )

    @resolver("How many notifications the caller has not read; 1,000 means that or more.")
    async def unread_count(self, info: Info) -> int | None:
        """Ask only where it is asked for."""
        method = info.context.parts.upstream.notifications.CountUnread
        return (await info.context.call(method, notifications_pb2.CountUnreadRequest())).unread_count


@strawberry.enum(description="What happened to a playlist.")
class PlaylistChange(Enum):
    """By the events of social."""

    EDITED = member("EDITED", "Title, description, visibility, link or entries changed.")
    LIKES = member("LIKES", "Somebody likes it, or took a like back.")
    SAVES = member("SAVES", "Somebody saved it as an own copy.")
    COMMENTS = member("COMMENTS", "A comment came, changed or went.")
    GONE = member("GONE", "It was deleted, or the caller may not open it any more; nothing follows.")


@strawberry.type(description="A playlist as it is now, and what happened to it since the event before.")
class PlaylistEvent:
    """Of `playlistChanges`."""

    changes: list[PlaylistChange] = field(description="What happened; empty in the first event.")
    playlist: Playlist | None = field(description="As it is now; null when it is GONE.")


async def _follow(
    context: RequestContext, kind: type[RowTopic], rpc: str, after: str | None
) -> AsyncGenerator[Delivery, None]:
    viewer = auth.require_viewer()
    auth.check(auth.Access.USER, viewer, rpc)
    live = context.parts.live
    follower = Follower(
        live.hub, kind(context, viewer.user_id), live.cursors, live.asking, context.parts.settings.live_heartbeat_s
    )
    async for delivery in follower.follow(after):
        context.begin_event()
        yield delivery
        context.refresh()  # what was loaded is not kept while nothing happens


@strawberry.type
class LiveSubscription:
    """Subscriptions to the feed, to notifications and to a playlist."""

    @subscription(
        "What the people do whom the caller follows, from now on or from behind a cursor, without a gap. Begins with "
        "a sign of life, and sends one where nothing happens for a while."
    )
    async def feed(self, info: Info, after: Since = None) -> AsyncGenerator[FeedEvent, None]:
        """Follow it."""
        async for one in _follow(info.context, FeedTopic, "/museed.social.v1.FeedService/ListFeed", after):
            message = one.item.message if one.item else None
            assert message is None or isinstance(message, feed_pb2.Activity)
            yield FeedEvent(cursor=one.cursor, activity=Activity.from_message(message) if message else None)

    @subscription(
        "What there is to tell the caller, from now on or from behind a cursor, without a gap. Begins with a sign of "
        "life, and sends one where nothing happens for a while."
    )
    async def notifications(self, info: Info, after: Since = None) -> AsyncGenerator[NotificationEvent, None]:
        """Follow them."""
        rpc = "/museed.social.v1.NotificationService/ListNotifications"
        async for one in _follow(info.context, NotificationTopic, rpc, after):
            message = one.item.message if one.item else None
            assert message is None or isinstance(message, notifications_pb2.Notification)
            yield NotificationEvent(
                cursor=one.cursor, notification=Notification.from_message(message) if message else None
            )

    @subscription("A playlist: at once as it is, then after every change, until it is gone.")
    async def playlist_changes(self, info: Info, playlist_id: AnyId) -> AsyncGenerator[PlaylistEvent, None]:
        """Read it at every bell, as the caller may see it."""
        context = info.context
        live = context.parts.live
        uuid = decode_id(playlist_id, "Playlist", "playlistId")

        async def read() -> Playlist | None:
            context.begin_event()
            message = await context.loaders.playlists.load(uuid)
            return None if message is None else Playlist.from_message(message)

        with live.hub.bells.watch(f"playlist/{uuid}") as bell:
            last = await live.asking.once(read)
            if last is None:
                raise NotFound(
                    "there is no such playlist", reason="PLAYLIST_NOT_FOUND", field="playlist_id", value=uuid
                )
            yield PlaylistEvent(changes=[], playlist=last)
            while last is not None:
                await live.hub.until_news(bell, PEOPLE_EVENTS)
                reasons = bell.take()
                if reasons and reasons <= _COUNTED:
                    await asyncio.sleep(_COUNTED_AFTER_S)
                    reasons |= bell.take()
                found = await live.asking.patiently(read)
                if found is None:
                    yield PlaylistEvent(changes=[PlaylistChange.GONE], playlist=None)
                elif reasons or found != last:
                    told = reasons - {"GONE"} or {"EDITED"}
                    yield PlaylistEvent(changes=[PlaylistChange(one) for one in sorted(told)], playlist=found)
                last = found
