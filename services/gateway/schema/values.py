"""Turns values of messages into those that clients see."""

from datetime import UTC, date, datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import InvalidArgument


def to_datetime(value: Timestamp) -> datetime:
    """Return a point in time with its zone, UTC."""
    return value.ToDatetime(tzinfo=UTC)


def to_date(value: str) -> date:
    """Return a day, for example of "2026-11-22"."""
    return date.fromisoformat(value)


def to_timestamp(value: datetime, field: str) -> Timestamp:
    """Return a point in time as messages have it; one without a zone is taken as UTC.

    Args:
        value: What a client sent.
        field: Path of the input, for the error.

    Raises:
        InvalidArgument: OUT_OF_RANGE where it is, in UTC, not of the years 1 to 9999.
    """
    made = Timestamp()
    try:
        made.FromDatetime(value if value.tzinfo is None else value.astimezone(UTC))
    except (OverflowError, ValueError):
        raise InvalidArgument(
            f"{field} is {value.isoformat()}, it must be of the years 1 to 9999 in UTC",
            reason="OUT_OF_RANGE",
            field=field,
            value=value.isoformat(),
        ) from None
    return made


def optional_datetime(message: Message, name: str) -> datetime | None:
    """Return the point in time that a field holds; None where it is unset."""
    return to_datetime(getattr(message, name)) if message.HasField(name) else None


def round_single(value: float) -> float:
    """Return a single-precision number without the digits that it does not have: 0.1, not 0.10000000149011612."""
    return round(value, 6)
