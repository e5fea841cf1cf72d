"""What is done about people, and about what they report; keyed by the person whose row the transaction has locked."""

from datetime import datetime

from google.protobuf.message import Message

from museed.social.v1 import people_events_pb2
from services.social.domain.ids import UserId, new_id
from services.social.events.event import Event
from services.social.wire import timestamp


def user_suspended(user_id: UserId, now: datetime) -> Event:
    """Tell that what is a person's is out of sight."""
    return _of(user_id, "user_suspended", people_events_pb2.UserSuspended(user_id=user_id, suspended_at=timestamp(now)))


def user_reinstated(user_id: UserId, now: datetime) -> Event:
    """Tell that a suspension is over."""
    message = people_events_pb2.UserReinstated(user_id=user_id, reinstated_at=timestamp(now))
    return _of(user_id, "user_reinstated", message)


def user_deleted(user_id: UserId, now: datetime) -> Event:
    """Tell that a person has left."""
    return _of(user_id, "user_deleted", people_events_pb2.UserDeleted(user_id=user_id, deleted_at=timestamp(now)))


def report_filed(report_id: str, reporter_id: UserId, now: datetime) -> Event:
    """Tell that there is a report to decide."""
    message = people_events_pb2.ReportFiled(report_id=report_id, user_id=reporter_id, filed_at=timestamp(now))
    return _of(reporter_id, "report_filed", message)


def report_decided(report_id: str, admin_id: UserId, now: datetime) -> Event:
    """Tell that a report is decided."""
    message = people_events_pb2.ReportDecided(report_id=report_id, user_id=admin_id, decided_at=timestamp(now))
    return _of(admin_id, "report_decided", message)


def _of(key: UserId, name: str, message: Message) -> Event:
    return Event(new_id(), key, f"museed.social.v1.{name}", message.SerializeToString())
