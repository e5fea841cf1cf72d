"""What happens to people's accounts."""

from datetime import datetime

from museed.social.v1 import events_pb2, people_events_pb2
from services.social.domain.ids import SessionId, UserId, new_id
from services.social.events.event import Event
from services.social.wire import timestamp


def session_revoked(session_id: SessionId, now: datetime) -> Event:
    """Tell that every token of a session is void."""
    message = events_pb2.SessionRevoked(session_id=session_id, revoked_at=timestamp(now))
    return Event(new_id(), session_id, "museed.social.v1.session_revoked", message.SerializeToString())


def user_signed_up(user_id: UserId, now: datetime) -> Event:
    """Tell that there is a new account; the key is the person, here and below, whose row is locked."""
    message = people_events_pb2.UserSignedUp(user_id=user_id, signed_up_at=timestamp(now))
    return Event(new_id(), user_id, "museed.social.v1.user_signed_up", message.SerializeToString())


def user_changed(user_id: UserId, now: datetime) -> Event:
    """Tell that name, language, address, role or listing of a person changed."""
    message = people_events_pb2.UserChanged(user_id=user_id, changed_at=timestamp(now))
    return Event(new_id(), user_id, "museed.social.v1.user_changed", message.SerializeToString())
