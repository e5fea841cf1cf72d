import csv
import io
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.social.domain.trends import COLUMNS, PeriodLength, Trend, cell, check_days, periods, to_csv
from services.social.errors import Malformed, Missing, OutOfRange


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(0, 366), st.sampled_from(PeriodLength))
def test_periods_are_all_days_once_in_order(first: date, more: int, length: PeriodLength) -> None:
    last = first + timedelta(days=more)
    found = periods(first, last, length)
    days = [one.first + timedelta(days=n) for one in found for n in range((one.last - one.first).days + 1)]
    assert days == [first + timedelta(days=n) for n in range(more + 1)]
    assert len({one.shown for one in found}) == len(found)


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    week, next_week = periods(date(2026, 11, 22), date(2026, 11, 23), PeriodLength.WEEK)
    assert (week.shown, week.first, week.last) == (date(2026, 11, 16), date(2026, 11, 22), date(2026, 11, 22))
    assert (next_week.shown, next_week.first, next_week.last) == (date(2026, 11, 23),) * 3
    months = periods(date(2026, 1, 31), date(2026, 3, 1), PeriodLength.MONTH)
    assert [(one.shown, one.last) for one in months] == [
        (date(2026, 1, 1), date(2026, 1, 31)),
        (date(2026, 2, 1), date(2026, 2, 28)),
        (date(2026, 3, 1), date(2026, 3, 1)),
    ]
    assert periods(date.max, date.max, PeriodLength.MONTH)[0].last == date.max
    assert periods(date.min, date.min, PeriodLength.WEEK)[0].first == date.min


def test_days_of_a_report_are_bounded() -> None:
    assert check_days("2026-01-01", "2027-01-02") == (date(2026, 1, 1), date(2027, 1, 2))
    assert check_days("9999-12-31", "9999-12-31") == (date.max, date.max)
    for days, refusal, field in (
        (("", "2026-01-01"), Missing, "from_day"),
        (("2026-01-01", ""), Missing, "to_day"),
        (("2026-1-1", "2026-01-01"), Malformed, "from_day"),
        (("2026-01-02", "2026-01-01"), OutOfRange, "to_day"),
        (("2026-01-01", "2027-01-03"), OutOfRange, "to_day"),
    ):
        with pytest.raises(refusal) as caught:
            check_days(*days)
        assert caught.value.field == field


def trend(label: str, subject: str = "Rock") -> Trend:
    return Trend(date(2026, 11, 20), subject, label, 3, 2, -1, 0)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
def test_what_people_write_comes_back_and_is_never_a_formula(label: str) -> None:
    written = to_csv([trend(label)], with_header=True).decode()
    header, row = list(csv.reader(io.StringIO(written, newline="")))
    assert tuple(header) == COLUMNS
    assert row[2].replace("'", "") == label.replace("'", "")
    for part in row[2].split(";"):
        assert not part.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert row[3:] == ["3", "2", "-1", "0"]


def test_parts_of_a_file_make_the_file() -> None:
    whole = to_csv([trend("one"), trend('two, "three"\nfour')], with_header=True)
    parts = to_csv([trend("one")], with_header=True) + to_csv([trend('two, "three"\nfour')], with_header=False)
    assert parts == whole
    assert whole.endswith(b'"two, ""three""\nfour",3,2,-1,0\r\n')


def test_formulas_are_quoted() -> None:
    cells = [cell(text) for text in ("=1+1", "+1", "-1", "@a", " =1", "a=1", "", "a; =1;b")]
    assert cells == ["'=1+1", "'+1", "'-1", "'@a", "' =1", "a=1", "", "a;' =1;b"]
