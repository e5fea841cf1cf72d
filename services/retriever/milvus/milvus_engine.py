"""The index of one encoder with its vectors in Milvus: the same answers as the engine of this process, from elsewhere.

What is known of the tracks stays in this process, about 1 KB each: seeds, filters and rules ask it constantly, and
Milvus could not be sent a rule that is Python. Vectors are read back for what is found only.
"""

import functools
import logging
import zlib
from collections.abc import Sequence

import numpy as np

from services.chassis.bus import LogPosition
from services.chassis.errors import InvalidArgument
from services.retriever.errors import DimensionMismatch, EngineUnavailable
from services.retriever.index import track_records
from services.retriever.index.hubs import HubMeans, smallest_of
from services.retriever.library import Nearest, NearestIds, Wanted
from services.retriever.milvus.milvus_store import MAX_ID_BYTES, MAX_TEXT_BYTES, MilvusStore, Row
from services.retriever.similarity import Float32Array, presented, settled_products
from services.retriever.tracks import Track

logger = logging.getLogger(__name__)

# Inserting rows one by one costs a call each; more than this at once gains nothing.
_WRITTEN_AT_ONCE = 256
# What is asked for at first, how it grows while filters and ties leave too little, and where walking is cheaper.
_FEWEST_ASKED = 128
_GROWTH = 8
_MOST_ASKED = 8192
# Scores are float32 sums in another order than ours; what differs by less may change places.
_TOLERANCE = 2e-6


