"""Figures over time: periods, and their table as a file for spreadsheets."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from services.social.domain.days import read_day, within_days
from services.social.errors import Missing

MOST_DAYS = 366
LONGEST_SUBJECT = 100
COLUMNS = ("day", "subject", "label", "plays", "listeners", "likes", "saves")
# What spreadsheets take for the beginning of a formula: OWASP, CSV injection.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Dimension(StrEnum):
    """What is counted."""

    GENRE = "GENRE"
    TRACK = "TRACK"
    ARTIST = "ARTIST"
    PLAYLIST = "PLAYLIST"


class PeriodLength(StrEnum):
    """How long a period is; weeks begin on Monday."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


@dataclass(frozen=True, slots=True)
class Period:
    """Days from first to last; `shown` is the first of the whole period, which may be cut."""

    shown: date
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Trend:
    """Figures of a subject in a period; the label is empty where it is gone or must not be shown."""

    day: date
    subject: str
    label: str
    plays: int
    listeners: int
    likes: int
    saves: int


def check_days(from_day: str, to_day: str) -> tuple[date, date]:
    """Read the days of a report.

    Raises:
        Missing, Malformed: One of them is none.
        OutOfRange: The last is before the first, or more than 366 days later.
    """
    for given, field in ((from_day, "from_day"), (to_day, "to_day")):
        if not given:
            raise Missing(field)
    first = read_day(from_day, "from_day")
    latest = date.max if date.max - first < timedelta(MOST_DAYS) else first + timedelta(MOST_DAYS)
    return first, within_days(read_day(to_day, "to_day"), "to_day", first, latest)


def periods(first: date, last: date, length: PeriodLength) -> list[Period]:
    """Return the periods from one day to another, both included; those at the ends are cut."""
    found, day = [], first
    while True:
        shown, end = _whole(day, length)
        found.append(Period(shown, day, min(end, last)))
        if end >= last:
            return found
        day = end + timedelta(days=1)


def to_csv(trends: Sequence[Trend], *, with_header: bool) -> bytes:
    """Write figures by RFC 4180, in UTF-8; a cell that would begin like a formula begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    if with_header:
        writer.writerow(COLUMNS)
    for one in trends:
        numbers = (one.plays, one.listeners, one.likes, one.saves)
        writer.writerow((one.day.isoformat(), cell(one.subject), cell(one.label), *numbers))
    return out.getvalue().encode()


def cell(text: str) -> str:
    """Return text as it may stand in a cell, also of a program that takes semicolons for the ends of cells."""
    return ";".join(f"'{part}" if part.lstrip(" ").startswith(_FORMULA) else part for part in text.split(";"))


def _whole(day: date, length: PeriodLength) -> tuple[date, date]:
    """Return first and last day of the period that a day is in."""
    if length is PeriodLength.DAY:
        return day, day
    if length is PeriodLength.WEEK:
        monday = day.toordinal() - day.weekday()
        return date.fromordinal(max(1, monday)), date.fromordinal(min(monday + 6, date.max.toordinal()))
    begin = day.replace(day=1)
    if (begin.year, begin.month) == (date.max.year, 12):
        return begin, date.max
    return begin, (begin + timedelta(days=32)).replace(day=1) - timedelta(days=1)
