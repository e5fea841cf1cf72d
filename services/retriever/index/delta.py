"""Holds the vectors that came after the base was built, and compares them all; knows no track."""

import numpy as np

from services.retriever.similarity import Float32Array

_FIRST_CAPACITY = 256


class Delta:
    """Vectors in the order in which they came. Rows are only added, so that others may read what is there already.

    Args:
        dimension: Length of a vector.
    """

    def __init__(self, dimension: int) -> None:
        self._memory = np.empty((_FIRST_CAPACITY, dimension), np.float32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def memory_bytes(self) -> int:
        """Bytes of the rows, those kept ready for more included."""
        return self._memory.nbytes

    @property
    def rows(self) -> Float32Array:
        """All rows, shape (len, dim), float32. They stay as they are, whatever is added later."""
        view = self._memory[: self._count]
        view.flags.writeable = False
        return view

    def add(self, vectors: Float32Array) -> None:
        """Add rows, shape (n, dim)."""
        needed = self._count + len(vectors)
        if needed > len(self._memory):
            # The old memory stays with whoever reads it.
            grown = np.empty((max(needed, 2 * len(self._memory)), self._memory.shape[1]), np.float32)
            grown[: self._count] = self.rows
            self._memory = grown
        self._memory[self._count : needed] = vectors
        self._count = needed
