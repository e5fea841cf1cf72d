"""The exact kinds of base: every vector is compared with the query."""

from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np

from services.retriever.index.kinds import Kind
from services.retriever.index.ranking import Candidates, Mask, leaders, leaders_among, settled
from services.retriever.index.selectors import selected
from services.retriever.index.vector_store import VectorStore
from services.retriever.similarity import Float32Array

# Inner products that are in memory at a time: 64 MB.
_MAX_PRODUCTS = 1 << 24
# Rows that lie apart cost about this much more to read than rows in a line.
_SCATTER_COST = 8
# FAISS looks a little further than asked, so that ties are seen in the first attempt.
_EXTRA = 32
_GPU_MAX_K = 2048


class FlatBase:
    """fp32 vectors in memory, compared by BLAS.

    Not FAISS's IndexFlatIP: for 32 queries at 40,000 × 1024 on one core BLAS with a partition takes 36 ms where FAISS
    takes 193 ms, and for a lone one 4.9 ms against 6.0 ms; and FAISS leaves BLAS as soon as there is a filter.
    """

    kind = Kind.FLAT

    def __init__(self, store: VectorStore) -> None:
        self.store = store

    @property
    def memory_bytes(self) -> int:
        """Bytes that are searched."""
        return self.store.nbytes

    @property
    def mapped_bytes(self) -> int:
        """Bytes of the mapped store."""
        return 0

    def search(self, queries: Float32Array, k: int, permitted: Mask | None) -> list[Candidates]:
        """Find the nearest; see `bases.Base`."""
        if permitted is not None and _SCATTER_COST * np.count_nonzero(permitted) <= len(permitted):
            return leaders_among(self.store, np.flatnonzero(permitted), queries, k)
        found = []
        for query, products in zip(queries, self._products(queries), strict=True):
            if permitted is not None:
                products[~permitted] = -np.inf
            found.append(settled(self.store, leaders(products, k), query))
        return found

    def _products(self, queries: Float32Array) -> Iterator[Float32Array]:
        """Yield each query's inner products, shape (tracks,)."""
        vectors = self.store.take_all()
        at_once = max(1, _MAX_PRODUCTS // max(1, len(vectors)))
        for start in range(0, len(queries), at_once):
            block = queries[start : start + at_once]
            # One alone goes another way through BLAS, matrix by vector, which reads each number once.
            yield from [vectors @ block[0]] if len(block) == 1 else block @ vectors.T


class HalfBase:
    """fp16 vectors in memory, compared by FAISS in half the time of fp32; exact for the vectors as they are stored."""

    kind = Kind.FLAT_FP16

    def __init__(self, store: VectorStore) -> None:
        self._faiss = faiss.IndexScalarQuantizer(
            store.dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        self._faiss.train(np.zeros((1, store.dimension), np.float32))
        faiss.copy_array_to_vector(store.rows.view(np.uint8).reshape(-1), self._faiss.codes)
        self._faiss.ntotal = len(store)
        codes = faiss.rev_swig_ptr(self._faiss.codes.data(), len(store) * 2 * store.dimension)
        # FAISS's own memory: the index lives as long as the store, whose base this is.
        self.store = VectorStore(codes.view(np.float16).reshape(len(store), store.dimension))

    @property
    def memory_bytes(self) -> int:
        """Bytes that are searched."""
        return self.store.nbytes

    @property
    def mapped_bytes(self) -> int:
        """Bytes of the mapped store."""
        return 0

    def search(self, queries: Float32Array, k: int, permitted: Mask | None) -> list[Candidates]:
        """Find the nearest; see `bases.Base`."""
        count = len(self.store) if permitted is None else int(np.count_nonzero(permitted))
        if permitted is not None and _SCATTER_COST * count <= len(permitted):
            return leaders_among(self.store, np.flatnonzero(permitted), queries, k)
        with selected(permitted) as selector:
            parameters = faiss.SearchParameters(sel=selector) if selector is not None else None  # type: ignore[call-arg]  # FAISS adds it at import
            return [self._search_one(query[np.newaxis], k, count, parameters) for query in queries]

    def _search_one(self, query: Float32Array, k: int, count: int, parameters: Any) -> Candidates:
        fetch = min(count, k + _EXTRA)
        while True:
            products, labels = self._faiss.search(query, fetch, params=parameters)
            if fetch == count or leaders(products[0], k).size < fetch:
                break
            fetch = min(count, 4 * fetch)  # the last one ties with the k-th: there may be more
        return settled(self.store, labels[0][leaders(products[0], k)], query[0])


class GpuFlatBase(FlatBase):
    """fp32 vectors on the first GPU, and once more in memory for filters, which FAISS does not know on GPUs.

    Args:
        store: The vectors.
        device: A FAISS index by inner product over the same vectors; made on the GPU where there is none.
    """

    kind = Kind.GPU_FLAT

    def __init__(self, store: VectorStore, device: Any = None) -> None:
        super().__init__(store)
        if device is None:
            self._resources = faiss.StandardGpuResources()  # must live as long as the index
            device = faiss.GpuIndexFlatIP(self._resources, store.dimension)
            device.add(store.take_all())
        self._device = device

    def search(self, queries: Float32Array, k: int, permitted: Mask | None) -> list[Candidates]:
        """Find the nearest; see `bases.Base`."""
        fetch = min(len(self.store), k + _EXTRA)
        if permitted is not None or fetch > _GPU_MAX_K:
            return super().search(queries, k, permitted)
        products, labels = self._device.search(queries, fetch)
        found = []
        for query, row, products_of_row in zip(queries, labels, products, strict=True):
            kept = leaders(products_of_row, k)
            if len(kept) == fetch < len(self.store):  # ties beyond what was fetched
                found += super().search(query[np.newaxis], k, None)
            else:
                found.append(settled(self.store, row[kept], query))
        return found
