"""Windows in which tries are counted."""

import dataclasses
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.social.domain.quotas import AccountQuotas, Quota, key_of
from services.social.errors import TooManyAttempts
from services.social.settings.accounts import AccountSettings

HOUR = timedelta(hours=1)
TIMES = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


def quota(window: timedelta = HOUR) -> Quota:
    return Quota("test", 3, window, lambda limit, wait: TooManyAttempts(limit, limit, wait))


def test_windows_begin_at_whole_multiples_of_their_length() -> None:
    assert quota().window_start(datetime(2026, 1, 2, 3, 59, 59, 999_999, tzinfo=UTC)) == datetime(
        2026, 1, 2, 3, tzinfo=UTC
    )
    assert quota().window_start(datetime(2026, 1, 2, 4, tzinfo=UTC)) == datetime(2026, 1, 2, 4, tzinfo=UTC)


@given(TIMES, st.floats(0.001, 86_400))
def test_every_moment_is_in_its_window(now: datetime, seconds: float) -> None:
    one = quota(timedelta(seconds=seconds))
    start = one.window_start(now)
    assert start <= now < start + one.window
    assert one.window_start(start) == start


def test_refusal_says_when_the_next_window_begins() -> None:
    error = quota().refused(datetime(2026, 1, 2, 3, 59, 20, tzinfo=UTC))
    assert (error.reason, error.limit, error.retry_after_ms) == ("TOO_MANY_ATTEMPTS", "3", 40_001)


def test_keys_are_digests_of_whatever_was_typed() -> None:
    assert len(key_of("x" * 10_000)) == len(key_of("\ud800")) == 32
    assert key_of("a") != key_of("b")


def test_bounds_come_from_settings() -> None:
    quotas = AccountQuotas.of(
        AccountSettings(failed_logins_per_window=4, failed_login_window_s=60, sign_ups_per_client_and_hour=5)
    )
    assert (quotas.log_ins.limit, quotas.log_ins.window) == (4, timedelta(minutes=1))
    assert (quotas.sign_ups_of_client.limit, quotas.sign_ups.limit, quotas.mails.limit) == (5, 1_000, 3)
    assert len({one.scope for one in quotas.all()}) == len(dataclasses.fields(quotas))
