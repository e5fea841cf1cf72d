"""Translates single values between the domain and protobuf messages."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(moment: datetime) -> Timestamp:
    """Return a point in time as a message, to the microsecond."""
    message = Timestamp()
    message.FromDatetime(moment.astimezone(UTC))
    return message
