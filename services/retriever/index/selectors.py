"""Turns a mask of labels into what FAISS understands."""

import contextlib
from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np

from services.retriever.index.ranking import Mask


@contextlib.contextmanager
def selected(permitted: Mask | None) -> Iterator[Any]:
    """Give a FAISS selector of the permitted labels, shape (tracks,), None for all; usable only inside the block."""
    if permitted is None:
        yield None
        return
    # FAISS keeps a pointer to the bits, so they must live until the search is over.
    bits = np.packbits(permitted, bitorder="little")
    yield faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]  # FAISS adds it at import
    del bits
