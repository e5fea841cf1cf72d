"""The vectors of a base."""

import numpy as np

from services.retriever.index.vector_store import VectorStore, widened


def test_every_finite_fp16_number_is_the_same_in_fp32() -> None:
    numbers = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = numbers[np.isfinite(numbers)]
    assert np.array_equal(widened(finite), finite.astype(np.float32))
    assert np.array_equal(np.signbit(widened(finite)), np.signbit(finite))  # of zeros, too


def test_vectors_come_back_as_they_are_stored() -> None:
    rows = np.random.default_rng(3).standard_normal((50, 24)).astype(np.float32)
    labels = np.array([7, 0, 7, 49])
    for stored in (rows, rows.astype(np.float16)):
        store = VectorStore(stored)
        assert np.array_equal(store.take(labels), stored.astype(np.float32)[labels])
        assert np.array_equal(store.take_all(), stored.astype(np.float32))
        alive = np.arange(50) % 3 == 0
        assert np.array_equal(np.concatenate(list(store.blocks(alive))), stored.astype(np.float32)[alive])
    assert VectorStore(rows.astype(np.float16)).take(np.empty(0, np.int64)).shape == (0, 24)
