"""Days in UTC, as callers write them."""

from datetime import date

from services.social.errors import Malformed, OutOfRange

_LENGTH = len("2026-11-22")


def read_day(given: str, field: str) -> date:
    """Read a day.

    Raises:
        Malformed: It is not written like "2026-11-22", or there is no such day.
    """
    refusal = Malformed(field, given[:40], "a day like 2026-11-22")
    if len(given) != _LENGTH or not given.isascii():
        raise refusal
    try:
        return date.fromisoformat(given)
    except ValueError as error:
        raise refusal from error


def within_days(day: date, field: str, first: date, last: date) -> date:
    """Return a day unchanged.

    Raises:
        OutOfRange: Outside of the bounds, which are allowed themselves.
    """
    if not first <= day <= last:
        raise OutOfRange(field, day.isoformat(), (first if day < first else last).isoformat())
    return day
