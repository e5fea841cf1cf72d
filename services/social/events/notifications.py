"""What people are told of."""

from datetime import datetime

from museed.social.v1 import people_events_pb2
from services.social.domain.ids import new_id
from services.social.events.event import Event
from services.social.wire import timestamp


def notification_added(notification_id: str, user_id: str, key: str, now: datetime) -> Event:
    """Tell that there is something to tell a person; the key is who acts, whose row the transaction has locked."""
    message = people_events_pb2.NotificationAdded(
        notification_id=notification_id, user_id=user_id, added_at=timestamp(now)
    )
    return Event(new_id(), key, "museed.social.v1.notification_added", message.SerializeToString())
