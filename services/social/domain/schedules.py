"""When a playlist is made again and again."""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from services.social.domain.ids import JobId, PlaylistId
from services.social.errors import OutOfRange

FARTHEST_FIRST = timedelta(days=31)
# Of a person: their times may all be the same.
MOST_SCHEDULES = 50


class Period(StrEnum):
    """How often."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"


_DAYS = {Period.DAILY: 1, Period.WEEKLY: 7}


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a playlist is made again.

    Attributes:
        first_at: The first time, from which the others are counted.
        last_job_id: Job of the last time; None before the first.
    """

    playlist_id: PlaylistId
    every: Period
    first_at: datetime
    next_at: datetime
    last_job_id: JobId | None


def check_first(first_at: datetime | None, every: Period, now: datetime) -> datetime:
    """Return when a schedule begins: one period from now where nobody says.

    Raises:
        OutOfRange: In the past, or more than 31 days ahead.
    """
    if first_at is None:
        return next_after(now, every, now)
    if first_at < now:
        raise OutOfRange("first_at", first_at.isoformat(), now.isoformat())
    if first_at > now + FARTHEST_FIRST:
        raise OutOfRange("first_at", first_at.isoformat(), (now + FARTHEST_FIRST).isoformat())
    return first_at


def next_after(first_at: datetime, every: Period, now: datetime) -> datetime:
    """Return the first time of a schedule that is yet to come: what was missed is not made up for one by one.

    Args:
        first_at: The first time of all; aware.
        every: How often; months have the day of `first_at`, in UTC, or their last one.
        now: Aware.
    """
    if first_at > now:
        return first_at
    begun = first_at.astimezone(UTC)
    if every is not Period.MONTHLY:
        period = timedelta(days=_DAYS[every])
        return begun + period * ((now - begun) // period + 1)
    today = now.astimezone(UTC)
    months = (today.year - begun.year) * 12 + today.month - begun.month
    this_month = _months_after(begun, months)
    return this_month if this_month > now else _months_after(begun, months + 1)


def _months_after(begun: datetime, months: int) -> datetime:
    years, month = divmod(begun.month - 1 + months, 12)
    year = begun.year + years
    day = min(begun.day, calendar.monthrange(year, month + 1)[1])
    return begun.replace(year=year, month=month + 1, day=day)
