"""Builds a base of a kind over stored vectors, writes its FAISS index out and reads it back."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import faiss
import numpy as np

from services.retriever.index.approximate import NARROW, Codes, CodesBase, HnswCodes, ScannedCodes
from services.retriever.index.byte_codes import QUANTIZER, ByteScale
from services.retriever.index.calibration import calibrate
from services.retriever.index.exact import FlatBase, GpuFlatBase, HalfBase
from services.retriever.index.ivf import IvfCodes
from services.retriever.index.kinds import AUTO, Kind
from services.retriever.index.ranking import Candidates, Mask
from services.retriever.index.vector_store import VectorStore
from services.retriever.similarity import Float32Array

_HNSW_NEIGHBOURS = 32
_HNSW_EFFORT = 64.0
_BYTE_KINDS = frozenset({Kind.SQ8, Kind.IVF_SQ8})
# FAISS wants so many vectors for each centroid.
_TRAINED_ON = 39
# Rows between two looks at whether the work is still wanted: HNSW takes 2 s for them on a slow core.
_ADDED_AT_ONCE = 1024


class BuildStoppedError(Exception):
    """Nobody wants the base any more."""


@dataclass(frozen=True, slots=True)
class IndexChoice:
    """What was asked for.

    Attributes:
        kind: A kind, or "auto".
        recall: Wanted recall@100 of approximate kinds, in (0, 1].
        merge_after: Tracks added, changed or removed since the base was built, after which the next one is.
        narrow: Approximate kinds compare so few tracks exactly.
    """

    kind: str = AUTO
    recall: float = 0.99
    merge_after: int = 2000
    narrow: int = NARROW


class Base(Protocol):
    """Vectors that never change, ready to be searched.

    Attributes:
        kind: How.
        store: The vectors by label.
    """

    kind: Kind
    store: VectorStore

    @property
    def memory_bytes(self) -> int:
        """Bytes that are searched and lie in memory of this process's own."""
        ...

    @property
    def mapped_bytes(self) -> int:
        """Bytes of vectors in a file that is mapped."""
        ...

    def search(self, queries: Float32Array, k: int, permitted: Mask | None) -> list[Candidates]:
        """Find candidates among which the k nearest are; of approximate kinds, nearly all of them.

        Args:
            queries: Unit vectors, shape (n, dim), float32.
            k: At least 1.
            permitted: Which labels may be found, shape (tracks,); None for all.

        Returns:
            Of each query; the products are those of the stored vectors.
        """
        ...


def build(kind: Kind, store: VectorStore, choice: IndexChoice, is_stopped: Callable[[], bool]) -> Base:
    """Build a base; blocks, for a minute and more where a graph is made of 88,000 tracks.

    Args:
        kind: How it is searched.
        store: The vectors, fp16 for the kinds that want it.
        choice: How well.
        is_stopped: Asked now and then whether to go on.

    Raises:
        BuildStoppedError: `is_stopped` said so.
    """
    if (exact := _exact(kind, store)) is not None:
        return exact
    sample = _sample(store, kind)
    scale = ByteScale.of(sample) if kind in _BYTE_KINDS else None
    index = _trained(kind, sample, len(store), scale)
    for block in store.blocks():
        for start in range(0, len(block), _ADDED_AT_ONCE):
            if is_stopped():
                raise BuildStoppedError
            _add(index, np.ascontiguousarray(block[start : start + _ADDED_AT_ONCE]), scale)
    base = CodesBase(kind, _codes(kind, index, scale), store, choice.narrow)
    if len(store) > choice.narrow:
        calibrate(base, choice.recall)
    return base


def write_codes(base: Base, write: Callable[[bytes], int]) -> float:
    """Write the scale and the FAISS index of a base, nothing where the stored vectors say all; return its effort."""
    if not isinstance(base, CodesBase):
        return 0.0
    if base.codes.scale is not None:
        write(base.codes.scale.to_bytes())
    faiss.write_index(base.codes.index, faiss.PyCallbackIOWriter(write, 1 << 20))  # type: ignore[attr-defined]  # its hints miss it
    return base.codes.effort


def read_base(kind: Kind, store: VectorStore, effort: float, read: Callable[[int], bytes], choice: IndexChoice) -> Base:
    """Make a base of what `write_codes` wrote; nothing is trained, added or measured."""
    if (exact := _exact(kind, store)) is not None:
        return exact
    scale = ByteScale.from_bytes(read(ByteScale.size(store.dimension))) if kind in _BYTE_KINDS else None
    index = faiss.read_index(faiss.PyCallbackIOReader(read, 1 << 20))  # type: ignore[attr-defined]  # its hints miss it
    return CodesBase(kind, _codes(kind, index, scale, effort), store, choice.narrow)


def _exact(kind: Kind, store: VectorStore) -> Base | None:
    match kind:
        case Kind.FLAT:
            return FlatBase(store)
        case Kind.FLAT_FP16:
            return HalfBase(store)
        case Kind.GPU_FLAT:
            return GpuFlatBase(store)
        case _:
            return None


def _trained(kind: Kind, sample: Float32Array, count: int, scale: ByteScale | None) -> Any:
    """Return an empty FAISS index for so many vectors like those of the sample."""
    metric, dimension = faiss.METRIC_INNER_PRODUCT, sample.shape[1]
    if scale is None:
        bits = faiss.ScalarQuantizer.QT_8bit
        graph: Any = faiss.IndexHNSWSQ(dimension, bits, _HNSW_NEIGHBOURS, metric)  # type: ignore[arg-type]  # an int
        graph.train(sample)
        return graph
    if kind is Kind.SQ8:
        return faiss.IndexScalarQuantizer(scale.code_size, QUANTIZER, metric)
    # Lists are chosen by the vectors themselves, and not by residual: all codes then compare on one scale.
    quantizer = faiss.IndexFlatIP(scale.code_size)
    index = faiss.IndexIVFScalarQuantizer(quantizer, scale.code_size, _list_count(count), QUANTIZER, metric, False)
    index.cp.spherical = True
    index.train(scale.filled(sample))
    return index


def _add(index: Any, vectors: Float32Array, scale: ByteScale | None) -> None:
    if scale is None:
        index.add(vectors)
    elif isinstance(index, faiss.IndexIVF):
        codes = scale.encode(vectors)
        lists = index.quantizer.search(scale.filled(vectors), 1)[1]
        index.add_core(len(codes), faiss.swig_ptr(codes), None, faiss.swig_ptr(lists))
    else:
        index.add(scale.encode(vectors))


def _list_count(count: int) -> int:
    # 512 lists at 88,000: about twice the root.
    lists: int = 2 ** round(math.log2(2 * math.sqrt(count)))
    return max(1, min(lists, count // _TRAINED_ON))


def _sample(store: VectorStore, kind: Kind) -> Float32Array:
    """Return vectors to train on: the scale and the centroids, shape (n, dim)."""
    lists = _list_count(len(store)) if kind is Kind.IVF_SQ8 else 0
    count = min(len(store), max(40_000, _TRAINED_ON * lists))
    chosen = np.random.default_rng(0).choice(len(store), count, replace=False) if count < len(store) else None
    return store.take_all() if chosen is None else store.take(np.sort(chosen))


def _codes(kind: Kind, index: Any, scale: ByteScale | None, effort: float = 0.0) -> Codes:
    if scale is None:
        return HnswCodes(index, effort or _HNSW_EFFORT)
    return IvfCodes(index, scale, effort) if kind is Kind.IVF_SQ8 else ScannedCodes(index, scale)
