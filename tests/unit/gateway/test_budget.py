"""Buckets by a clock that the test turns."""

import contextlib

import pytest

from services.chassis import auth
from services.chassis.auth import TokenKind, Viewer
from services.chassis.errors import ResourceExhausted
from services.gateway import budget
from services.gateway.budget import Budgets, TimeBudgets, bucket_key


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_buckets_empty_and_fill_again(clock: Clock) -> None:
    budgets = Budgets(100, 10, clock)
    assert budgets.spend("a", 60) == 40
    with pytest.raises(ResourceExhausted) as caught:
        budgets.spend("a", 50)
    error = caught.value
    assert (error.reason, error.value, error.limit, error.retry_after_ms) == ("COST_LIMIT_REACHED", "50", "100", 1001)
    assert error.message == "this costs 50 points and 40 are left; 10 come back a second"
    assert budgets.left("a") == 40
    assert budgets.spend("b", 100) == 0  # another viewer's is another one
    clock.now += 1.001
    assert budgets.spend("a", 50) == 0
    clock.now += 1000
    assert budgets.left("a") == 100


def test_what_was_not_needed_comes_back_and_no_more(clock: Clock) -> None:
    budgets = Budgets(100, 10, clock)
    budgets.spend("a", 60)
    assert budgets.give_back("a", 50) == 90
    assert budgets.give_back("a", 50) == 100


def test_more_than_a_bucket_runs_once_it_is_full_and_is_paid_afterwards(clock: Clock) -> None:
    budgets = Budgets(100, 10, clock)
    assert budgets.spend("a", 300) == -200
    clock.now += 29.9
    with pytest.raises(ResourceExhausted):
        budgets.spend("a", 100)
    clock.now += 0.1
    assert budgets.spend("a", 100) == 0


def test_so_many_buckets_and_no_more(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_MAX_BUCKETS", 3)
    budgets = Budgets(100, 10, clock)
    for name in "abcad":  # "b" was away for longest
        budgets.spend(name, 10)
    assert [budgets.left(name) for name in "acd"] == [80, 90, 90]
    assert budgets.left("b") == 100


def test_workers_share_what_a_viewer_has() -> None:
    share = Budgets.of_worker(20_000, 2000, 3, 240, 20)
    assert (share.capacity, round(share.refill_per_s, 1)) == (6666, 666.7)
    assert Budgets.of_worker(100, 1, 64, 240, 20).capacity == 1


def test_a_user_has_one_bucket_whatever_the_token_and_guests_have_their_networks() -> None:
    try:
        auth.bind_client("192.0.2.0/24")
        assert bucket_key() == "guests 192.0.2.0/24"
        auth.bind("t", Viewer("u", "user", TokenKind.ACCESS, "session-1"))
        session = bucket_key()
        auth.bind("t", Viewer("u", "user", TokenKind.API, "session-2"))
        assert session == bucket_key() == "user u"
    finally:
        auth.bind("", None)
        auth.bind_client("")


def test_calls_take_their_time_while_they_run_and_some_comes_back() -> None:
    now = [0.0]
    times = TimeBudgets(10.0, 2.0, clock=lambda: now[0])
    with contextlib.ExitStack() as calls:
        for _ in range(12):
            times.check("jay")
            calls.enter_context(times.calling("jay"))
        now[0] = 0.5  # twelve run, two come back
        times.check("jay")
        now[0] = 1.0
        with pytest.raises(ResourceExhausted) as refusal:
            times.check("jay")
        assert (refusal.value.reason, refusal.value.limit, refusal.value.retry_after_ms) == (
            "TIME_LIMIT_REACHED",
            "10",
            1000,
        )
        times.check("somebody else")
        now[0] = 9.0  # no more is owed than a bucket
    with pytest.raises(ResourceExhausted) as refusal:
        times.check("jay")
    assert refusal.value.retry_after_ms == 6000
    now[0] = 14.1
    times.check("jay")
    now[0] = 100.0  # and no more comes back than a bucket
    with times.calling("jay"), times.calling("jay"), times.calling("jay"):
        now[0] = 109.0
        times.check("jay")
        now[0] = 110.0
        with pytest.raises(ResourceExhausted):
            times.check("jay")
