"""Picks the best of many inner products without sorting them all; knows no tracks."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.retriever.index.vector_store import Labels, VectorStore
from services.retriever.similarity import Float32Array, settled_products

# Cosines are compared to six decimals: what lies this close behind the k-th may be its equal, and go before it by id.
TIE_MARGIN = 2e-6

# An 8-bit code puts a few in a hundred on the wrong side of the k-th place.
MIN_EXTRA = 16
_EXTRA_SHARE = 4

Mask = NDArray[np.bool_]


class Candidates(NamedTuple):
    """Labels, shape (n,), int64, in no order, and their inner products with the query, shape (n,), float64.

    The products are `settled_products` of the stored vectors.
    """

    labels: Labels
    products: NDArray[np.float64]


NO_CANDIDATES = Candidates(np.empty(0, np.int64), np.empty(0, np.float64))


def fetched(k: int) -> int:
    """Return how many candidates are fetched by their codes for the k best of them."""
    return k + max(MIN_EXTRA, k // _EXTRA_SHARE)


def leaders(products: Float32Array | NDArray[np.float64], k: int) -> Labels:
    """Return the places of all that can be among the best k once cosines are rounded: with ties, and so k or more.

    Args:
        products: By label, shape (n,); −inf keeps a label out.
        k: At least 1.
    """
    floor = -np.inf
    if k < len(products):
        floor = np.partition(products, len(products) - k)[len(products) - k] - TIE_MARGIN
    return np.flatnonzero((products >= floor) & (products > -np.inf))


def settled(store: VectorStore, labels: Labels, query: Float32Array) -> Candidates:
    """Compare some labels' vectors with a query, shape (dim,), for good."""
    return Candidates(labels, settled_products(store.take(labels), query))


def leaders_among(store: VectorStore, labels: Labels, queries: Float32Array, k: int) -> list[Candidates]:
    """Compare some labels' vectors with each query, shape (n, dim); exact, and as dear as there are labels."""
    if not len(labels):
        return [NO_CANDIDATES] * len(queries)
    products = queries @ store.take(labels).T  # (n, labels)
    return [settled(store, labels[leaders(row, k)], query) for query, row in zip(queries, products, strict=True)]
