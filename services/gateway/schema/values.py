"""Turns values of messages into those that clients see."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp


def to_datetime(value: Timestamp) -> datetime:
    """Return a point in time with its zone, UTC."""
    return value.ToDatetime(tzinfo=UTC)


def round_single(value: float) -> float:
    """Return a single-precision number without the digits that it does not have: 0.1, not 0.10000000149011612."""
    return round(value, 6)
