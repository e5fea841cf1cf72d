import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.social.domain.signals import added, faded

HALF_LIFE = timedelta(hours=48)
NOW = datetime(2026, 11, 1, tzinfo=UTC)

steps = st.lists(st.tuples(st.sampled_from([0.25, 1.0, 2.0, 3.0]), st.floats(0, 60)), min_size=1, max_size=30)


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@given(steps)
def test_score_is_the_sum_of_what_is_left_of_each(given_steps: list[tuple[float, float]]) -> None:
    score = None
    for weight, days in given_steps:
        score = added(score, weight, days_ago(days), HALF_LIFE)
    assert score is not None
    left = sum(weight * 0.5 ** (days / 2) for weight, days in given_steps)
    assert faded(score, NOW, HALF_LIFE) == pytest.approx(left, rel=1e-9)


@given(steps)
def test_what_is_taken_back_is_as_if_it_had_never_been(given_steps: list[tuple[float, float]]) -> None:
    before = None
    for weight, days in given_steps:
        before = added(before, weight, days_ago(days), HALF_LIFE)
    assert before is not None
    liked = added(before, 1.0, NOW, HALF_LIFE)
    after = added(liked, -1.0, NOW, HALF_LIFE)
    left = 0.0 if after is None else faded(after, NOW, HALF_LIFE)
    assert left == pytest.approx(faded(before, NOW, HALF_LIFE), abs=2e-6 * (1 + faded(before, NOW, HALF_LIFE)))


def test_nothing_is_left_when_all_is_taken_back() -> None:
    score = added(None, 3.0, days_ago(1), HALF_LIFE)
    assert added(score, -3.0, days_ago(1), HALF_LIFE) is None
    assert added(None, -1.0, NOW, HALF_LIFE) is None


def test_scores_last_for_centuries() -> None:
    late = datetime(2926, 1, 1, tzinfo=UTC)
    score = added(added(None, 1.0, NOW, HALF_LIFE), 1.0, late, HALF_LIFE)
    assert score is not None
    assert math.isfinite(score)
    assert faded(score, late, HALF_LIFE) == pytest.approx(1.0)
