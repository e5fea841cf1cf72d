"""What people are told of."""

from museed.social.v1 import notifications_pb2, people_events_pb2
from services.social.domain.ids import new_id
from services.social.domain.notifications import Notification, NotificationKind
from services.social.events.event import Event
from services.social.wire import timestamp


def notification_added(notification: Notification, user_id: str, key: str) -> Event:
    """Tell that there is something to tell a person; the key is who acts, whose row the transaction has locked."""
    message = people_events_pb2.NotificationAdded(
        notification_id=notification.notification_id,
        user_id=user_id,
        added_at=timestamp(notification.at),
        notification=to_notification(notification),
    )
    return Event(new_id(), key, "museed.social.v1.notification_added", message.SerializeToString())


def to_notification(found: Notification) -> notifications_pb2.Notification:
    """Write a notification as its person reads it."""
    subject = found.subject_id or ""
    return notifications_pb2.Notification(
        notification_id=found.notification_id,
        kind=notifications_pb2.NotificationKind.Value(f"NOTIFICATION_KIND_{found.kind.value}"),
        actor_id=found.actor_id or "",
        playlist_id=found.playlist_id or "",
        comment_id=found.comment_id or "",
        badge=found.badge or "",
        at=timestamp(found.at),
        read_at=None if found.read_at is None else timestamp(found.read_at),
        job_id=subject if found.kind is NotificationKind.JOB_ENDED else "",
        report_id=subject if found.kind is NotificationKind.REPORT_DECIDED else "",
    )
