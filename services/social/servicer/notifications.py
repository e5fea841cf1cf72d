"""gRPC in: what the caller is told of."""

from collections.abc import Callable
from datetime import datetime

import grpc

from museed.social.v1 import notifications_pb2, notifications_pb2_grpc
from services.chassis.auth import require_viewer
from services.social.domain import fields, paging
from services.social.domain.ids import UserId, is_id
from services.social.domain.notifications import MOST_UNREAD
from services.social.errors import Malformed, Missing
from services.social.events.notifications import to_notification
from services.social.servicer import keys
from services.social.store import notifications
from services.social.store.database import Database

_MOST_MARKED = 100


class NotificationServicer(notifications_pb2_grpc.NotificationServiceServicer):
    """Serves NotificationService: everybody sees their own, and nobody else's."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def ListNotifications(
        self,
        request: notifications_pb2.ListNotificationsRequest,
        context: grpc.aio.ServicerContext[
            notifications_pb2.ListNotificationsRequest, notifications_pb2.ListNotificationsResponse
        ],
    ) -> notifications_pb2.ListNotificationsResponse:
        """List the caller's notifications, newest first."""
        user_id = UserId(require_viewer().user_id)
        size, scope = keys.page_size(request.page_size), f"ListNotifications {user_id} {request.unread_only}"
        before = keys.id_key(scope, request.page_token)
        async with self._database.connection() as connection:
            found = await notifications.notifications_of(
                connection, user_id, before, size + 1, unread_only=request.unread_only
            )
        page = paging.cut(found, size, scope, lambda one: (one.notification_id,))
        return notifications_pb2.ListNotificationsResponse(
            notifications=[to_notification(one) for one in page.items], next_page_token=page.next_token
        )

    async def CountUnread(
        self,
        request: notifications_pb2.CountUnreadRequest,
        context: grpc.aio.ServicerContext[notifications_pb2.CountUnreadRequest, notifications_pb2.CountUnreadResponse],
    ) -> notifications_pb2.CountUnreadResponse:
        """Count the caller's unread notifications, up to a bound."""
        async with self._database.connection() as connection:
            count = await notifications.count_unread(connection, UserId(require_viewer().user_id), MOST_UNREAD)
        return notifications_pb2.CountUnreadResponse(unread_count=count)

    async def MarkRead(
        self,
        request: notifications_pb2.MarkReadRequest,
        context: grpc.aio.ServicerContext[notifications_pb2.MarkReadRequest, notifications_pb2.MarkReadResponse],
    ) -> notifications_pb2.MarkReadResponse:
        """Mark notifications as read; marking them again changes nothing."""
        user_id, now = UserId(require_viewer().user_id), self._clock()
        fields.count(len(request.notification_ids), "notification_ids", _MOST_MARKED)
        if not request.notification_ids and not request.up_to_id:
            raise Missing("notification_ids")
        if request.up_to_id and not is_id(request.up_to_id):
            raise Malformed("up_to_id", request.up_to_id, "an id")
        ids = [one for one in request.notification_ids if is_id(one)]
        async with self._database.connection() as connection:
            if ids:
                await notifications.mark_read(connection, user_id, ids, now)
            if request.up_to_id:
                await notifications.mark_read_up_to(connection, user_id, request.up_to_id, now)
            count = await notifications.count_unread(connection, user_id, MOST_UNREAD)
            found = await notifications.marked(connection, user_id, ids, request.up_to_id or None, _MOST_MARKED)
        return notifications_pb2.MarkReadResponse(
            unread_count=count, notifications=[to_notification(one) for one in found]
        )
