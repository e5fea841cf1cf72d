"""Makes the base of an index, keeps it in a file, and opens it again; knows no log and no changes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from services.retriever.index import bases
from services.retriever.index.bases import Base, IndexChoice
from services.retriever.index.kinds import AUTO, EXACT_KINDS, HALF_KINDS, Kind, choose
from services.retriever.index.section_file import (
    CorruptFileError,
    SectionFile,
    SectionStream,
    SectionWriter,
    sync_folder,
)
from services.retriever.index.track_table import SECTIONS, NextTable, TrackTable
from services.retriever.index.vector_store import Rows, VectorStore
from services.retriever.similarity import Float32Array

_FORMAT = 3
_TEMPORARY = ".writing"


class BaseName(NamedTuple):
    """Names a file in the folder of an encoder, and the digest that its header must have."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class StoredBase:
    """A base with the tracks that it was made of, by label.

    Attributes:
        base: The vectors.
        tracks: Whom they belong to.
        file: Where it lies; None where it is in memory only.
        is_outdated: Whether another kind is wanted by now, or a higher recall.
    """

    base: Base
    tracks: TrackTable
    file: BaseName | None = None
    is_outdated: bool = False


class LessPreciseError(Exception):
    """The vectors of a file are fp16, and fp32 is wanted."""


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What a base is made of.

    Attributes:
        encoder_id: Encoder of the vectors.
        dimension: Length of a vector.
        tracks: By label.
        blocks: Their unit vectors, each shape (some, dim), float32; can be walked once.
    """

    encoder_id: str
    dimension: int
    tracks: NextTable
    blocks: Iterator[Float32Array]


def make_base(of: Ingredients, choice: IndexChoice, is_stopped: Callable[[], bool]) -> StoredBase:
    """Make a base in memory; blocks, and may take minutes.

    Raises:
        BuildStoppedError: `is_stopped` said so.
    """
    kind = choose(choice.kind, len(of.tracks), choice.recall)
    store = VectorStore(_gathered(of, kind))
    return StoredBase(bases.build(kind, store, choice, is_stopped), of.tracks.in_memory())


def write_base(path: Path, of: Ingredients, choice: IndexChoice, is_stopped: Callable[[], bool]) -> StoredBase:
    """Make a base and write it, so that the file is there whole or not at all; blocks, and may take minutes.

    The vectors go to the file first, and the approximate kinds are built from there: they are never in memory.

    Args:
        path: Where; nothing may be there.
        of: What it is made of.
        choice: How.
        is_stopped: Asked now and then whether to go on.

    Raises:
        BuildStoppedError: `is_stopped` said so.
        OSError: The disk is full, or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = choose(choice.kind, len(of.tracks), choice.recall)
    temporary = path.with_name(path.name + _TEMPORARY)
    try:
        with SectionWriter(temporary) as file:
            if kind in EXACT_KINDS:
                rows = _gathered(of, kind)
                file.write("vectors", [_bytes(rows)])
                store = VectorStore(rows)
            else:
                file.write("vectors", (_bytes(block.astype(np.float16)) for block in of.blocks))
                rows = np.frombuffer(file.mapped("vectors"), np.float16).reshape(len(of.tracks), of.dimension)
                store = VectorStore(rows, is_mapped=True)
            base = bases.build(kind, store, choice, is_stopped)
            with SectionStream(file, "codes") as stream:
                effort = bases.write_codes(base, stream.write)
            if kind not in EXACT_KINDS:
                # FAISS's lists grew by doubling, and keep the room; those that are read have none left over.
                base = bases.read_base(kind, store, effort, _Reader(file.mapped("codes")).read, choice)
            for name, parts in of.tracks.sections():
                file.write(name, parts)
            tracks = TrackTable({name: file.mapped(name) for name in SECTIONS})
            facts = {"format": _FORMAT, "encoder_id": of.encoder_id, "kind": kind, "effort": effort}
            sizes = {"recall": choice.recall, "dimension": of.dimension, "count": len(of.tracks)}
            digest = file.finish({**facts, **sizes})
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return StoredBase(base, tracks, BaseName(path.name, digest))


def read_base(path: Path, digest: str, choice: IndexChoice) -> StoredBase:
    """Open and check a base; nothing is built, and no track is read. Blocks.

    A base of another kind than the one that is wanted serves exactly until the next one is built.

    Raises:
        CorruptFileError: The file is not what was once written, another one, or of an older format.
        LessPreciseError: It can never become what is wanted.
        OSError: The file cannot be read.
    """
    file = SectionFile(path)
    if file.digest != digest:
        raise CorruptFileError("it is another file of that name")
    facts = file.facts
    if facts["format"] != _FORMAT:
        raise CorruptFileError(f"its format is {facts['format']}, {_FORMAT} is wanted")
    kind, count, dimension = Kind(facts["kind"]), facts["count"], facts["dimension"]
    if kind in HALF_KINDS and choice.kind in EXACT_KINDS - HALF_KINDS:
        raise LessPreciseError
    is_other = choice.kind not in (AUTO, kind)
    if is_other:
        kind = Kind.FLAT_FP16 if kind in HALF_KINDS else Kind.FLAT
    if kind in EXACT_KINDS:
        rows = _empty(count, dimension, kind)
        file.read_into("vectors", _bytes(rows))
    else:
        rows = np.frombuffer(file.section("vectors"), np.float16).reshape(count, dimension)
    store = VectorStore(rows, is_mapped=kind not in EXACT_KINDS)
    base = bases.read_base(kind, store, facts["effort"], _Reader(file.section("codes")).read, choice)
    tracks = TrackTable({name: file.section(name) for name in SECTIONS})
    is_too_low = kind not in EXACT_KINDS and facts["recall"] < choice.recall
    return StoredBase(base, tracks, BaseName(path.name, digest), is_other or is_too_low)


class _Reader:
    """Hands out bytes from the front."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def read(self, count: int) -> bytes:
        part = bytes(self._data[self._at : self._at + count])
        self._at += len(part)
        return part


def _gathered(of: Ingredients, kind: Kind) -> Rows:
    """Return all vectors in one array, as precise as the kind stores them."""
    rows = _empty(len(of.tracks), of.dimension, kind)
    at = 0
    for block in of.blocks:
        rows[at : at + len(block)] = block
        at += len(block)
    return rows


def _empty(count: int, dimension: int, kind: Kind) -> Rows:
    if kind in HALF_KINDS:
        return np.empty((count, dimension), np.float16)
    return np.empty((count, dimension), np.float32)


def _bytes(rows: Rows) -> memoryview:
    return np.ascontiguousarray(rows).view(np.uint8).reshape(-1).data
