"""Makes the next base of an index from the one before and what changed since; beside the index, not in its way."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np

from services.retriever.index.base_file import Ingredients, StoredBase, make_base, write_base
from services.retriever.index.bases import IndexChoice
from services.retriever.index.ranking import Mask
from services.retriever.index.track_table import NextTable
from services.retriever.index.vector_store import BLOCK_ROWS, Labels
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track


@dataclass(frozen=True, slots=True)
class Frozen:
    """An index as it was at one moment. Vectors are shared with it: the base never changes, and a delta only grows.

    Attributes:
        encoder_id: Encoder of the vectors.
        stored: The base; None where there is none yet.
        delta: Vectors that came since, shape (n, dim), float32.
        alive: Which labels had a track, shape (base and delta,).
        added: Tracks of the delta, by row.
        epoch: Rises whenever the index is emptied.
    """

    encoder_id: str
    stored: StoredBase | None
    delta: Float32Array
    alive: Mask
    added: Sequence[Track]
    epoch: int

    @property
    def base_count(self) -> int:
        """Labels of the base."""
        return len(self.alive) - len(self.delta)

    def next_table(self) -> NextTable:
        """Return what is to be known of all tracks by their next labels."""
        came = list(compress(self.added, self.alive[self.base_count :].tolist()))
        if self.stored is None:
            return NextTable.of(came)
        return NextTable(self.stored.tracks, self.alive[: self.base_count], came)

    def blocks(self) -> Iterator[Float32Array]:
        """Yield the vectors of all tracks by label, each shape (some, dim)."""
        if self.stored is not None:
            yield from self.stored.base.store.blocks(self.alive[: self.base_count])
        alive = self.alive[self.base_count :]
        for start in range(0, len(self.delta), BLOCK_ROWS):
            yield self.delta[start : start + BLOCK_ROWS][alive[start : start + BLOCK_ROWS]]


@dataclass(frozen=True, slots=True)
class Merged:
    """A base that was made of a frozen index.

    Attributes:
        stored: The base.
        origins: What the labels of its tracks were before, shape (tracks,).
        frozen: What it was made of.
    """

    stored: StoredBase
    origins: Labels
    frozen: Frozen


def merge(frozen: Frozen, choice: IndexChoice, path: Path | None, is_stopped: Callable[[], bool]) -> Merged:
    """Make the next base; blocks, and may take minutes.

    Args:
        frozen: At least one track.
        choice: Of which kind.
        path: Where to write it; None keeps it in memory.
        is_stopped: Asked now and then whether to go on.

    Raises:
        BuildStoppedError: `is_stopped` said so.
        OSError: It could not be written.
    """
    of = Ingredients(frozen.encoder_id, frozen.delta.shape[1], frozen.next_table(), frozen.blocks())
    stored = make_base(of, choice, is_stopped) if path is None else write_base(path, of, choice, is_stopped)
    return Merged(stored, np.flatnonzero(frozen.alive), frozen)
