"""The measures by which the blend is judged, against figures worked out by hand."""

import numpy as np
import pytest

from benchmarks.recommendation import methods
from benchmarks.recommendation.measures import difference, score
from benchmarks.recommendation.population import simulate


def test_measures_are_those_of_the_books() -> None:
    found = score([[1, 2, 3], [7]], [np.array([2, 9]), np.array([8])], track_count=10, cold_tracks={2, 8})
    assert found.recall.tolist() == [0.5, 0.0]
    assert found.ndcg[0] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
    assert found.coverage == 0.4
    assert found.cold_recall == 0.5


def test_only_the_first_twenty_count() -> None:
    found = score([list(range(30))], [np.array([20, 19])], track_count=30, cold_tracks=set())
    assert found.recall.tolist() == [0.5]
    assert np.isnan(found.cold_recall)


def test_an_interval_of_equal_gaps_is_a_point() -> None:
    assert difference(np.full(50, 0.75), np.full(50, 0.5), seed=1) == (0.25, 0.25, 0.25)
    gap, low, high = difference(np.arange(100.0), np.zeros(100), seed=1)
    assert gap == 49.5
    assert 43 < low < gap < high < 56


def test_people_hear_by_sound_or_by_what_cannot_be_heard() -> None:
    recall = {}
    for share in (0.0, 1.0):
        population = simulate(150, 400, share, seed=3)
        assert all(
            len(set(known) & set(later)) == 0
            for known, later in zip(population.heard, population.held_out, strict=True)
        )
        way = methods.sound(population)
        found = score([way(number) for number in range(150)], population.held_out, 400, set())
        recall[share] = found.recall.mean()
    assert recall[0.0] > 2 * recall[1.0]


def test_pairs_are_cosines_of_three_people_at_least_shrunk() -> None:
    heard = np.zeros((9, 3))
    heard[:4, :2] = 1
    heard[4:6, [0, 2]] = 1
    heard[6:, 1] = 1
    weights = methods.pair_weights(heard)
    expected = 4 / (6 * 7) ** 0.5 * 4 / 14
    assert weights[0, 1] == weights[1, 0] == pytest.approx(expected)
    assert weights[0, 2] == weights[2, 2] == weights[0, 0] == 0
