"""Turns the timestamps of messages into datetimes."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp


def to_datetime(value: Timestamp) -> datetime:
    """Return a point in time with its zone, UTC."""
    return value.ToDatetime(tzinfo=UTC)
