"""What people follow item by item: the feed and notifications. Social says who may see what, and keeps the rows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID

from museed.social.v1 import access_pb2, feed_pb2, notifications_pb2
from services.chassis.errors import FailedPrecondition
from services.gateway.context import RequestContext
from services.gateway.live.followed import Followed
from services.gateway.live.hub import Item

FEED, NOTIFICATIONS = "feed", "notifications"

_MOST_VIEWED = 500
_PAGE_SIZE = 100
# Who was away for more than this reads the list again.
_MOST_PAGES = 5


class RowTopic:
    """What one person follows.

    Args:
        context: Of their operation: everything is asked under their token.
        user_id: Who follows.
    """

    name: ClassVar[str]
    kind: ClassVar["access_pb2.ThingKind.ValueType"]

    def __init__(self, context: RequestContext, user_id: str) -> None:
        self._context = context
        self._user_id = user_id

    @property
    def user_id(self) -> str:
        """Who follows."""
        return self._user_id

    async def prepare(self) -> None:
        """Learn what they want, before anything is looked at."""

    def wants(self, item: Item) -> bool:
        """Say whether an item may be for them."""
        return item.person_id == self._user_id

    def begin_to_follow(self, user_id: str) -> bool:
        """Note that they follow somebody from now on; say whether that is new."""
        return False

    def end_to_follow(self, user_id: str) -> None:
        """Note that they follow somebody no more."""

    async def visible(self, items: Sequence[Item]) -> list[Item]:
        """Return those that they may see, by one call for up to 500."""
        self._context.begin_event()
        found: list[Item] = []
        for start in range(0, len(items), _MOST_VIEWED):
            asked = items[start : start + _MOST_VIEWED]
            things = [access_pb2.Thing(kind=self.kind, id=item.thing_id) for item in asked]
            method = self._context.parts.upstream.views.CanView
            answer = await self._context.call(method, access_pb2.CanViewRequest(things=things))
            found += [item for item, is_seen in zip(asked, answer.can_view, strict=True) if is_seen]
        return found

    async def rows(self, since: datetime) -> list[Item]:
        """Read what was written since a time, oldest first; only what they may see is in it.

        Raises:
            FailedPrecondition: CURSOR_TOO_OLD: that is too much.
        """
        self._context.begin_event()
        found: list[Item] = []
        token = ""
        for _ in range(_MOST_PAGES):
            items, token = await self._page(token)
            newer = [item for item in items if _made_at(item.thing_id) >= since]
            found += newer
            if len(newer) < len(items) or not token:
                return found[::-1]
        raise FailedPrecondition(
            "too much came since: read the list again, and follow it from now on",
            reason="CURSOR_TOO_OLD",
            field="after",
            limit=_MOST_PAGES * _PAGE_SIZE,
        )

    async def _page(self, token: str) -> tuple[list[Item], str]:
        """Read a page of rows, newest first, and the token of the next one."""
        raise NotImplementedError


class FeedTopic(RowTopic):
    """What the people do whom somebody follows."""

    name = FEED
    kind = access_pb2.THING_KIND_ACTIVITY

    def __init__(self, context: RequestContext, user_id: str) -> None:
        super().__init__(context, user_id)
        self._followed = Followed()

    async def prepare(self) -> None:
        """Learn whom they follow."""
        method = self._context.parts.upstream.feed.ListFollowedIds
        self._context.begin_event()
        answer = await self._context.call(method, feed_pb2.ListFollowedIdsRequest())
        self._followed = Followed(answer.user_ids)

    def wants(self, item: Item) -> bool:
        """Say whether they follow who did it."""
        return item.person_id in self._followed

    def begin_to_follow(self, user_id: str) -> bool:
        """Note that they follow somebody from now on; say whether that is new."""
        is_new = user_id not in self._followed
        self._followed.add(user_id)
        return is_new

    def end_to_follow(self, user_id: str) -> None:
        """Note that they follow somebody no more."""
        self._followed.discard(user_id)

    async def _page(self, token: str) -> tuple[list[Item], str]:
        request = feed_pb2.ListFeedRequest(page_size=_PAGE_SIZE, page_token=token)
        answer = await self._context.call(self._context.parts.upstream.feed.ListFeed, request)
        return [activity_item(one) for one in answer.activities], answer.next_page_token


class NotificationTopic(RowTopic):
    """What somebody is told of."""

    name = NOTIFICATIONS
    kind = access_pb2.THING_KIND_NOTIFICATION

    async def _page(self, token: str) -> tuple[list[Item], str]:
        request = notifications_pb2.ListNotificationsRequest(page_size=_PAGE_SIZE, page_token=token)
        answer = await self._context.call(self._context.parts.upstream.notifications.ListNotifications, request)
        return [notification_item(one, self._user_id) for one in answer.notifications], answer.next_page_token


def activity_item(activity: feed_pb2.Activity, sequence: int = 0) -> Item:
    """Return an activity as followers of its actor get it."""
    at = activity.at.ToDatetime(tzinfo=UTC)
    return Item(sequence, FEED, activity.actor_id, activity.activity_id, at, activity)


def notification_item(notification: notifications_pb2.Notification, user_id: str, sequence: int = 0) -> Item:
    """Return a notification as the person gets it who is told."""
    at = notification.at.ToDatetime(tzinfo=UTC)
    return Item(sequence, NOTIFICATIONS, user_id, notification.notification_id, at, notification)


def _made_at(thing_id: str) -> datetime:
    """Return when a UUIDv7 was made: rows are listed by ids (RFC 9562, section 5.7)."""
    return datetime.fromtimestamp((UUID(thing_id).int >> 80) / 1000, UTC)
