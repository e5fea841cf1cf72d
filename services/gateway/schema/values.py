"""Turns values of messages into those that clients see."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import InvalidArgument


def to_datetime(value: Timestamp) -> datetime:
    """Return a point in time with its zone, UTC."""
    return value.ToDatetime(tzinfo=UTC)


def to_timestamp(value: datetime, field: str) -> Timestamp:
    """Return what upstream takes for a point in time; one without a zone is in UTC.

    Raises:
        InvalidArgument: OUT_OF_RANGE, for what is before the year 1 or after 9999 in UTC.
    """
    made = Timestamp()
    try:
        made.FromDatetime(value if value.tzinfo is not None else value.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise InvalidArgument(
            "this is out of the calendar", reason="OUT_OF_RANGE", field=field, value=value.isoformat()
        ) from None
    return made


def round_single(value: float) -> float:
    """Return a single-precision number without the digits that it does not have: 0.1, not 0.10000000149011612."""
    return round(value, 6)
