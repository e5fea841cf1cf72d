"""What is known of the tracks of an index by label: those of its base, those that came since, and which are gone."""

import heapq
from collections.abc import Collection

import numpy as np

from services.retriever.filters import TrackFilter
from services.retriever.index.columns import GrowingColumns
from services.retriever.index.ranking import Mask
from services.retriever.index.text_table import digest
from services.retriever.index.track_table import TrackTable
from services.retriever.index.vector_store import Labels
from services.retriever.tracks import Track

_FIRST_CAPACITY = 256


class KnownTracks:
    """Tracks by label: the row of the base's table or, from there on, of those that came since.

    Only the latter have objects in memory: there are few of them. Not safe for threads.

    Args:
        table: Tracks of the base; None where there is none.
        alive: Which of them are there, shape (len(table),).
    """

    def __init__(self, table: TrackTable | None = None, alive: Mask | None = None) -> None:
        self._table = table if table is not None else TrackTable.of([])
        self.base_count = len(self._table)
        kept = alive if alive is not None else np.ones(self.base_count, np.bool_)
        self._alive = np.concatenate([kept, np.zeros(_FIRST_CAPACITY, np.bool_)])
        self.gone_of_base = self.base_count - int(np.count_nonzero(kept))
        self._added: list[Track] = []
        self._columns = GrowingColumns()
        # Of what came since and is there.
        self._labels: dict[str, int] = {}

    def __len__(self) -> int:
        """Return how many tracks are there."""
        return self.base_count - self.gone_of_base + len(self._labels)

    def __getitem__(self, label: int) -> Track:
        return self._table[label] if label < self.base_count else self._added[label - self.base_count]

    @property
    def alive(self) -> Mask:
        """Which labels have a track, shape (labels,); must not be written to."""
        return self._alive[: self.base_count + len(self._added)]

    @property
    def added(self) -> list[Track]:
        """A copy of all that came since, what is gone of it included."""
        return self._added.copy()

    @property
    def added_count(self) -> int:
        """Tracks that came since and are there."""
        return len(self._labels)

    def id_of(self, label: int) -> str:
        """Return the id of a track."""
        return self._table.ids[label] if label < self.base_count else self._added[label - self.base_count].track_id

    def ids_of(self, labels: Labels) -> list[str]:
        """Return the ids of tracks."""
        is_added = labels >= self.base_count
        ids = self._table.ids.lines.texts(np.where(is_added, 0, labels)) if self.base_count else [""] * len(labels)
        for place in np.flatnonzero(is_added).tolist():
            ids[place] = self._added[labels[place] - self.base_count].track_id
        return ids

    def label_of(self, track_id: str) -> int | None:
        """Return the label of a track, None where it is not there."""
        label = self._labels.get(track_id)
        if label is None:
            label = self._table.ids.find(track_id)
        return label if label is not None and self._alive[label] else None

    def labels_of(self, track_ids: Collection[str]) -> list[int]:
        """Return the labels of those that are there."""
        of_base = self._table.ids.find_all(track_ids)
        found: list[int] = of_base[self._alive[of_base]].tolist()
        return found + [label for track_id in track_ids if (label := self._labels.get(track_id)) is not None]

    def append(self, track: Track) -> None:
        """Give a track the next label; where it had another one, that is to be crossed out."""
        label = self.base_count + len(self._added)
        if label == len(self._alive):
            self._alive = np.concatenate([self._alive, np.zeros(len(self._alive), np.bool_)])
        self._added.append(track)
        self._columns.append(track)
        self._alive[label] = True
        self._labels[track.track_id] = label

    def cross_out(self, label: int) -> None:
        """Take away what is at a label."""
        self._alive[label] = False
        if label < self.base_count:
            self.gone_of_base += 1
        elif self._labels.get(track_id := self.id_of(label)) == label:  # a changed track has its new label already
            del self._labels[track_id]

    def where(self, wanted: TrackFilter) -> Mask:
        """Return which labels have a track that is wanted, shape (labels,)."""
        mask = np.concatenate([self._table.mask(wanted), self._columns.mask(wanted)])
        mask &= self.alive
        if wanted.track_ids:
            kept = np.zeros_like(mask)
            kept[self.labels_of(wanted.track_ids)] = True
            mask &= kept
        mask[self.labels_of(wanted.blocked_track_ids)] = False
        return mask

    def smallest(self, count: int) -> list[tuple[int, str]]:
        """Return the digests and ids of the tracks with the smallest digests, smallest first."""
        of_base = self._table.ids.smallest(self._alive[: self.base_count], count)
        return heapq.nsmallest(count, [*of_base, *((digest(track_id), track_id) for track_id in self._labels)])
