"""Points in time on their way to messages and back."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidArgument
from services.gateway.schema.values import to_datetime, to_timestamp

TOKYO = timezone(timedelta(hours=9))


@given(st.datetimes(timezones=st.just(TOKYO), min_value=datetime(1, 1, 2)))  # the zone is given beside
def test_a_time_comes_back_as_it_went(moment: datetime) -> None:
    assert to_datetime(to_timestamp(moment, "playedAt")) == moment


def test_a_time_without_a_zone_is_in_utc() -> None:
    assert to_datetime(to_timestamp(datetime(2026, 1, 2, 3), "playedAt")) == datetime(2026, 1, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=TOKYO),
        datetime(9999, 12, 31, 23, 59, tzinfo=timezone(-timedelta(hours=1))),
    ],
    ids=["before the first year", "after the last"],
)
def test_a_time_that_messages_cannot_hold_is_refused(moment: datetime) -> None:
    with pytest.raises(InvalidArgument) as caught:
        to_timestamp(moment, "plays[0].playedAt")
    assert (caught.value.reason, caught.value.field) == ("OUT_OF_RANGE", "plays[0].playedAt")
    assert caught.value.value == moment.isoformat()
