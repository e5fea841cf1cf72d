"""Aggregation of window vectors, by property, by example and against slow references."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.embedder.aggregation import WEIGHTED_MEAN, Aggregator, Maximum, Middle
from services.embedder.model import pool, unit

Float32Array = NDArray[np.float32]
Windows = tuple[Float32Array, Float32Array]
ALL: list[Aggregator] = [WEIGHTED_MEAN, Maximum(), Middle()]


@st.composite
def windows(draw: st.DrawFn, most: int = 12) -> Windows:
    count = draw(st.integers(1, most))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vectors = unit((random.standard_normal((count, 8)) + 0.5).astype(np.float32))
    seconds = np.array(draw(st.lists(st.floats(0.5, 60, width=32), min_size=count, max_size=count)), dtype=np.float32)
    return vectors, seconds


def angle(one: Float32Array, other: Float32Array) -> float:
    return float(one.astype(np.float64) @ other.astype(np.float64))


@given(windows())
def test_the_weighted_mean_is_bit_for_bit_what_stored_vectors_were_made_by(found: Windows) -> None:
    vectors, seconds = found
    mean = np.average(vectors.astype(np.float64), axis=0, weights=seconds.astype(np.float64)).astype(np.float32)
    wanted = (mean / np.linalg.norm(mean.astype(np.float64))).astype(np.float32)
    np.testing.assert_array_equal(WEIGHTED_MEAN.aggregate(vectors, seconds), wanted)
    np.testing.assert_array_equal(WEIGHTED_MEAN.aggregate(vectors, seconds), pool(vectors, seconds))


@pytest.mark.parametrize("aggregator", ALL, ids=lambda one: type(one).__name__)
@given(found=windows(), power=st.integers(-3, 3))
def test_vector_is_unit_and_forgets_the_scale_of_seconds(aggregator: Aggregator, found: Windows, power: int) -> None:
    vectors, seconds = found
    vector = aggregator.aggregate(vectors, seconds)
    assert vector.shape == (8,)
    assert vector.dtype == np.float32
    assert abs(np.linalg.norm(vector) - 1) < 1e-6
    np.testing.assert_allclose(aggregator.aggregate(vectors, seconds * np.float32(2.0**power)), vector, atol=1e-6)


@pytest.mark.parametrize("aggregator", ALL, ids=lambda one: type(one).__name__)
@given(found=windows(most=1))
def test_one_window_is_its_track(aggregator: Aggregator, found: Windows) -> None:
    np.testing.assert_allclose(aggregator.aggregate(*found), found[0][0], atol=1e-6)


@given(windows(), st.integers(0, 2**32 - 1))
def test_the_maximum_forgets_the_order(found: Windows, seed: int) -> None:
    vectors, seconds = found
    order = np.random.default_rng(seed).permutation(len(vectors))
    np.testing.assert_array_equal(Maximum().aggregate(vectors[order], seconds[order]), Maximum().aggregate(*found))


@given(windows())
def test_the_maximum_of_equal_windows_is_element_wise(found: Windows) -> None:
    vectors, _ = found
    wanted = np.array([max(float(row[column]) for row in vectors) for column in range(8)])
    ten = np.full(len(vectors), 10, np.float32)
    np.testing.assert_allclose(Maximum().aggregate(vectors, ten), wanted / np.linalg.norm(wanted), atol=1e-6)


def test_a_part_raises_the_maximum_by_its_share() -> None:
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    # A full window raises to 1, one of 3 of 10 s to 0.3.
    found = Maximum().aggregate(vectors, np.array([10, 10, 3], np.float32))
    wanted = np.array([1, 1, 0.3]) / np.linalg.norm([1, 1, 0.3])
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_part_below_the_maximum_changes_nothing() -> None:
    vectors = np.array([[0.8, 0.6], [0.6, 0.8], [0.6, -0.8]], np.float32)
    ten = np.array([10, 10, 9], np.float32)
    np.testing.assert_array_equal(Maximum().aggregate(vectors, ten), Maximum().aggregate(vectors[:2], ten[:2]))


@given(windows(), st.floats(2**-8, 1, width=32))
def test_the_longer_a_part_the_nearer_it_is_to_a_full_window(found: Windows, share: float) -> None:
    vectors, _ = found
    seconds = np.full(len(vectors), 10, np.float32)
    full = Maximum().aggregate(vectors, seconds)
    seconds[-1] *= np.float32(share)
    found_nearer = Maximum().aggregate(vectors, seconds)
    seconds[-1] /= 2
    assert angle(found_nearer, full) >= angle(Maximum().aggregate(vectors, seconds), full) - 1e-6


@pytest.mark.parametrize(
    ("seconds", "middle"),
    [
        ([7], 0),
        ([10, 10], 1),  # they meet in the middle: the later one holds it
        ([10, 9.5], 0),
        ([10, 10, 10], 1),
        ([10, 10, 4], 1),
        ([10, 10, 10, 10], 2),
        ([10, 10, 10, 4], 1),
        ([30, 30, 30, 30, 30, 5], 2),
        ([10] * 720, 360),
    ],
)
def test_the_middle_window_holds_the_middle(seconds: list[float], middle: int) -> None:
    vectors = unit(np.random.default_rng(1).standard_normal((len(seconds), 4)).astype(np.float32))
    found = Middle().aggregate(vectors, np.array(seconds, np.float32))
    np.testing.assert_array_equal(found, vectors[middle])


@given(windows())
def test_the_middle_window_begins_before_the_middle_and_ends_behind_it(found: Windows) -> None:
    vectors, seconds = found
    vector = Middle().aggregate(vectors, seconds)
    at = next(number for number, row in enumerate(vectors) if np.array_equal(row, vector))
    exact = [float(one) for one in seconds]
    assert sum(exact[:at]) <= sum(exact) / 2 + 1e-9
    assert sum(exact[: at + 1]) > sum(exact) / 2 - 1e-9
