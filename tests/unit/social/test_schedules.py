"""When a playlist is made again."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidArgument
from services.social.domain.schedules import Period, check_first, next_after

NOW = datetime(2026, 1, 31, 22, 15, tzinfo=UTC)
times = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
LONGEST = {Period.DAILY: timedelta(days=1), Period.WEEKLY: timedelta(days=7), Period.MONTHLY: timedelta(days=31)}


@pytest.mark.parametrize(
    ("every", "now", "expected"),
    [
        (Period.DAILY, NOW, datetime(2026, 2, 1, 22, 15, tzinfo=UTC)),
        (Period.DAILY, NOW + timedelta(days=9, hours=3), datetime(2026, 2, 10, 22, 15, tzinfo=UTC)),
        (Period.WEEKLY, NOW + timedelta(days=7), datetime(2026, 2, 14, 22, 15, tzinfo=UTC)),
        (Period.MONTHLY, NOW, datetime(2026, 2, 28, 22, 15, tzinfo=UTC)),
        # A short month does not make the others short.
        (Period.MONTHLY, datetime(2026, 2, 28, 22, 15, tzinfo=UTC), datetime(2026, 3, 31, 22, 15, tzinfo=UTC)),
        (Period.MONTHLY, datetime(2026, 4, 30, 22, 14, tzinfo=UTC), datetime(2026, 4, 30, 22, 15, tzinfo=UTC)),
        (Period.MONTHLY, datetime(2028, 1, 31, 23, 0, tzinfo=UTC), datetime(2028, 2, 29, 22, 15, tzinfo=UTC)),
        (Period.MONTHLY, datetime(2026, 12, 31, 23, 0, tzinfo=UTC), datetime(2027, 1, 31, 22, 15, tzinfo=UTC)),
        (Period.DAILY, NOW - timedelta(seconds=1), NOW),
    ],
)
def test_next_time(every: Period, now: datetime, expected: datetime) -> None:
    assert next_after(NOW, every, now) == expected


def test_day_of_the_month_is_that_of_utc() -> None:
    begun = datetime(2026, 3, 1, 1, 0, tzinfo=timezone(timedelta(hours=9)))
    assert next_after(begun, Period.MONTHLY, begun) == datetime(2026, 3, 28, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize("every", [Period.DAILY, Period.WEEKLY])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_clocks_that_are_changed_neither_skip_nor_double_a_time(every: Period, zone: str) -> None:
    place = ZoneInfo(zone)
    first = datetime(2026, 1, 1, 2, 30, tzinfo=place)
    found = [first]
    while found[-1] < datetime(2027, 1, 1, tzinfo=UTC):
        found.append(next_after(first, every, found[-1].astimezone(place)))
    apart = {later.astimezone(UTC) - earlier.astimezone(UTC) for earlier, later in pairwise(found)}
    assert apart == {LONGEST[every]}


@given(first=times, every=st.sampled_from(Period), now=times)
def test_next_time_is_ahead_by_a_period_at_most(first: datetime, every: Period, now: datetime) -> None:
    found = next_after(first, every, now)
    assert found > now
    assert found == first or found - now <= LONGEST[every]
    assert (found - timedelta(0)).timetz() == first.timetz()


def test_beginning_is_bounded() -> None:
    assert check_first(None, Period.DAILY, NOW) == NOW + timedelta(days=1)
    for first in (NOW, NOW + timedelta(days=31)):
        assert check_first(first, Period.DAILY, NOW) == first
    for first in (NOW - timedelta(seconds=1), NOW + timedelta(days=31, seconds=1)):
        with pytest.raises(InvalidArgument):
            check_first(first, Period.DAILY, NOW)
