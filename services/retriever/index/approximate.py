"""The approximate kinds of base: 8-bit codes choose candidates, the stored fp16 vectors decide.

Filters. A FAISS selector leaves tracks out while the codes are searched. Where a filter leaves few tracks these are
compared exactly. Where it leaves more, a search that stopped after the usual effort would have looked at too few of
them, or at none when they lie far from the query; what each kind does about that stands at its class.
"""

from typing import Any, Protocol

import faiss
import numpy as np

from services.retriever.index.byte_codes import ByteScale
from services.retriever.index.kinds import Kind
from services.retriever.index.ranking import MIN_EXTRA, Candidates, Mask, fetched, leaders, leaders_among, settled
from services.retriever.index.selectors import selected
from services.retriever.index.vector_store import Labels, VectorStore
from services.retriever.similarity import Float32Array

# So many tracks are compared exactly: reading them from the mapped store costs about what an approximate search costs
# at its dearest, and the answer is the right one.
NARROW = 4096
# With a smaller share permitted than one in this many, a walk costs as much as a scan of the permitted codes.
_HNSW_MAX_OVER_FETCH = 4


class Codes(Protocol):
    """One FAISS index of codes and how hard it searches.

    Attributes:
        index: The FAISS index.
        effort: A margin, or nodes that are kept in sight; no meaning where all codes are compared.
        max_effort: Beyond this nothing more can be found.
        beside_bytes: What it needs beside a byte for each dimension of each track.
    """

    index: Any
    effort: float
    max_effort: float
    beside_bytes: int

    @property
    def scale(self) -> ByteScale | None:
        """Of the codes; None where FAISS keeps one itself."""
        ...

    def harder(self) -> float:
        """Return the next higher effort."""
        ...

    def find(self, queries: Float32Array, k: int, fetch: int, permitted: Mask | None) -> Labels:
        """Return candidates of each query, shape (n, fetch), padded with −1.

        Args:
            queries: Unit vectors, shape (n, dim), float32.
            k: How many are wanted.
            fetch: How many are returned, because codes are not precise: k or more, no more than are permitted.
            permitted: Which labels may be found, shape (tracks,); None for all.
        """
        ...


class CodesBase:
    """Codes in memory and fp16 vectors, mapped from a file where there is one.

    Args:
        kind: For whom wants to know.
        codes: Of the vectors of the store, in its order.
        store: The vectors.
        narrow: So many tracks or fewer are compared exactly.
    """

    def __init__(self, kind: Kind, codes: Codes, store: VectorStore, narrow: int = NARROW) -> None:
        self.kind = kind
        self.codes = codes
        self.store = store
        self._narrow = narrow

    @property
    def memory_bytes(self) -> int:
        """Bytes that are searched: codes, lists or graph, and the fp16 vectors where they are in no file."""
        codes = len(self.store) * self.store.dimension + self.codes.beside_bytes
        return codes if self.store.is_mapped else codes + self.store.nbytes

    @property
    def mapped_bytes(self) -> int:
        """Bytes of the mapped store."""
        return self.store.nbytes if self.store.is_mapped else 0

    def search(self, queries: Float32Array, k: int, permitted: Mask | None) -> list[Candidates]:
        """Find the nearest; see `bases.Base`."""
        count = len(self.store) if permitted is None else int(np.count_nonzero(permitted))
        if count <= max(self._narrow, k):
            labels = np.arange(count) if permitted is None else np.flatnonzero(permitted)
            return leaders_among(self.store, labels, queries, k)
        fetch = min(count, fetched(k))
        found = []
        for query, row in zip(queries, self.codes.find(queries, k, fetch, permitted), strict=True):
            candidates = settled(self.store, row[row >= 0], query)
            best = leaders(candidates.products, k)
            found.append(Candidates(candidates.labels[best], candidates.products[best]))
        return found


class ScannedCodes:
    """All codes, one after the other; a filter costs nothing and misses nothing."""

    effort = max_effort = 1.0

    def __init__(self, index: Any, scale: ByteScale | None) -> None:
        self.index = index
        self.scale = scale
        self.beside_bytes = index.ntotal * (index.code_size - len(scale.mean)) if scale else 0

    def harder(self) -> float:
        """Return the only effort."""
        return self.effort

    def find(self, queries: Float32Array, k: int, fetch: int, permitted: Mask | None) -> Labels:
        """Return candidates; see `Codes`."""
        numbers = self.scale.ask(queries).numbers if self.scale else queries
        with selected(permitted) as selector:
            return _search(self.index, numbers, fetch, faiss.SearchParameters(sel=selector))  # type: ignore[call-arg]  # FAISS adds it at import


class HnswCodes:
    """Codes in a graph of neighbours.

    The graph is walked without regard to filters, further by as much as they leave out, and what is not permitted is
    thrown away: what remains are the nearest permitted ones if it is as much as was wanted. Where it is less, because
    the filter leaves little around the query, all permitted codes are compared.
    """

    scale: ByteScale | None = None

    def __init__(self, index: Any, effort: float) -> None:
        self.index = index
        self.effort = effort
        self.max_effort = float(index.ntotal)
        self.beside_bytes = 4 * index.hnsw.neighbors.size() + 8 * index.hnsw.offsets.size()

    def harder(self) -> float:
        """Return the next higher effort."""
        return min(2 * self.effort, self.max_effort)

    def find(self, queries: Float32Array, k: int, fetch: int, permitted: Mask | None) -> Labels:
        """Return candidates; see `Codes`."""
        share = 1.0 if permitted is None else float(np.count_nonzero(permitted)) / len(permitted)
        wider = int(fetch / max(share, 1 / _HNSW_MAX_OVER_FETCH))
        if permitted is None:
            return self._walk(queries, fetch)
        found = np.full((len(queries), fetch), -1, np.int64)
        for row, labels in enumerate(self._walk(queries, min(wider + MIN_EXTRA, self.index.ntotal))):
            kept = labels[labels >= 0]
            kept = kept[permitted[kept]][:fetch]
            found[row, : len(kept)] = kept
        if (short := found[:, -1] < 0).any():
            storage = ScannedCodes(faiss.downcast_index(self.index.storage), None)
            found[short] = storage.find(queries[short], k, fetch, permitted)
        return found

    def _walk(self, queries: Float32Array, fetch: int) -> Labels:
        effort = max(int(self.effort), 2 * fetch)
        return _search(self.index, queries, fetch, faiss.SearchParametersHNSW(efSearch=effort))  # type: ignore[attr-defined]  # its hints miss it


def _search(index: Any, queries: Float32Array, fetch: int, parameters: Any) -> Labels:
    labels: Labels = index.search(queries, fetch, params=parameters)[1]
    return labels
