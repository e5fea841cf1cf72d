"""Ranges of time in which listening is counted, and shares of a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum


class ListeningRange(StrEnum):
    """How far back; days begin at midnight in UTC."""

    WEEK = "WEEK"
    MONTH = "MONTH"
    YEAR = "YEAR"
    ALL = "ALL"


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole: how many, and which part, above 0 and at most 1."""

    name: str
    count: int
    share: float


def first_day(span: ListeningRange, now: datetime) -> date | None:
    """Return the first day of a range that ends today, None where it has no beginning."""
    today = now.astimezone(UTC).date()
    if span is ListeningRange.WEEK:
        return today - timedelta(days=6)
    if span is ListeningRange.MONTH:
        return today - timedelta(days=29)
    if span is ListeningRange.YEAR:
        return date(today.year - 1, today.month + 1, 1) if today.month < 12 else date(today.year, 1, 1)
    return None


def shares(counts: Mapping[str, int]) -> list[Share]:
    """Return the parts of a whole, largest first, ties by name; nothing of what does not occur."""
    total = sum(counts.values())
    kept = sorted(((name, count) for name, count in counts.items() if count > 0), key=lambda one: (-one[1], one[0]))
    return [Share(name, count, count / total) for name, count in kept]
