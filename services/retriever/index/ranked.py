"""Puts what was found into the order that everybody sees: by cosine, ties by id."""

from collections.abc import Callable, Collection
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from services.retriever.index.vector_store import Labels
from services.retriever.similarity import Float32Array


class Ranked(NamedTuple):
    """What was found for one query, the nearest first, ties by id.

    Attributes:
        labels: Shape (found,), int64.
        similarities: Cosines of the stored vectors, shape (found,), float32, to six decimals.
    """

    labels: Labels
    similarities: Float32Array

    def without(self, blocked: Collection[int], count: int) -> "Ranked":
        """Return the first so many that are not blocked."""
        if not blocked:
            return Ranked(self.labels[:count], self.similarities[:count])
        kept = ~np.isin(self.labels, list(blocked))
        return Ranked(self.labels[kept][:count], self.similarities[kept][:count])


NOTHING = Ranked(np.empty(0, np.int64), np.empty(0, np.float32))


def ranked(labels: Labels, cosines: Float32Array, k: int, id_of: Callable[[int], str]) -> Ranked:
    """Return the best k of the candidates, all where there are fewer.

    Args:
        labels: All that can be among them, shape (n,).
        cosines: Theirs, shape (n,).
        k: How many.
        id_of: Gives the id of a label; asked only for those whose cosine is not theirs alone.
    """
    order = np.argsort(-cosines)
    labels, cosines = labels[order], cosines[order]
    if (cosines[1:] == cosines[:-1]).any():
        edges = np.flatnonzero(np.diff(cosines)) + 1
        for first, end in pairwise([0, *edges.tolist(), len(cosines)]):
            if end - first > 1:
                labels[first:end] = sorted(labels[first:end].tolist(), key=id_of)
    return Ranked(labels[:k], cosines[:k])
