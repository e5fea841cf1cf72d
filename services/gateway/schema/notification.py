"""What the caller is told of."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import notifications_pb2
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.comment import Comment, find_comment
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import identity, member, mutation, resolver
from services.gateway.schema.job import Job, find_job
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.playlist import Playlist, find_playlist
from services.gateway.schema.user import User, load_user
from services.gateway.schema.values import to_datetime

UnreadOnly = Annotated[bool, strawberry.argument(description="Leave out what was read.")]


@strawberry.enum(description="What a notification tells.")
class NotificationKind(Enum):
    """Social's values."""

    FOLLOWED = member(notifications_pb2.NOTIFICATION_KIND_FOLLOWED, "Somebody follows the caller.")
    LIKED = member(notifications_pb2.NOTIFICATION_KIND_LIKED, "Somebody likes a playlist of the caller's.")
    SAVED = member(notifications_pb2.NOTIFICATION_KIND_SAVED, "Somebody saved a playlist of the caller's.")
    COMMENTED = member(notifications_pb2.NOTIFICATION_KIND_COMMENTED, "Somebody commented a playlist of the caller's.")
    BADGE = member(notifications_pb2.NOTIFICATION_KIND_BADGE, "A badge was earned.")
    JOB_ENDED = member(notifications_pb2.NOTIFICATION_KIND_JOB_ENDED, "A job of the caller's ended.")
    REPORT_DECIDED = member(notifications_pb2.NOTIFICATION_KIND_REPORT_DECIDED, "A report of the caller's was decided.")
    CONTENT_HIDDEN = member(
        notifications_pb2.NOTIFICATION_KIND_CONTENT_HIDDEN,
        "Admins hid a playlist of the caller's or, where `commentId` is set, a comment.",
    )


@strawberry.type(description="Something to tell.")
class Notification:
    """A notification; what says nothing for its kind is null."""

    id: strawberry.ID = identity("Notification", "notification_id")
    notification_id: strawberry.ID = field(description="Its UUID.")
    kind: NotificationKind = field(description="What it tells.")
    at: datetime = field(description="When it happened.")
    read_at: datetime | None = field(description="When it was read; null while it is not.")
    actor_id: strawberry.ID | None = field(description="UUID of who did it.")
    playlist_id: strawberry.ID | None = field(description="UUID of the playlist that it is about.")
    comment_id: strawberry.ID | None = field(description="UUID of the comment that it is about.")
    badge: str | None = field(description='Name of the badge, for example "gardener".')
    badge_tier: int | None = field(description="Step of the badge that was earned, from 1.")
    job_id: strawberry.ID | None = field(description="UUID of the job that ended.")
    report_id: strawberry.ID | None = field(description="UUID of the report that was decided.")

    @resolver("Who did it.")
    async def actor(self, info: Info) -> User | None:
        """Load them together with all others of the document."""
        return await load_user(info.context, self.actor_id)

    @resolver("The playlist that it is about; null where there is none, or none any more.")
    async def playlist(self, info: Info) -> Playlist | None:
        """Load it together with all others of the document."""
        return await find_playlist(info.context, self.playlist_id or "")

    @resolver("The job that ended; null where there is none, or it is forgotten.")
    async def job(self, info: Info) -> Job | None:
        """Load it together with all others of the document."""
        return await find_job(info.context, self.job_id)

    @resolver("The comment that it is about; null where there is none, or none any more.")
    async def comment(self, info: Info) -> Comment | None:
        """Load it together with all others of the document."""
        return await find_comment(info.context, self.comment_id) if self.comment_id else None

    @classmethod
    def from_message(cls, message: notifications_pb2.Notification) -> Self:
        """Translate social's message."""
        badge, _, tier = message.badge.partition(".")
        return cls(
            notification_id=strawberry.ID(message.notification_id),
            kind=NotificationKind(message.kind),
            at=to_datetime(message.at),
            read_at=to_datetime(message.read_at) if message.HasField("read_at") else None,
            actor_id=strawberry.ID(message.actor_id) if message.actor_id else None,
            playlist_id=strawberry.ID(message.playlist_id) if message.playlist_id else None,
            comment_id=strawberry.ID(message.comment_id) if message.comment_id else None,
            badge=badge or None,
            badge_tier=int(tier) if tier.isdigit() else None,
            job_id=strawberry.ID(message.job_id) if message.job_id else None,
            report_id=strawberry.ID(message.report_id) if message.report_id else None,
        )


@strawberry.input(description="What was read: single ones, all up to one, or both.")
class MarkNotificationsReadInput:
    """For `markNotificationsRead`."""

    notification_ids: list[strawberry.ID] | None = field(default=None, description="At most 100, by `notificationId`.")
    up_to_id: strawberry.ID | None = field(default=None, description="This one and all that came before it, too.")


@strawberry.type(description="They are read; those that were, or that are nobody's, stay as they are.")
class MarkNotificationsReadSuccess:
    """Of `markNotificationsRead`."""

    unread_count: int = field(description="How many are left; 1,000 means that or more.")
    notifications: list[Notification] = field(
        description="What was asked for and is read now, newest first, at most 100; what is nobody's is not there."
    )


MarkNotificationsReadResult = Annotated[
    MarkNotificationsReadSuccess | Refusal, strawberry.union("MarkNotificationsReadResult")
]


@strawberry.type
class NotificationQuery:
    """Queries about notifications."""

    @resolver("The caller's notifications, newest first.")
    async def notifications(
        self, info: Info, unread_only: UnreadOnly = False, first: First = 20, after: After = None
    ) -> Connection[Notification] | None:
        """List them."""
        page = page_request(first, after)
        request = notifications_pb2.ListNotificationsRequest(
            unread_only=unread_only, page_size=page.size, page_token=page.token
        )
        answer = await info.context.call(info.context.parts.upstream.notifications.ListNotifications, request)
        nodes = [Notification.from_message(each) for each in answer.notifications]
        return connection_from_page(page, nodes, answer.next_page_token)

    @resolver("How many notifications of the caller's are unread; 1,000 means that or more.")
    async def unread_notification_count(self, info: Info) -> int | None:
        """Count them."""
        method = info.context.parts.upstream.notifications.CountUnread
        return (await info.context.call(method, notifications_pb2.CountUnreadRequest())).unread_count


@strawberry.type
class NotificationMutation:
    """Mutations of notifications."""

    @mutation("Marks notifications of the caller's as read.")
    async def mark_notifications_read(
        self, info: Info, input: MarkNotificationsReadInput
    ) -> MarkNotificationsReadResult:
        """Pass the ids on."""
        ids = enumerate(input.notification_ids or [])
        request = notifications_pb2.MarkReadRequest(
            notification_ids=[decode_id(one, "Notification", f"notificationIds[{number}]") for number, one in ids],
            up_to_id="" if input.up_to_id is None else decode_id(input.up_to_id, "Notification", "upToId"),
        )
        answer = await info.context.call(info.context.parts.upstream.notifications.MarkRead, request)
        return MarkNotificationsReadSuccess(
            unread_count=answer.unread_count,
            notifications=[Notification.from_message(each) for each in answer.notifications],
        )
