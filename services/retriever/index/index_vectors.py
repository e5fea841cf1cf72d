"""The vectors of an index by label: those of its base and, behind them, those that came since. Knows no track."""

import numpy as np

from services.chassis.telemetry import tracing
from services.retriever.index.base_file import StoredBase
from services.retriever.index.delta import Delta
from services.retriever.index.kinds import is_half
from services.retriever.index.ranking import NO_CANDIDATES, Candidates, Mask, leaders
from services.retriever.index.vector_store import Labels
from services.retriever.similarity import Float32Array, presented, settled_products


class IndexVectors:
    """Vectors by label: the row of the base or, from there on, of the delta. Not safe for threads.

    Args:
        dimension: Length of a vector.
        stored: The base; None where there is none yet.
    """

    def __init__(self, dimension: int, stored: StoredBase | None = None) -> None:
        self.dimension = dimension
        self.stored = stored
        self.delta = Delta(dimension)
        self.base_count = 0 if stored is None else len(stored.base.store)

    @property
    def kind(self) -> str:
        """Kind of the base; before there is one, "flat": the delta is compared with every query."""
        return "flat" if self.stored is None else str(self.stored.base.kind)

    @property
    def memory_bytes(self) -> int:
        """Memory of the vectors as they are searched."""
        return self.delta.memory_bytes + (0 if self.stored is None else self.stored.base.memory_bytes)

    @property
    def mapped_bytes(self) -> int:
        """Vectors in a file that is mapped into memory."""
        return 0 if self.stored is None else self.stored.base.mapped_bytes

    def rounded(self, vector: Float32Array, kind: str) -> Float32Array:
        """Return a vector, shape (dim,), of unit length, rounded as this base stores it, or one of that kind will."""
        unit: Float32Array = (vector / np.linalg.norm(vector)).astype(np.float32)
        if is_half(kind) or (self.stored is not None and self.stored.base.store.is_half):
            return unit.astype(np.float16).astype(np.float32)
        return unit

    def take(self, labels: Labels) -> Float32Array:
        """Return a copy of vectors by label, shape (len(labels), dim), float32."""
        vectors = np.empty((len(labels), self.dimension), np.float32)
        is_base = labels < self.base_count
        if self.stored is not None:
            vectors[is_base] = self.stored.base.store.take(labels[is_base])
        vectors[~is_base] = self.delta.rows[labels[~is_base] - self.base_count]
        return vectors

    def vector(self, label: int) -> Float32Array:
        """Return a copy of one vector, shape (dim,), float32."""
        found: Float32Array
        if label < self.base_count and self.stored is not None:
            found = self.stored.base.store.take(np.array([label]))[0]
        else:
            found = self.delta.rows[label - self.base_count].copy()
        return found

    def search(self, queries: Float32Array, k: int, permitted: Mask) -> list[tuple[Labels, Float32Array]]:
        """Find the k nearest, and what ties with the last of them or nearly so.

        Args:
            queries: Unit vectors, shape (n, dim), float32.
            k: At least 1.
            permitted: Which labels may be found, shape (labels,).

        Returns:
            Labels and cosines of each query, in no order.
        """
        with tracing.part("faiss", museed__queries=len(queries), museed__k=k, museed__kind=self.kind):
            in_base = self._search_base(queries, k, permitted[: self.base_count])
            in_delta = self._search_delta(queries, k, permitted[self.base_count :])
        return [self._best(base, delta, k) for base, delta in zip(in_base, in_delta, strict=True)]

    def _best(self, base: Candidates, delta: Candidates, k: int) -> tuple[Labels, Float32Array]:
        labels = np.concatenate([base.labels, delta.labels + self.base_count])
        products = np.concatenate([base.products, delta.products])
        best = leaders(products, k)
        return labels[best], presented(products[best])

    def _search_base(self, queries: Float32Array, k: int, permitted: Mask) -> list[Candidates]:
        if self.stored is None or not permitted.any():
            return [NO_CANDIDATES] * len(queries)
        return self.stored.base.search(queries, k, None if permitted.all() else permitted)

    def _search_delta(self, queries: Float32Array, k: int, permitted: Mask) -> list[Candidates]:
        if not permitted.any():
            return [NO_CANDIDATES] * len(queries)
        # A lone query goes the way of matrix by vector, which reads each number once.
        rows = self.delta.rows
        products = (rows @ queries[0])[np.newaxis] if len(queries) == 1 else queries @ rows.T  # (n, delta)
        if not permitted.all():
            products[:, ~permitted] = -np.inf
        found = zip(queries, (leaders(each, k) for each in products), strict=True)
        return [Candidates(best, settled_products(rows[best], query)) for query, best in found]
