"""Measures how near a track is to everything: its mean cosine to its own nearest neighbours."""

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from services.retriever.index.text_table import digest
from services.retriever.similarity import Float32Array, presented

NEIGHBOURS = 10
SAMPLE = 2048
# Rows of one product with the sample: 512 × 2,048 cosines are 4 MiB.
_ROWS = 512
# Kept behind the sample, so that a removed track has a successor and the library is seldom walked.
_RESERVE = 2
# A mean takes about 150 bytes.
_MOST_MEANS = 20_000

# Digest and id of a track.
Place = tuple[int, str]


class HubMeans:
    """The mean cosine of tracks to their 10 nearest neighbours, the r of CSLS, computed when it is asked for and kept.

    A track that is near to everything, a hub, is in everybody's list, although it is nobody's best match. Lowering
    cosine(query, track) by a share of the track's own mean puts it behind tracks that are near to the query and to
    little else; a share of 0.5 gives the order of CSLS (Conneau et al., "Word translation without parallel data",
    ICLR 2018, https://arxiv.org/abs/1710.04087), whose other half is the same for all tracks of a query.

    The neighbours are sought among a sample of 2,048 tracks, all where there are no more. Against the whole of a
    library of 88,423 × 1024 one mean costs 16 ms even in a batch, against the sample 0.04 ms, and a sample damps hubs
    as well (Feldbauer et al., "Fast approximate hubness reduction for large high-dimensional data", ICBK 2018). The
    sample are the tracks whose ids have the smallest digests: equal libraries have equal samples, whatever their
    history, and a change of the library rarely changes the sample.

    Not safe for threads.

    Args:
        sample_size: Tracks of the sample.
    """

    def __init__(self, sample_size: int = SAMPLE) -> None:
        self._sample_size = sample_size
        self.reset()

    def reset(self) -> None:
        """Forget everything, because the whole library is another."""
        self._means: dict[str, float] = {}
        # Digest and id, smallest first: the sample and its reserve. None until they are needed.
        self._smallest: list[Place] | None = None
        self._is_whole = False
        self._sample: tuple[list[str], Float32Array] | None = None

    def changed(self, track_id: str, *, is_there: bool) -> None:
        """Note that a track came, went or got another vector.

        Args:
            track_id: The track.
            is_there: Whether it is in the library now.
        """
        self._means.pop(track_id, None)
        if self._smallest is None:
            return
        place = (digest(track_id), track_id)
        position = bisect_left(self._smallest, place)
        was_there = position < len(self._smallest) and self._smallest[position] == place
        if position < self._sample_size and (was_there or is_there):
            self._means.clear()
            self._sample = None
        if was_there and not is_there:
            del self._smallest[position]
            if len(self._smallest) < self._sample_size and not self._is_whole:
                self._smallest = None
        # Beyond the reserve it is not known who comes next.
        elif is_there and not was_there and (self._is_whole or position < len(self._smallest)):
            insort(self._smallest, place)
            if len(self._smallest) > 2 * _RESERVE * self._sample_size:
                del self._smallest[_RESERVE * self._sample_size :]
                self._is_whole = False

    def of(
        self,
        track_ids: Sequence[str],
        smallest: Callable[[int], list[Place]],
        vectors_of: Callable[[Sequence[str]], Float32Array],
    ) -> Float32Array:
        """Return the means of tracks.

        Args:
            track_ids: Tracks of the library.
            smallest: Gives so many tracks of the library with the smallest digests, smallest first; all where there
                are no more. Asked only when the sample has to be drawn.
            vectors_of: Gives the unit vectors of tracks, shape (tracks, dim), float32.

        Returns:
            Shape (len(track_ids),), float32, to six decimals; 0 for a track that has no neighbour.
        """
        self._draw(smallest, vectors_of)
        if len(self._means) > _MOST_MEANS:
            self._means.clear()
        missing = [track_id for track_id in dict.fromkeys(track_ids) if track_id not in self._means]
        for start in range(0, len(missing), _ROWS):
            some = missing[start : start + _ROWS]
            self._means.update(zip(some, self._measured(some, vectors_of(some)).tolist(), strict=True))
        return np.array([self._means[track_id] for track_id in track_ids], dtype=np.float32)

    def sample(
        self,
        count: int,
        smallest: Callable[[int], list[Place]],
        vectors_of: Callable[[Sequence[str]], Float32Array],
    ) -> Float32Array:
        """Return the vectors of the first tracks of the sample, shape (count, dim), fewer where there are no more.

        Args:
            count: At most the size of the sample.
            smallest: As in `of`.
            vectors_of: As in `of`.
        """
        self._draw(smallest, vectors_of)
        assert self._sample is not None  # drawn before
        return self._sample[1][:count]

    def _draw(
        self, smallest: Callable[[int], list[Place]], vectors_of: Callable[[Sequence[str]], Float32Array]
    ) -> None:
        if self._smallest is None:
            most = _RESERVE * self._sample_size
            places = smallest(most + 1)
            self._smallest, self._is_whole = places[:most], len(places) <= most
            self._sample = None
        if self._sample is None:
            ids = [track_id for _, track_id in self._smallest[: self._sample_size]]
            self._sample = ids, vectors_of(ids)

    def _measured(self, track_ids: Sequence[str], vectors: Float32Array) -> NDArray[np.float32]:
        assert self._sample is not None  # drawn before
        ids, sample = self._sample
        cosines = vectors @ sample.T  # (tracks, sample)
        place_of = {track_id: column for column, track_id in enumerate(ids)}
        for row, track_id in enumerate(track_ids):
            if (column := place_of.get(track_id)) is not None:
                cosines[row, column] = -np.inf  # no track is its own neighbour
        count = min(NEIGHBOURS, len(ids) - 1)
        if count < 1:
            return np.zeros(len(track_ids), np.float32)
        nearest = np.partition(cosines, len(ids) - count, axis=1)[:, -count:]
        return presented(nearest.mean(axis=1, dtype=np.float64).astype(np.float32))


def smallest_of(track_ids: Iterable[str], count: int) -> list[Place]:
    """Return the digests and ids of the tracks with the smallest digests, smallest first."""
    return heapq.nsmallest(count, ((digest(track_id), track_id) for track_id in track_ids))
