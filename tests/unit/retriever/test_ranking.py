"""The best of many, with all that may be their equals."""

import numpy as np

from services.retriever.index.ranking import leaders, leaders_among
from services.retriever.index.vector_store import VectorStore


def test_what_is_equal_to_six_decimals_is_a_candidate_too() -> None:
    products = np.array([0.3, 0.5000004, 0.5000001, 0.4999], np.float32)
    assert leaders(products, 1).tolist() == [1, 2]
    assert leaders(products, 3).tolist() == [1, 2, 3]


def test_what_is_kept_out_is_never_a_candidate() -> None:
    products = np.array([-np.inf, 0.2, -np.inf, -0.9], np.float32)
    for k in (1, 2, 3, 4, 9):
        assert leaders(products, k).tolist() == ([1] if k == 1 else [1, 3])


def test_candidates_among_some_keep_their_labels() -> None:
    store = VectorStore(np.eye(5, dtype=np.float32))
    (found,) = leaders_among(store, np.array([4, 2, 0]), np.array([[0, 0, 1, 0, 0]], np.float32), 1)
    assert (found.labels.tolist(), found.products.tolist()) == ([2], [1.0])
    assert leaders_among(store, np.array([], np.int64), np.eye(5, dtype=np.float32)[:2], 1)[1].labels.size == 0
