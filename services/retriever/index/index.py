"""The index of one encoder: which tracks are nearest to a vector. Knows no log, no files and no rules of playlists."""

from collections.abc import Sequence

import numpy as np

from services.retriever.errors import DimensionMismatch
from services.retriever.filters import TrackFilter, filter_of
from services.retriever.index.base_file import StoredBase
from services.retriever.index.bases import IndexChoice
from services.retriever.index.hubs import HubMeans
from services.retriever.index.index_vectors import IndexVectors
from services.retriever.index.known_tracks import KnownTracks
from services.retriever.index.merging import Frozen, Merged
from services.retriever.index.ranked import NOTHING, Ranked, ranked
from services.retriever.index.ranking import Mask
from services.retriever.index.vector_store import Labels
from services.retriever.library import Nearest, NearestIds, Wanted
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

# Tracks that are fetched beyond what is asked for, because they will be thrown away: as many again as a page has.
_MAX_OVER_FETCH = 50


class TrackIndex:
    """Vectors of one encoder: a base that never changes, a small delta of what came since, and what is gone of both.

    A track has a dense number, its label, which means its row in the base or, from there on, in the delta. A change
    gives it a new row of the delta and a removal only crosses its label out, so both take as long in a large library
    as in a small one, and what was added is found by the next search. When enough has changed the next base is made
    of all (`freeze`, `merging.merge` on another thread, `adopt`), and labels are given anew.

    Several threads may search and read at a time, but only one may ask about hubs (`sample`, `neighbour_means`); a
    change must meet nothing else.

    Args:
        encoder_id: The only encoder whose vectors belong here.
        choice: Which kind of base to make.
    """

    def __init__(self, encoder_id: str, choice: IndexChoice | None = None) -> None:
        self.encoder_id = encoder_id
        self.choice = choice if choice is not None else IndexChoice()
        self._epoch = 0
        self._hubs = HubMeans()
        self._forget()

    def _forget(self) -> None:
        # None while the index is empty and takes vectors of any length.
        self._vectors: IndexVectors | None = None
        self._tracks = KnownTracks()
        self._hubs.reset()

    def __len__(self) -> int:
        return len(self._tracks)

    @property
    def kind(self) -> str:
        """Kind of the base; before there is one, "flat": the delta is compared with every query."""
        return "flat" if self._vectors is None else self._vectors.kind

    @property
    def dimension(self) -> int:
        """Length of a vector, fixed by the first one; 0 while the index is empty."""
        return 0 if self._vectors is None else self._vectors.dimension

    @property
    def memory_bytes(self) -> int:
        """Memory of the vectors as they are searched; the rest of a track is not counted."""
        return 0 if self._vectors is None else self._vectors.memory_bytes

    @property
    def mapped_bytes(self) -> int:
        """Vectors in a file that is mapped into memory."""
        return 0 if self._vectors is None else self._vectors.mapped_bytes

    @property
    def delta_count(self) -> int:
        """Tracks that were added or changed since the base was built."""
        return self._tracks.added_count

    @property
    def tombstone_count(self) -> int:
        """Tracks of the base that are gone or were changed."""
        return self._tracks.gone_of_base

    @property
    def is_merge_due(self) -> bool:
        """Whether the next base ought to be made."""
        if self._vectors is None:
            return False
        changed = len(self._vectors.delta) + self.tombstone_count
        is_outdated = self._vectors.stored is not None and self._vectors.stored.is_outdated
        return is_outdated or changed >= self.choice.merge_after

    @property
    def tracks(self) -> Sequence[Track]:
        """All tracks, in the order of `vectors`; walks the library."""
        return [self._tracks[label] for label in self._live_labels().tolist()]

    @property
    def vectors(self) -> Float32Array:
        """A copy of all vectors, shape (tracks, dim), float32; walks the library."""
        return self.take(self._live_labels())

    def track(self, track_id: str) -> Track | None:
        """Return a track, None where it is not indexed."""
        label = self._tracks.label_of(track_id)
        return None if label is None else self._tracks[label]

    def vector(self, track_id: str) -> Float32Array:
        """Return a copy of a track's vector as it is stored, shape (dim,).

        Raises:
            KeyError: The track is not indexed.
        """
        label = self._tracks.label_of(track_id)
        if label is None or self._vectors is None:
            raise KeyError(track_id)
        return self._vectors.vector(label)

    def vectors_of(self, track_ids: Sequence[str]) -> dict[str, Float32Array]:
        """Return copies of the vectors of those tracks that are indexed; see `SearchLibrary.vectors_of`."""
        found = {track_id: self._tracks.label_of(track_id) for track_id in track_ids}
        labels = {track_id: label for track_id, label in found.items() if label is not None}
        return dict(zip(labels, self.take(np.array(list(labels.values()), np.int64)), strict=True))

    def take(self, labels: Labels) -> Float32Array:
        """Return a copy of vectors by label, shape (len(labels), dim), float32."""
        return np.empty((0, 0), np.float32) if self._vectors is None else self._vectors.take(labels)

    def upsert(self, track: Track, vector: Float32Array) -> bool:
        """Add a track or replace what is known of it; safe to repeat.

        Args:
            track: Of any version.
            vector: Shape (dim,), float32, nearly unit: it is normalised, so that inner products are cosines, and
                rounded to fp16 where the base stores fp16.

        Returns:
            False if a higher version is indexed already, and nothing was changed.

        Raises:
            InvalidArgument: DIMENSION_MISMATCH: The other tracks have vectors of another length.
        """
        if self.dimension not in (0, len(vector)):
            raise DimensionMismatch(track.track_id, len(vector), self.dimension)
        old = self._tracks.label_of(track.track_id)
        if old is not None and track.version < self._tracks[old].version:
            return False
        if self._vectors is None:
            self._vectors = IndexVectors(len(vector))
        unit = self._vectors.rounded(vector, self.choice.kind)
        if old is None or not np.array_equal(self._vectors.vector(old), unit):  # not so when its genre was edited
            self._hubs.changed(track.track_id, is_there=True)
        self._vectors.delta.add(unit[np.newaxis])
        self._tracks.append(track)
        if old is not None:
            self._tracks.cross_out(old)
        return True

    def remove(self, track_id: str) -> bool:
        """Forget a track; safe to repeat.

        Returns:
            Whether it was there.
        """
        label = self._tracks.label_of(track_id)
        if label is None:
            return False
        if len(self) == 1:
            self.clear()
            return True
        self._hubs.changed(track_id, is_there=False)
        self._tracks.cross_out(label)
        return True

    def clear(self) -> None:
        """Forget everything, the dimension included."""
        self._epoch += 1
        self._forget()

    def search(self, queries: Float32Array, k: int, allowed: Mask | None = None) -> list[Ranked]:
        """Find the k nearest tracks of each query.

        Args:
            queries: Unit vectors, shape (n, dim), float32.
            k: At least 1.
            allowed: By label, as `labels_where` gives it; None for all. Exact kinds miss none that is allowed, and no
                kind finds one that is not.

        Returns:
            Of each query at most k, fewer only where there are fewer.
        """
        if self._vectors is None:
            return [NOTHING] * len(queries)
        permitted = self._tracks.alive if allowed is None else self._tracks.alive & allowed
        return [ranked(*found, k, self._tracks.id_of) for found in self._vectors.search(queries, k, permitted)]

    def nearest(self, query: Float32Array, count: int, wanted: Wanted | None = None) -> Nearest:
        """Find tracks near to a query; see `Library.nearest`."""
        return self.described(self._nearest(query, count, wanted), len(query))

    def nearest_ids(self, query: Float32Array, count: int, wanted: Wanted | None = None) -> NearestIds:
        """Find tracks near to a query; see `SearchLibrary.nearest_ids`."""
        return self.named(self._nearest(query, count, wanted))

    def _nearest(self, query: Float32Array, count: int, wanted: Wanted | None) -> Ranked:
        if (blocked := self.blocked_alone(wanted)) is not None:
            return self.search(query[np.newaxis], count + len(blocked))[0].without(blocked, count)
        assert wanted is not None  # that asks for nothing
        return self.search(query[np.newaxis], count, self.labels_where(wanted))[0]

    def blocked_alone(self, wanted: Wanted | None) -> frozenset[int] | None:
        """Return the labels that are not wanted where these are few and nothing else is asked; else None.

        So many more are fetched then and thrown away, which is cheaper than a filter and goes together with others.
        """
        if wanted is None:
            return frozenset()
        chosen = filter_of(wanted)
        if chosen is None or len(chosen.blocked_track_ids) > _MAX_OVER_FETCH:
            return None
        if chosen != TrackFilter(blocked_track_ids=chosen.blocked_track_ids):
            return None
        return frozenset(self._tracks.labels_of(chosen.blocked_track_ids))

    def named(self, found: Ranked) -> NearestIds:
        """Return the ids of what was found."""
        return NearestIds(self._tracks.ids_of(found.labels), found.similarities.tolist())

    def described(self, found: Ranked, dimension: int) -> Nearest:
        """Return the tracks and vectors of what was found."""
        vectors = self.take(found.labels) if len(found.labels) else np.zeros((0, dimension), np.float32)
        return Nearest([self._tracks[label] for label in found.labels.tolist()], vectors, found.similarities)

    def labels_where(self, wanted: Wanted) -> Mask:
        """Return which labels have a track that is wanted, shape (labels of base and delta,).

        A `TrackFilter` is answered from columns; any other function is called for each track.
        """
        chosen = filter_of(wanted)
        if chosen is not None:
            return self._tracks.where(chosen)
        mask = self._tracks.alive.copy()
        for label in self._live_labels().tolist():
            mask[label] = wanted(self._tracks[label])
        return mask

    def sample(self, count: int) -> Float32Array:
        """Return vectors of tracks that are drawn by chance; see `Library.sample`."""
        return self._hubs.sample(count, self._tracks.smallest, self._vectors_of)

    def neighbour_means(self, track_ids: Sequence[str]) -> Float32Array:
        """Return how near tracks are to their neighbours; see `Library.neighbour_means`."""
        return self._hubs.of(track_ids, self._tracks.smallest, self._vectors_of)

    def freeze(self) -> Frozen:
        """Return the index as it is now, for a merge or a snapshot on another thread; copies no vectors."""
        stored, delta = None, np.empty((0, 0), np.float32)
        if self._vectors is not None:
            stored, delta = self._vectors.stored, self._vectors.delta.rows
        return Frozen(self.encoder_id, stored, delta, self._tracks.alive.copy(), self._tracks.added, self._epoch)

    def adopt(self, merged: Merged) -> bool:
        """Go on from the next base, with all that changed while it was made.

        Returns:
            False if the index was emptied meanwhile, and nothing was changed.
        """
        frozen = merged.frozen
        if frozen.epoch != self._epoch or self._vectors is None:
            return False
        tracks = KnownTracks(merged.stored.tracks, self._tracks.alive[merged.origins])
        since = len(frozen.alive)
        came = np.flatnonzero(self._tracks.alive[since:]) + since
        vectors = IndexVectors(self.dimension, merged.stored)
        vectors.delta.add(self.take(came))
        for label in came.tolist():
            tracks.append(self._tracks[label])
        self._vectors, self._tracks = vectors, tracks
        return True

    def restore(self, stored: StoredBase | None, alive: Mask, tracks: Sequence[Track], vectors: Float32Array) -> None:
        """Replace everything by what a snapshot holds; reads no track of the base.

        Args:
            stored: The base.
            alive: Which tracks of the base are there, shape (tracks of the base,).
            tracks: Those of the delta, none of which is in the base.
            vectors: Theirs, unit, shape (len(tracks), dim), float32.
        """
        self.clear()
        if not alive.any() and not len(tracks):
            return
        if stored is None:
            self._vectors = IndexVectors(vectors.shape[1])
        else:
            self._vectors = IndexVectors(stored.base.store.dimension, stored)
            self._tracks = KnownTracks(stored.tracks, alive)
        self._vectors.delta.add(vectors)
        for track in tracks:
            self._tracks.append(track)

    def _vectors_of(self, track_ids: Sequence[str]) -> Float32Array:
        labels = [self._tracks.label_of(track_id) for track_id in track_ids]
        if None in labels:
            raise KeyError(track_ids[labels.index(None)])
        return self.take(np.array(labels, np.int64))

    def _live_labels(self) -> Labels:
        return np.flatnonzero(self._tracks.alive)
