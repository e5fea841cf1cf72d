"""How often a connection's errors are logged."""

import pytest

from services.chassis.bus.rare_errors import RareErrors


def test_an_error_is_logged_at_once_and_then_each_minute_with_its_count(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 1000.0
    told = RareErrors(lambda: now_s)
    for _ in range(241):  # two minutes of two attempts a second
        told.heard(ConnectionRefusedError("refused"))
        now_s += 0.5
    told.heard(PermissionError("wrong password"))
    lines = [(record.error, record.count) for record in caplog.records]  # type: ignore[attr-defined]  # of extra
    refused = "ConnectionRefusedError('refused')"
    assert lines == [(refused, 1), (refused, 120), (refused, 120), ("PermissionError('wrong password')", 1)]


def test_what_is_over_and_comes_again_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    told = RareErrors(lambda: 1000.0)
    for _ in range(3):
        told.heard(OSError())
    told.forget()
    told.heard(OSError())
    assert [record.count for record in caplog.records] == [1, 1]  # type: ignore[attr-defined]  # of extra
