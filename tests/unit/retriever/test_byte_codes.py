import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retriever.index import byte_codes
from services.retriever.index.byte_codes import ByteScale
from services.retriever.similarity import Float32Array


def unit_vectors(count: int, dimension: int, seed: int = 0, loud: float = 1.0) -> Float32Array:
    """Return unit vectors whose first number is so many times as large as the others are."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    vectors[:, 0] *= loud
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@given(st.integers(1, 130), st.integers(0, 5))
def test_spreading_is_a_rotation(dimension: int, seed: int) -> None:
    vectors = unit_vectors(8, dimension, seed)
    spread = byte_codes._spread(vectors)
    assert spread.shape == vectors.shape
    np.testing.assert_allclose(spread @ spread.T, vectors @ vectors.T, atol=1e-5)


@pytest.mark.parametrize("loud", [1.0, 20.0])
@pytest.mark.parametrize("dimension", [400, 1024])
def test_scores_are_inner_products_to_a_thousandth_whatever_dimension_stands_out(dimension: int, loud: float) -> None:
    vectors, queries = unit_vectors(1000, dimension, 1, loud), unit_vectors(50, dimension, 2, loud)
    scale = ByteScale.of(vectors)
    asked, codes = scale.ask(queries), scale.encode(vectors)
    errors = asked.scores(asked.numbers @ codes.T) - queries @ vectors.T
    assert np.sqrt(np.square(errors).mean()) < 0.001


def test_what_all_have_in_common_costs_no_precision() -> None:
    apart = unit_vectors(500, 64, 3)
    crowd = apart * np.float32(0.1) + unit_vectors(1, 64, 4)
    crowd /= np.linalg.norm(crowd, axis=1, keepdims=True)
    scale = ByteScale.of(crowd)
    asked = scale.ask(crowd[:20])
    errors = asked.scores(asked.numbers @ scale.encode(crowd).T) - crowd[:20] @ crowd.T
    assert np.abs(errors).max() < 0.004
    assert scale.step < ByteScale.of(apart).step / 5


@given(st.integers(1, 70))
def test_codes_are_whole_numbers_in_whole_blocks(dimension: int) -> None:
    vectors = unit_vectors(20, dimension)
    scale = ByteScale.of(vectors[:5])
    for numbers in (scale.encode(vectors * 100), scale.ask(vectors).numbers):
        assert numbers.shape == (20, scale.code_size)
        assert numbers.dtype == np.float32
        assert np.array_equal(numbers, np.rint(numbers))
        assert np.abs(numbers).max() == 127
        assert not numbers[:, dimension:].any()
    assert scale.code_size % 32 == 0
    assert 0 <= scale.code_size - dimension < 32


def test_vectors_that_are_all_the_same_and_a_query_of_zeros_have_scores() -> None:
    vectors = np.repeat(unit_vectors(1, 48), 10, axis=0)
    scale = ByteScale.of(vectors)
    asked = scale.ask(np.vstack([vectors[:1], np.zeros((1, 48), np.float32)]))
    scores = asked.scores(asked.numbers @ scale.encode(vectors).T)
    np.testing.assert_allclose(scores, [[1] * 10, [0] * 10], atol=1e-6)


def test_scale_is_the_same_when_it_is_read_back() -> None:
    vectors = unit_vectors(30, 33)
    scale = ByteScale.of(vectors)
    data = scale.to_bytes()
    assert len(data) == ByteScale.size(33)
    assert np.array_equal(ByteScale.from_bytes(data).encode(vectors), scale.encode(vectors))


def test_signs_never_change_because_stored_codes_rest_on_them() -> None:
    assert byte_codes._signs(12).tolist() == [1, 1, -1, -1, 1, -1, -1, -1, 1, -1, -1, 1]
