"""References at the border: times, weights, and what is refused with field, value and limit."""

from typing import Any

import numpy as np
import pytest

from museed.retriever.v1 import reference_pb2
from services.chassis import vectors
from services.chassis.errors import DomainError
from services.retriever.servicer.reference_requests import check_times, check_windows, reference
from services.retriever.similarity import Float32Array
from tests.unit.retriever.test_taste import DIMENSION, unit

SILENT = np.zeros(DIMENSION, np.float32)


def request(*rows: Float32Array, **fields: Any) -> reference_pb2.MatchReferenceRequest:
    data = vectors.encode(np.stack(rows)) if rows else b""
    return reference_pb2.MatchReferenceRequest(**({"windows": data} | fields))


def test_windows_follow_each_other_and_the_last_ends_with_the_reference() -> None:
    found = reference(request(unit(1), SILENT, unit(2), unit(3), duration_seconds=32.5), DIMENSION)
    assert found.windows.starts_s is not None
    assert found.windows.ends_s is not None
    assert list(zip(found.windows.starts_s, found.windows.ends_s, strict=True)) == [(0, 10), (20, 30), (30, 32.5)]
    assert found.seconds.tolist() == [10, 10, 2.5]
    np.testing.assert_allclose(found.windows.vectors, [unit(1), unit(2), unit(3)], atol=1e-6)
    mean = 10 * unit(1) + 10 * unit(2) + 2.5 * unit(3)
    np.testing.assert_allclose(found.vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert found.window_s == 10


def test_windows_may_overlap_and_have_another_length() -> None:
    found = reference(request(unit(1), unit(2), unit(3), window_seconds=30, hop_seconds=5), DIMENSION)
    assert found.windows.starts_s is not None
    assert found.windows.ends_s is not None
    assert found.windows.starts_s.tolist() == [0, 5, 10]
    assert found.windows.ends_s.tolist() == [30, 35, 40]
    assert found.window_s == 30


def test_the_vector_is_taken_where_it_is_given() -> None:
    found = reference(request(unit(1), vector=vectors.encode(unit(9))), DIMENSION)
    np.testing.assert_allclose(found.vector, unit(9), atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (request(unit(1), windows_digest=b"d" * 32), ("WINDOWS_AMBIGUOUS", "windows_digest")),
        (request(windows_digest=b"d" * 31), ("OUT_OF_RANGE", "windows_digest")),
        (request(unit(1), tags=["a"] * 51), ("OUT_OF_RANGE", "tags")),
        (request(unit(1), tags=["a", " "]), ("MISSING_INPUT", "tags[1]")),
    ],
)
def test_windows_are_given_in_one_way_and_tags_are_few(
    asked: reference_pb2.MatchReferenceRequest, told: tuple[str, str]
) -> None:
    with pytest.raises(DomainError) as refusal:
        check_windows(asked)
    assert (refusal.value.reason, refusal.value.field) == told


ROW = vectors.encode(unit(1))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (request(), ("MISSING_INPUT", "windows", "0", "1")),
        (request(windows=ROW[:-1]), ("DIMENSION_MISMATCH", "windows", "23", "24")),
        (request(windows=ROW * 721), ("OUT_OF_RANGE", "windows", "721", "720")),
        (request(SILENT, SILENT), ("REFERENCE_SILENT", "windows", "2", None)),
        (request(unit(1), -unit(1)), ("REFERENCE_CANCELS", "windows", None, "0.001")),
        (request(unit(1), unit(2) * 1.01), ("VECTOR_NOT_UNIT", "windows[1]", "1.01", "0.001")),
        (request(unit(1), unit(2) * np.nan), ("VECTOR_NOT_UNIT", "windows[1]", "nan", "0.001")),
        (request(unit(1), vector=ROW[:8]), ("DIMENSION_MISMATCH", "vector", "8", "24")),
        (request(unit(1), vector=vectors.encode(unit(1) * 2)), ("VECTOR_NOT_UNIT", "vector", "2", "0.001")),
        (request(unit(1), unit(2), duration_seconds=10), ("OUT_OF_RANGE", "duration_seconds", "10", "10")),
        (request(windows=ROW * 720, window_seconds=60.1), ("OUT_OF_RANGE", "windows", "43272 s", "43200")),
        (request(windows=ROW * 74, hop_seconds=600), ("OUT_OF_RANGE", "windows", "43810 s", "43200")),
        (request(unit(1), window_seconds=0.05), ("OUT_OF_RANGE", "window_seconds", "0.05", "0.1")),
        (request(unit(1), window_seconds=601), ("OUT_OF_RANGE", "window_seconds", "601", "600")),
        (request(unit(1), window_seconds=float("nan")), ("OUT_OF_RANGE", "window_seconds", "nan", "600")),
        (request(unit(1), hop_seconds=-1), ("OUT_OF_RANGE", "hop_seconds", "-1", "0.01")),
        (request(unit(1), hop_seconds=601), ("OUT_OF_RANGE", "hop_seconds", "601", "600")),
        (request(unit(1), duration_seconds=-1), ("OUT_OF_RANGE", "duration_seconds", "-1", "0")),
        (request(unit(1), duration_seconds=float("inf")), ("OUT_OF_RANGE", "duration_seconds", "inf", "43200")),
    ],
)
def test_bad_references_are_refused(
    asked: reference_pb2.MatchReferenceRequest, told: tuple[str, str, str | None, str | None]
) -> None:
    def check() -> None:
        check_times(asked)
        reference(asked, DIMENSION)

    with pytest.raises(DomainError) as refused:
        check()
    error = refused.value
    assert (error.code, error.reason, error.field, error.limit) == ("INVALID_ARGUMENT", told[0], told[1], told[3])
    assert told[2] is None or error.value == told[2]
