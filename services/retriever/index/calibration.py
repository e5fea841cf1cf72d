"""Measures how much of the true nearest an approximate base finds, and makes it search as hard as is wanted."""

import numpy as np

from services.retriever.index.approximate import CodesBase, HnswCodes
from services.retriever.index.ivf import CALIBRATED_K, IvfCodes
from services.retriever.index.vector_store import Labels, VectorStore
from services.retriever.similarity import Float32Array

# Of each sort.
_QUERIES = 48
# What is measured on so few queries is off by about this much, and the library changes until the next base.
_SAFETY = 0.004


def calibrate(base: CodesBase, recall: float) -> float:
    """Raise the effort until recall@100 reaches what is wanted or nothing more can be found; return the recall.

    Some questions are tracks of the base, some lie in the middle between such a track and one of its 100 nearest, as
    the targets of seeds that belong together do, some between two tracks that need have nothing in common, and some
    just anywhere, as a sound that the library does not know. The worst of the four counts. A graph is not asked the
    latter two: what lies between its crowds it finds at no price that the others would pay.
    """
    wanted = min(1.0, recall + _SAFETY)
    asked = _questions(base.store)
    codes = base.codes
    if isinstance(codes, IvfCodes):
        for queries, truth in asked:
            margins = codes.margins(queries, truth)
            codes.effort = max(codes.effort, float(np.quantile(margins, wanted, method="higher")))
    if isinstance(codes, HnswCodes):
        asked = asked[:2]
    # The margin is right but for what 8 bits confuse; the effort of a graph is found by trying.
    while True:
        reached = min(recall_of(base, queries, truth) for queries, truth in asked)
        if reached >= wanted or codes.effort >= codes.max_effort:
            return reached
        codes.effort = codes.harder()


def _questions(store: VectorStore) -> list[tuple[Float32Array, Labels]]:
    """Return queries of four sorts, each shape (some, dim), and the labels of their nearest, shape (some, k)."""
    k = min(CALIBRATED_K, len(store))
    random = np.random.default_rng(0)  # the same in every process, so that replicas search equally hard
    tracks, strangers = (store.take(random.integers(0, len(store), _QUERIES)) for _ in range(2))
    near = nearest_exactly(store, tracks, k)
    neighbours = store.take(near[np.arange(len(near)), random.integers(0, k, len(near))])
    anywhere = random.standard_normal(tracks.shape).astype(np.float32)
    others = [_middle(tracks, neighbours), _middle(tracks, strangers), _middle(anywhere, np.zeros_like(anywhere))]
    return [(tracks, near), *((queries, nearest_exactly(store, queries, k)) for queries in others)]


def nearest_exactly(store: VectorStore, queries: Float32Array, k: int) -> Labels:
    """Return the labels of the k nearest by the stored vectors, shape (n, k), in no order."""
    best = np.full((len(queries), k), -np.inf, np.float32)
    labels = np.full((len(queries), k), -1, np.int64)
    start = 0
    for block in store.blocks():
        products = np.hstack([best, queries @ block.T])
        numbers = np.hstack([labels, np.broadcast_to(np.arange(start, start + len(block)), (len(queries), len(block)))])
        chosen = np.argpartition(-products, k - 1, axis=1)[:, :k]
        best, labels = np.take_along_axis(products, chosen, 1), np.take_along_axis(numbers, chosen, 1)
        start += len(block)
    return labels


def recall_of(base: CodesBase, queries: Float32Array, truth: Labels) -> float:
    """Return the share of the true nearest, shape (n, k), that the base finds, on average over the queries."""
    k = truth.shape[1]
    shares = []
    for found, true in zip(base.search(queries, k, None), truth, strict=True):
        best = found.labels[np.argsort(-found.products)[:k]]
        shares.append(len(np.intersect1d(best, true)) / k)
    return float(np.mean(shares))


def _middle(some: Float32Array, others: Float32Array) -> Float32Array:
    middle = some + others
    length = np.maximum(np.linalg.norm(middle, axis=1, keepdims=True), 1e-6)
    unit: Float32Array = (middle / length).astype(np.float32)
    return unit
