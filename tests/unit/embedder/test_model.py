"""Pooling of window vectors, by property and by example."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.embedder.model import centre, pool, unit

Windows = tuple[NDArray[np.float32], NDArray[np.float32]]


@st.composite
def weighted_windows(draw: st.DrawFn) -> Windows:
    count = draw(st.integers(1, 12))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Off the origin, as vectors of one track are: their mean is far from zero.
    vectors = unit((random.standard_normal((count, 8)) + 1.5).astype(np.float32))
    weights = np.array(draw(st.lists(st.floats(0.5, 10, width=32), min_size=count, max_size=count)), dtype=np.float32)
    return vectors, weights


@given(weighted_windows())
def test_pooled_vector_is_unit(windows: Windows) -> None:
    pooled = pool(*windows)
    assert pooled.shape == (8,)
    assert pooled.dtype == np.float32
    assert abs(np.linalg.norm(pooled) - 1) < 1e-6


@given(weighted_windows(), st.integers(0, 2**32 - 1))
def test_pooling_forgets_the_order(windows: Windows, seed: int) -> None:
    vectors, weights = windows
    order = np.random.default_rng(seed).permutation(len(vectors))
    np.testing.assert_allclose(pool(vectors[order], weights[order]), pool(vectors, weights), atol=1e-6)


@given(weighted_windows(), st.floats(0.125, 8, width=32))
def test_pooling_forgets_the_scale_of_the_weights(windows: Windows, factor: float) -> None:
    vectors, weights = windows
    np.testing.assert_allclose(pool(vectors, weights * np.float32(factor)), pool(vectors, weights), atol=1e-6)


@given(weighted_windows())
def test_a_window_twice_is_a_window_of_twice_the_weight(windows: Windows) -> None:
    vectors, weights = windows
    twice = pool(np.concatenate([vectors, vectors[:1]]), np.concatenate([weights, weights[:1]]))
    doubled = weights.copy()
    doubled[0] *= 2
    np.testing.assert_allclose(twice, pool(vectors, doubled), atol=1e-6)


def test_weights_count() -> None:
    vectors = np.eye(2, dtype=np.float32)
    np.testing.assert_allclose(pool(vectors, np.array([4, 3], np.float32)), [0.8, 0.6], atol=1e-7)


def test_unit_keeps_zeros_and_shows_nan() -> None:
    rows = unit(np.array([[3, 4], [0, 0], [np.nan, 1]], dtype=np.float32))
    np.testing.assert_array_equal(rows[:2], np.array([[0.6, 0.8], [0, 0]], dtype=np.float32))
    assert np.isnan(rows[2]).all()


def test_centring_subtracts_on_the_scale_of_unit_vectors() -> None:
    vectors = np.array([[3, 4], [0, 2]], dtype=np.float32)
    np.testing.assert_allclose(centre(vectors, np.array([0, 0.8], np.float32)), [[1.0, 0.0], [0.0, 1.0]], atol=1e-6)
    np.testing.assert_allclose(centre(vectors, None), [[0.6, 0.8], [0.0, 1.0]], atol=1e-6)
