from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.playlist.arrangement import RepetitionCounter
from services.retriever.playlist.spacing import IntArray
from services.retriever.playlist.two_opt import Float64Array, length, shorten


def line(*places: float) -> Float64Array:
    """Distances of stops on a line."""
    distances: Float64Array = np.abs(np.subtract.outer(np.array(places), np.array(places)))
    return distances


def nothing_breaks(order: IntArray) -> int:
    return 0


def test_a_crossed_way_is_uncrossed() -> None:
    assert shorten([0, 2, 1, 3], line(0, 1, 2, 3), nothing_breaks) == [0, 1, 2, 3]
    assert shorten([0, 3, 2, 1], line(0, 1, 2, 3), nothing_breaks) == [0, 1, 2, 3]


def test_the_first_stop_stays_and_the_last_one_if_it_must() -> None:
    assert shorten([1, 0, 2], line(0, 1, 2), nothing_breaks)[0] == 1
    assert shorten([0, 2, 1, 3], line(0, 1, 2, 1.5), nothing_breaks, is_last_fixed=True)[-1] == 3


def test_no_turn_breaks_the_rule_more_often() -> None:
    # A A stand next to each other on the line; only with B between are they apart.
    way = shorten([0, 2, 1], line(0, 0.1, 5), RepetitionCounter(["A", "A", "B"], 2))
    assert way == [0, 2, 1]


@pytest.mark.parametrize("way", [[], [0], [0, 1]])
def test_short_ways_are_left_alone(way: list[int]) -> None:
    assert shorten(way, line(0, 1), nothing_breaks) == way
    assert length(way, line(0, 1)) == max(0, len(way) - 1)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32 - 1), st.integers(3, 7), st.booleans(), st.integers(1, 3))
def test_ways_are_never_longer_than_before_and_close_to_the_best(
    seed: int, count: int, is_last_fixed: bool, window: int
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((count, 3))
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    breaks = RepetitionCounter(rng.integers(0, 4, count).tolist(), window)
    start = list(range(count))
    way = shorten(start, distances, breaks, is_last_fixed=is_last_fixed)
    assert sorted(way) == start
    assert way[0] == 0
    assert way[-1] == count - 1 or not is_last_fixed
    assert length(way, distances) <= length(start, distances) + 1e-9
    assert breaks(np.array(way)) <= breaks(np.array(start))
    if window == 1:  # without a rule that keeps it from some turns
        best = min(
            length(each, distances)
            for each in permutations(start)
            if each[0] == 0 and (each[-1] == count - 1 or not is_last_fixed)
        )
        assert length(way, distances) <= 1.5 * best


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(3, 9), st.booleans())
def test_no_turn_is_left_that_would_shorten_a_way_whose_stops_are_in_haste(
    seed: int, count: int, is_last_fixed: bool
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((count, 3))
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    haste = rng.uniform(-1, 1, count)

    def cost(way: list[int]) -> float:
        return length(way, distances) + float(haste[way] @ np.arange(count))

    way = shorten(list(range(count)), distances, nothing_breaks, is_last_fixed=is_last_fixed, haste=haste)
    assert sorted(way) == list(range(count))
    assert cost(way) <= cost(list(range(count))) + 1e-9
    for first in range(1, count):
        for last in range(first + 1, count - is_last_fixed):
            turned = way[:first] + way[first : last + 1][::-1] + way[last + 1 :]
            assert cost(turned) >= cost(way) - 1e-5


def test_who_is_in_haste_comes_early() -> None:
    # Both orders after the first stop are as long: 1 + 2 = 1 + 2.
    distances = line(0.0, 1.0, -1.0)
    assert shorten([0, 1, 2], distances, nothing_breaks, haste=np.array([0.0, 0.0, 1.0])) == [0, 2, 1]
    assert shorten([0, 1, 2], distances, nothing_breaks, haste=np.array([0.0, 1.0, 0.0])) == [0, 1, 2]
