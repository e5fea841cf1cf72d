import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import vectors
from services.chassis.errors import InvalidArgument


@given(st.integers(0, 2**32 - 1), st.integers(1, 64))
def test_what_was_encoded_is_decoded(seed: int, dimension: int) -> None:
    vector = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    vector /= np.linalg.norm(vector)
    assert np.array_equal(vectors.decode(vectors.encode(vector), dimension), vector)


def test_bytes_are_little_endian() -> None:
    assert vectors.encode(np.array([1.0, 0.0], dtype=">f4").astype(np.float32)) == b"\x00\x00\x80\x3f\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "DIMENSION_MISMATCH"),
        (b"\0" * 7, "DIMENSION_MISMATCH"),
        (np.array([1, 0, 0], dtype="<f4").tobytes(), "DIMENSION_MISMATCH"),
        (np.array([0, 0], dtype="<f4").tobytes(), "VECTOR_NOT_UNIT"),
        (np.array([1, 1], dtype="<f4").tobytes(), "VECTOR_NOT_UNIT"),
        (np.array([np.nan, 1], dtype="<f4").tobytes(), "VECTOR_NOT_UNIT"),
        (np.array([np.inf, 0], dtype="<f4").tobytes(), "VECTOR_NOT_UNIT"),
    ],
)
def test_bad_vector_is_refused_by_name(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        vectors.decode(data, 2, field="seeds[0].vector")
    assert (caught.value.reason, caught.value.field) == (reason, "seeds[0].vector")
