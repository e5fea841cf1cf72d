"""The exact index: which tracks are nearest to a vector. Knows no log, no snapshots and no rules of playlists."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import faiss
import numpy as np

from services.chassis.errors import InvalidArgument
from services.retriever.similarity import Float32Array, presented
from services.retriever.tracks import Track


@dataclass(frozen=True, slots=True)
class Hit:
    """A track that was found and its cosine to the query, in [-1, 1]."""

    track: Track
    similarity: float


class TrackIndex:
    """Vectors of one encoder in a FAISS IndexFlatIP, with a description of every track beside them.

    Not safe for threads: whoever owns it lets one thread at a time in.

    FAISS labels are private: a label is a slot, slots are dense, and a removed track's slot is taken over by the last
    track. At 88,423 × 1024 that costs 0.12 ms for a removal and an addition, where IndexIDMap2 moves all the bytes
    behind the removed one and takes 2.3 ms; and nothing is left to compact.

    Args:
        encoder_id: The only encoder whose vectors belong here.
    """

    kind = "flat"

    def __init__(self, encoder_id: str) -> None:
        self.encoder_id = encoder_id
        self._tracks: list[Track] = []
        self._slots: dict[str, int] = {}
        self._faiss: faiss.IndexFlatIP | None = None

    def __len__(self) -> int:
        return len(self._tracks)

    @property
    def dimension(self) -> int:
        """Length of a vector, fixed by the first one; 0 while the index is empty."""
        return 0 if self._faiss is None else int(self._faiss.d)

    @property
    def tracks(self) -> Sequence[Track]:
        """The tracks by slot."""
        return self._tracks

    @property
    def vectors(self) -> Float32Array:
        """The vectors by slot, shape (tracks, dim), float32, unit norm: FAISS's own memory, valid until a change."""
        view = self._memory()
        view.flags.writeable = False
        return view

    def track(self, track_id: str) -> Track | None:
        """Return a track, None where it is not indexed."""
        slot = self._slots.get(track_id)
        return None if slot is None else self._tracks[slot]

    def vector(self, track_id: str) -> Float32Array:
        """Return a copy of a track's vector, shape (dim,).

        Raises:
            KeyError: The track is not indexed.
        """
        copy: Float32Array = self._memory()[self._slots[track_id]].copy()
        return copy

    def upsert(self, track: Track, vector: Float32Array) -> bool:
        """Add a track or replace what is known of it; safe to repeat.

        Args:
            track: Of any version.
            vector: Shape (dim,), float32, nearly unit: it is normalised, so that inner products are cosines.

        Returns:
            False if a higher version is indexed already, and nothing was changed.

        Raises:
            InvalidArgument: DIMENSION_MISMATCH: The other tracks have vectors of another length.
        """
        if self.dimension not in (0, len(vector)):
            raise InvalidArgument(
                f"the vector of track {track.track_id} has {len(vector)} dimensions, the index has {self.dimension}",
                reason="DIMENSION_MISMATCH",
                field="vector",
                value=len(vector),
                limit=self.dimension,
            )
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        slot = self._slots.get(track.track_id)
        if slot is None:
            if self._faiss is None:
                self._faiss = faiss.IndexFlatIP(len(unit))
            self._faiss.add(unit[np.newaxis])
            self._slots[track.track_id] = len(self._tracks)
            self._tracks.append(track)
            return True
        if track.version < self._tracks[slot].version:
            return False
        self._memory()[slot] = unit
        self._tracks[slot] = track
        return True

    def remove(self, track_id: str) -> bool:
        """Forget a track; safe to repeat.

        Returns:
            Whether it was there.
        """
        slot = self._slots.pop(track_id, None)
        if slot is None:
            return False
        last = len(self._tracks) - 1
        if last == 0:
            self.clear()
            return True
        assert self._faiss is not None  # there is a track
        if slot != last:
            memory = self._memory()
            memory[slot] = memory[last]
            self._tracks[slot] = self._tracks[last]
            self._slots[self._tracks[slot].track_id] = slot
        self._faiss.remove_ids(faiss.IDSelectorRange(last, last + 1))
        self._tracks.pop()
        return True

    def clear(self) -> None:
        """Forget everything, the dimension included."""
        self._tracks = []
        self._slots = {}
        self._faiss = None

    def fill(self, tracks: Sequence[Track], vectors: Float32Array) -> None:
        """Replace everything at once.

        Args:
            tracks: Of different ids.
            vectors: Unit vectors, shape (len(tracks), dim), float32.
        """
        self.clear()
        if not tracks:
            return
        self._faiss = faiss.IndexFlatIP(vectors.shape[1])
        self._faiss.add(vectors)
        self._tracks = list(tracks)
        self._slots = {track.track_id: slot for slot, track in enumerate(tracks)}

    def search(self, query: Float32Array, k: int, excluded: Collection[str] = ()) -> list[Hit]:
        """Find the nearest tracks by exact cosine similarity.

        Args:
            query: Unit vector, shape (dim,), float32.
            k: Hits wanted, at least 1.
            excluded: Ids that must not be found; unknown ones do not matter.

        Returns:
            At most k, best first; ties within 1e-6 by id.
        """
        if self._faiss is None:
            return []
        unwanted = [self._slots[track_id] for track_id in excluded if track_id in self._slots]
        parameters = None
        if unwanted:
            # FAISS keeps pointers to both selectors, so both must live until the search is over.
            batch = faiss.IDSelectorBatch(np.array(unwanted, dtype=np.int64))
            complement = faiss.IDSelectorNot(batch)
            parameters = faiss.SearchParameters(sel=complement)  # type: ignore[call-arg]  # FAISS adds it at import
        similarities, slots = self._faiss.search(query[np.newaxis], min(k, len(self)), params=parameters)
        shown = presented(similarities[0]).tolist()
        hits = [
            Hit(self._tracks[slot], similarity)
            for slot, similarity in zip(slots[0].tolist(), shown, strict=True)
            if slot >= 0
        ]
        return sorted(hits, key=lambda hit: (-hit.similarity, hit.track.track_id))

    def _memory(self) -> Float32Array:
        """Return FAISS's own memory as a writable array, shape (tracks, dim), valid until the next change of size."""
        if self._faiss is None:
            return np.empty((0, 0), dtype=np.float32)
        flat: Float32Array = faiss.rev_swig_ptr(self._faiss.get_xb(), len(self) * self.dimension)
        return flat.reshape(len(self), self.dimension)


def use_one_thread() -> None:
    """Keep FAISS from using a second thread in this one.

    A lone exact query cannot be split, yet OpenMP's threads wait for each other: at 10,000 × 1024 on two busy cores a
    search took 4.6 ms to 26 ms with two threads and 1.3 ms with one. The number belongs to the calling thread.
    """
    faiss.omp_set_num_threads(1)
