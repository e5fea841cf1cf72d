"""Turns values of messages into those that clients see."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import InvalidArgument


def to_datetime(value: Timestamp) -> datetime:
    """Return a point in time with its zone, UTC."""
    return value.ToDatetime(tzinfo=UTC)


def round_single(value: float) -> float:
    """Return a single-precision number without the digits that it does not have: 0.1, not 0.10000000149011612."""
    return round(value, 6)


def to_timestamp(value: datetime, field: str) -> Timestamp:
    """Return a point in time as upstream takes it; without a zone it is UTC.

    Raises:
        InvalidArgument: TIME_OUT_OF_RANGE: before the year 1 or after 9999 in UTC.
    """
    made = Timestamp()
    try:
        made.FromDatetime(value if value.tzinfo else value.replace(tzinfo=UTC))
        made.ToDatetime(tzinfo=UTC)
    except (OverflowError, ValueError) as error:
        raise InvalidArgument(
            "this time is out of range", reason="TIME_OUT_OF_RANGE", field=field, value=value.isoformat()
        ) from error
    return made
