"""The bootstrap over groups: exact where it must be, and paired."""

import math

import numpy as np
import pytest

from training.evaluation.intervals import GroupBootstrap


def test_mean_counts_every_query_once_and_groups_are_resampled_whole() -> None:
    groups = ["a"] * 8 + ["b"] * 2
    values = np.array([1.0] * 8 + [0.0] * 2)
    estimate = GroupBootstrap(groups, ["x"] * 10).over_all(values)
    assert estimate.mean == 0.8
    # Both groups, either one twice: a quarter each of 0 and 1, so that 90 % reach from end to end.
    assert (estimate.low, estimate.high) == (0.0, 1.0)
    assert (estimate.queries, estimate.groups) == (10, 2)


def test_interval_is_that_of_a_slow_reference() -> None:
    random = np.random.default_rng(5)
    groups = [f"group {number // 4}" for number in range(48)]
    values = random.uniform(0, 1, 48) + np.repeat(random.uniform(-0.3, 0.3, 12), 4)
    estimate = GroupBootstrap(groups, ["x"] * 48, resamples=20_000).over_all(values)
    of_groups = values.reshape(12, 4).mean(axis=1)
    drawn = np.sort([random.choice(of_groups, 12).mean() for _ in range(20_000)])
    assert estimate.low == pytest.approx(drawn[1_000], abs=0.01)
    assert estimate.high == pytest.approx(drawn[19_000], abs=0.01)


def test_a_difference_is_paired() -> None:
    random = np.random.default_rng(6)
    first = random.uniform(0, 1, 40)
    bootstrap = GroupBootstrap([f"group {number % 8}" for number in range(40)], ["x"] * 40)
    difference = bootstrap.over_all((first + 0.1) - first)
    assert difference.mean == pytest.approx(0.1)
    assert difference.low == pytest.approx(0.1)
    assert difference.high == pytest.approx(0.1)
    alone = bootstrap.over_all(first)
    assert alone.high - alone.low > 0.05


def test_same_seed_same_interval_and_another_differs() -> None:
    groups = [f"group {number % 6}" for number in range(30)]
    values = np.random.default_rng(7).uniform(0, 1, 30)
    first, again, other = (GroupBootstrap(groups, ["x"] * 30, seed=seed).over_all(values) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first.mean == other.mean


def test_macro_gives_each_family_the_same_weight() -> None:
    bootstrap = GroupBootstrap(["a", "b", "c", "d", "e"], ["metal", "metal", "metal", "metal", "piano"])
    values = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    macro = bootstrap.macro(values)
    assert macro.mean == 0.5
    assert (macro.low, macro.high) == (0.5, 1.0)  # a resample without the piano has one family
    assert bootstrap.over_all(values).mean == 0.8
    assert bootstrap.of_stratum(values, "metal").mean == 1.0


def test_one_group_has_no_interval_and_no_query_no_mean() -> None:
    alone = GroupBootstrap(["a", "a"], ["x", "x"]).over_all(np.array([0.0, 1.0]))
    assert alone.mean == 0.5
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)
    bootstrap = GroupBootstrap(["a", "b"], ["x", "x"])
    assert math.isnan(bootstrap.of_stratum(np.array([0.0, 1.0]), "y").mean)
    nobody = GroupBootstrap([], [])
    assert math.isnan(nobody.over_all(np.zeros(0)).mean)
    assert math.isnan(nobody.macro(np.zeros(0)).mean)
