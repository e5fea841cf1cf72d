"""A million tracks: 8-bit codes in memory, fp16 vectors mapped from a file, truth for 200 queries by brute force."""

from collections.abc import Iterator

import numpy as np

from benchmarks.retrieval.data import DIMENSION, Float32Array, Int64Array, Library, clustered_parts
from services.retriever.tracks import Track

COUNT = 1_000_000


class Million(Library):
    """A library whose vectors are made anew whenever they are walked: they would take 4 GB."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return DIMENSION

    def blocks(self) -> Iterator[Float32Array]:
        """Yield the vectors in parts; takes a minute."""
        return clustered_parts(len(self.tracks))


def make(count: int = COUNT) -> Million:
    """Make the library; of its tracks only the ids are known."""
    name = f"clustered {count:,} × {DIMENSION}, codes"
    tracks = [Track(f"track-{number:07d}", 1) for number in range(count)]
    return Million(name, tracks, np.empty((0, DIMENSION), np.float32))


def queries(library: Million, count: int) -> Float32Array:
    """Return sounds in the middle between a track and the next of the first part, shape (count, dim)."""
    part = next(library.blocks())[: count + 1]
    middle = part[:-1] + 0.5 * part[1:]
    unit: Float32Array = middle / np.linalg.norm(middle, axis=1, keepdims=True)
    return unit


def truth(library: Million, asked: Float32Array, k: int) -> Int64Array:
    """Return the rows of the k nearest of every query, shape (queries, k), in no order; walks the library."""
    best = np.full((len(asked), k), -np.inf, np.float32)
    rows = np.zeros((len(asked), k), np.int64)
    start = 0
    for part in library.blocks():
        products = np.hstack([best, asked @ part.T])
        numbers = np.hstack([rows, np.broadcast_to(np.arange(start, start + len(part)), (len(asked), len(part)))])
        chosen = np.argpartition(-products, k - 1, axis=1)[:, :k]
        best, rows = np.take_along_axis(products, chosen, 1), np.take_along_axis(numbers, chosen, 1)
        start += len(part)
    return rows
