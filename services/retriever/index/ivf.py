"""8-bit codes in lists around centroids, each query looking into as many lists as may hold something for it."""

from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from services.retriever.index.byte_codes import AskedCodes, ByteScale
from services.retriever.index.ranking import Mask, fetched
from services.retriever.index.selectors import selected
from services.retriever.index.vector_store import Labels
from services.retriever.similarity import Float32Array

# The first look is at so many times as many tracks as are fetched.
_FIRST_LOOK = 2
_NOWHERE = -1
_BY_QUERY = 3
# So many are wanted when the margin is measured.
CALIBRATED_K = 100


class _Ways(NamedTuple):
    """The lists of each query, the nearest first, shape (n, nlist), and so are the others.

    Attributes:
        lists: Their numbers.
        products: Of their centroids with the query.
        is_first: Which are looked into in any case.
        is_later: Which of the others hold something that is permitted.
    """

    lists: Labels
    products: Float32Array
    is_first: Mask
    is_later: Mask


class IvfCodes:
    """Codes in lists around centroids.

    A query looks first into the nearest lists, until it has seen twice as many tracks as it fetches. Then it knows
    how near a track must be to be of use, and looks into every list whose centroid is no further than that, give or
    take a margin. So a target in the midst of a crowd costs little, one between crowds or far from all of them costs
    more, up to everything, and recall stays. It is the same when many are wanted, or when a filter leaves few of those
    around: what was seen was less near, and the search goes on further out. FAISS's nprobe is one number for all: at
    88,423 tracks in clusters the 48 lists that suit tracks miss much halfway between two of them.

    Args:
        index: FAISS IndexIVFScalarQuantizer by inner product of codes, its centroids in an IndexFlat.
        scale: Of the codes.
        effort: The margin, as a cosine.

    Attributes:
        centroids: Shape (lists, dim), float32; must not be written to.
    """

    max_effort = 2.0  # no cosine is further from another

    def __init__(self, index: Any, scale: ByteScale, effort: float) -> None:
        self.index = index
        self.scale = scale
        self.effort = effort
        # So that the queries of one call share the threads.
        index.parallel_mode = _BY_QUERY
        quantizer: Any = faiss.downcast_index(index.quantizer)
        size = index.nlist * index.d
        centroids = faiss.rev_swig_ptr(quantizer.get_xb(), size).reshape(index.nlist, index.d)
        self.centroids = centroids[:, : len(scale.mean)]
        self._list_of = _lists_by_label(index)
        self._held = np.bincount(self._list_of, minlength=index.nlist)
        labels = index.ntotal * (np.dtype(np.int64).itemsize + self._list_of.itemsize)
        filling = index.ntotal * (index.code_size - len(scale.mean))
        self.beside_bytes = labels + 4 * size + filling

    def harder(self) -> float:
        """Return the next higher effort."""
        return min(self.effort + 0.02, self.max_effort)

    def margins(self, queries: Float32Array, labels: Labels) -> Float32Array:
        """Return how large the margin must be to find tracks.

        Args:
            queries: Shape (n, dim).
            labels: The nearest of each query, shape (n, `CALIBRATED_K`), fewer where there are fewer.

        Returns:
            Of each of them, shape (n, k), float32; −inf for those that are found without.
        """
        depth = fetched(CALIBRATED_K)
        ways = self._ways(queries, depth, None)
        _, scores = self._look(self.scale.ask(queries), depth, ways, ways.is_first, None)
        rows, ranks = np.arange(len(queries))[:, np.newaxis], np.argsort(ways.lists, axis=1)
        columns = ranks[rows, self._list_of[labels]]  # (n, k), where each one's list stands
        margins: Float32Array = scores[:, CALIBRATED_K - 1, np.newaxis] - ways.products[rows, columns]
        margins[ways.is_first[rows, columns]] = -np.inf
        return margins

    def find(self, queries: Float32Array, k: int, fetch: int, permitted: Mask | None) -> Labels:
        """Return candidates; see `Codes`."""
        # Whoever wants few looks as far as for those that the margin was measured with: one of the nearest may lie
        # further from its centroid than most.
        depth = max(fetch, fetched(CALIBRATED_K))
        ways, asked = self._ways(queries, depth, permitted), self.scale.ask(queries)
        with selected(permitted) as selector:
            labels, scores = self._look(asked, depth, ways, ways.is_first, selector)
            worst = scores[:, max(k, CALIBRATED_K) - 1, np.newaxis]
            near = ways.products >= worst - np.float32(self.effort)
            if not (more := near & ways.is_later).any():
                return labels[:, :fetch]
            more_labels, more_scores = self._look(asked, fetch, ways, more, selector)
        labels, scores = np.hstack([labels, more_labels]), np.hstack([scores, more_scores])
        best = np.argpartition(-scores, fetch - 1, axis=1)[:, :fetch]
        return np.take_along_axis(labels, best, axis=1)

    def _ways(self, queries: Float32Array, fetch: int, permitted: Mask | None) -> _Ways:
        held = self._held if permitted is None else np.bincount(self._list_of[permitted], minlength=self.index.nlist)
        products = queries @ self.centroids.T
        lists = np.argsort(-products, axis=1)
        inside = held[lists]
        is_first = inside.cumsum(axis=1) - inside < _FIRST_LOOK * fetch
        products = np.take_along_axis(products, lists, axis=1)
        return _Ways(lists, products, is_first & (inside > 0), ~is_first & (inside > 0))

    def _look(
        self, asked: AskedCodes, fetch: int, ways: _Ways, is_wanted: Mask, selector: Any
    ) -> tuple[Labels, Float32Array]:
        """Search lists; return labels and scores, shape (n, fetch), best first, padded with −1 and the lowest score."""
        columns = np.flatnonzero(is_wanted.any(axis=0))
        part = slice(columns[0], columns[-1] + 1)
        chosen = np.where(is_wanted[:, part], ways.lists[:, part], _NOWHERE)
        near = np.ascontiguousarray(ways.products[:, part])
        labels = np.empty((len(chosen), fetch), np.int64)
        products = np.empty((len(chosen), fetch), np.float32)
        # Not FAISS's wrapper, which takes no parameters; and not the index's own nprobe, which other threads may read.
        parameters = faiss.SearchParametersIVF(sel=selector, nprobe=chosen.shape[1])  # type: ignore[call-arg]  # FAISS adds it at import
        pointers = [faiss.swig_ptr(array) for array in (chosen, near, products, labels)]
        self.index.search_preassigned_c(len(chosen), faiss.swig_ptr(asked.numbers), fetch, *pointers, False, parameters)
        return labels, asked.scores(products)


def _lists_by_label(index: Any) -> NDArray[np.int32]:
    """Return the list of each label, shape (tracks,)."""
    lists = np.zeros(index.ntotal, np.int32)
    for number in range(index.nlist):
        if size := index.invlists.list_size(number):
            lists[faiss.rev_swig_ptr(index.invlists.get_ids(number), size)] = number
    return lists