class MilvusIndex:
    """An `Engine` that keeps vectors in Milvus. Used by one thread.

    Changes are gathered and sent together, at the latest before the next search, so that an added track is found at
    once. All methods but `track` and `__len__` may raise EngineUnavailable; then what was gathered stays, and the same
    call may be repeated.

    Args:
        encoder_id: The only encoder whose vectors belong here.
        store: The collections of that encoder; nobody else writes to them with another log.
    """

    kind = "milvus"
    # What an index of this process tells of its memory and its merges, for the same answer of DescribeIndex.
    memory_bytes = mapped_bytes = delta_count = tombstone_count = 0
    is_merge_due = False

    def __init__(self, encoder_id: str, store: MilvusStore) -> None:
        self.encoder_id = encoder_id
        self.dimension = 0
        self._store = store
        self._tracks: dict[str, Track] = {}
        self._checksums: dict[str, int] = {}
        # Not sent yet; None is a removal.
        self._gathered: dict[str, Row | None] = {}
        self._hubs = HubMeans()

    def __len__(self) -> int:
        return len(self._tracks)

    def track(self, track_id: str) -> Track | None:
        """Return a track, None where it is not there."""
        return self._tracks.get(track_id)

    def vector(self, track_id: str) -> Float32Array:
        """Return a track's vector, shape (dim,); see `Library.vector`."""
        if track_id not in self._tracks:
            raise KeyError(track_id)
        gathered = self._gathered.get(track_id)
        return self._vectors([track_id])[0] if gathered is None else gathered.vector.copy()

    def vectors_of(self, track_ids: Sequence[str]) -> dict[str, Float32Array]:
        """Return vectors, a thousand in one call; see `SearchLibrary.vectors_of`."""
        self._send()
        known = [track_id for track_id in track_ids if track_id in self._tracks]
        return self._store.vectors(known) if known else {}

    def upsert(self, track: Track, vector: Float32Array) -> bool:
        """Add a track or replace what is known of it; see `Engine.upsert`.

        Raises:
            InvalidArgument: DIMENSION_MISMATCH, or TOO_LONG: Milvus's fields cannot hold what is known of it.
        """
        self._check(track, vector)
        known = self._tracks.get(track.track_id)
        if known is not None and track.version < known.version:
            return False
        unit: Float32Array = (vector / np.linalg.norm(vector)).astype(np.float32)
        checksum = zlib.crc32(unit.tobytes())
        if known == track and checksum == self._checksums[track.track_id]:
            return True  # a log that is read again writes nothing
        row = Row(track.track_id, track_records.encode(track).decode(), checksum, unit)
        if not self.dimension:
            self._store.create(len(unit))
            self.dimension = len(unit)
        self._gather(track.track_id, row)
        if checksum != self._checksums.get(track.track_id):  # not so when only its genre was edited
            self._hubs.changed(track.track_id, is_there=True)
        self._tracks[track.track_id] = track
        self._checksums[track.track_id] = checksum
        return True

    def remove(self, track_id: str) -> bool:
        """Forget a track; see `Engine.remove`."""
        if track_id not in self._tracks:
            return False
        if len(self) == 1:
            self.clear()
            return True
        self._gather(track_id, None)
        self._hubs.changed(track_id, is_there=False)
        del self._tracks[track_id], self._checksums[track_id]
        return True

    def clear(self) -> None:
        """Forget everything, the dimension and the kept point of the log included."""
        self._store.drop()
        self.dimension = 0
        self._tracks, self._checksums, self._gathered = {}, {}, {}
        self._hubs.reset()

    def nearest(self, query: Float32Array, count: int, wanted: Wanted | None = None) -> Nearest:
        """Find tracks near to a query; see `Library.nearest`.

        More are asked for than wanted, eight times more while a filter or ties leave too few, up to 8,192; then all
        vectors that are wanted are read and compared, 1,000 at a time. So nothing that Milvus ranks right is missed,
        whatever the filter; a narrow filter of a large library is slow.
        """
        self._send()
        asked = max(_FEWEST_ASKED, 2 * count)
        while asked <= _MOST_ASKED and self._tracks:
            found = self._store.search(query, min(asked, len(self)))
            hits = [(track_id, score) for track_id, score in found if self._is_wanted(track_id, wanted)]
            if len(found) >= len(self) or (len(hits) > count and hits[count - 1][1] - hits[-1][1] > _TOLERANCE):
                lowest = hits[count - 1][1] - _TOLERANCE if len(hits) > count else -np.inf
                return self._ranked(query, [track_id for track_id, score in hits if score >= lowest], count)
            asked *= _GROWTH
        return self._ranked(query, [each for each in self._tracks if self._is_wanted(each, wanted)], count)

    def nearest_ids(self, query: Float32Array, count: int, wanted: Wanted | None = None) -> NearestIds:
        """Find tracks near to a query; see `SearchLibrary.nearest_ids`."""
        found = self.nearest(query, count, wanted)
        return NearestIds([track.track_id for track in found.tracks], found.similarities.tolist())

    def neighbour_means(self, track_ids: Sequence[str]) -> Float32Array:
        """Return how near tracks are to their neighbours; see `Library.neighbour_means`."""
        for track_id in track_ids:
            if track_id not in self._tracks:
                raise KeyError(track_id)
        return self._hubs.of(track_ids, functools.partial(smallest_of, self._tracks), self._vectors)

    def sample(self, count: int) -> Float32Array:
        """Return vectors of tracks drawn by chance; see `Library.sample`."""
        if not self._tracks:
            return np.empty((0, 0), np.float32)
        return self._hubs.sample(count, functools.partial(smallest_of, self._tracks), self._vectors)

    def blocked_alone(self, wanted: Wanted | None) -> None:
        """Say that questions are answered one by one: Milvus joins them itself."""

    def restore(self) -> LogPosition | None:
        """Learn what Milvus holds of this encoder; return the point of the log up to which that is true.

        Without such a point, or without tracks that can be read, nobody knows what is missing: everything is forgotten.
        """
        position = self._store.read_position()
        dimension = 0 if position is None else self._store.dimension()
        if not dimension:
            self.clear()
            return None
        tracks, checksums = {}, {}
        try:
            for record, checksum in self._store.records():
                track = track_records.decode(record.encode())
                tracks[track.track_id], checksums[track.track_id] = track, checksum
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            logger.error("milvus_unreadable", extra={"error": repr(error)})
            self.clear()
            return None
        self.dimension, self._tracks, self._checksums = dimension, tracks, checksums
        return position

    def send(self) -> bool:
        """Send what was gathered; return False if there is no track, and so no collection."""
        self._send()
        return self.dimension > 0

    def keep(self, position: LogPosition) -> None:
        """Let Milvus index what was sent and keep the point of the log up to which it is true; on any thread.

        Milvus may take seconds, and searches go on meanwhile. What changes in between is read from the log again.
        """
        self._store.seal()
        self._store.write_position(position)

    def _check(self, track: Track, vector: Float32Array) -> None:
        if self.dimension not in (0, len(vector)):
            raise DimensionMismatch(track.track_id, len(vector), self.dimension)
        # One row that Milvus refuses would hold up all that were gathered with it.
        for field, size, limit in (
            ("track_id", len(track.track_id.encode()), MAX_ID_BYTES),
            ("track", len(track_records.encode(track)), MAX_TEXT_BYTES),
        ):
            if size > limit:
                raise InvalidArgument(
                    f"{field} has {size} bytes, Milvus takes {limit}",
                    reason="TOO_LONG",
                    field=field,
                    value=size,
                    limit=limit,
                )

    def _gather(self, track_id: str, row: Row | None) -> None:
        if len(self._gathered) >= _WRITTEN_AT_ONCE:
            self._send()
        self._gathered[track_id] = row

    def _send(self) -> None:
        if self._gathered:
            rows = [row for row in self._gathered.values() if row is not None]
            self._store.write(rows, [track_id for track_id, row in self._gathered.items() if row is None])
            self._gathered = {}

    def _is_wanted(self, track_id: str, wanted: Wanted | None) -> bool:
        # Another replica may have added what this one has not read of yet.
        track = self._tracks.get(track_id)
        return track is not None and (wanted is None or wanted(track))

    def _vectors(self, track_ids: Sequence[str]) -> Float32Array:
        self._send()
        read = self._store.vectors(track_ids)
        if missing := next((track_id for track_id in track_ids if track_id not in read), None):
            raise EngineUnavailable(f"it has no vector of {missing}, which another replica may have removed")
        return np.stack([read[track_id] for track_id in track_ids])

    def _ranked(self, query: Float32Array, track_ids: Sequence[str], count: int) -> Nearest:
        """Read vectors and order by our own cosines, so that every engine answers alike."""
        ids: list[str] = []
        vectors, similarities = np.zeros((0, len(query)), np.float32), np.zeros(0, np.float32)
        # Part by part, of which the best are kept: all of a large library would not fit.
        for read in self._store.walk(track_ids):
            if not read:
                continue
            ids += read
            vectors = np.concatenate([vectors, np.stack(list(read.values()))])
            similarities = np.concatenate(
                [similarities, presented(settled_products(vectors[len(similarities) :], query))]
            )
            order = sorted(range(len(ids)), key=lambda row: (-similarities[row], ids[row]))[:count]
            ids, vectors, similarities = [ids[row] for row in order], vectors[order], similarities[order]
        return Nearest([self._tracks[track_id] for track_id in ids], vectors, similarities)
