"""Fetches candidates from the library, the nearest first, more of them as the rules eat them up; gives them scores."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from services.retriever.library import Library, Nearest, Wanted
from services.retriever.playlist.chance import Gumbel
from services.retriever.playlist.recipe import Recipe, Seed, negative
from services.retriever.similarity import Float32Array, cosines
from services.retriever.tracks import Track

# The first fetch. Penalty, diversity and randomness choose from it, so it is wider than the rules alone would need.
_FETCH_PER_PLACE = 4
_FETCH_MORE = 300

_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Candidate:
    """A track of the library that could be chosen.

    Attributes:
        track: The track.
        vector: Its own, shape (dim,), float32, unit norm.
        similarity: Cosine to the target, in [-1, 1].
    """

    track: Track
    vector: Float32Array
    similarity: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Candidates that were fetched together, the nearest first, ties by id.

    Attributes:
        tracks: The tracks.
        vectors: Theirs, shape (len(tracks), dim), float32.
        similarities: Cosines to the target, shape (len(tracks),), float32.
        scores: What they are ranked by, shape (len(tracks),), float32, to six decimals.
    """

    tracks: Sequence[Track]
    vectors: Float32Array
    similarities: Float32Array
    scores: Float32Array

    def __len__(self) -> int:
        return len(self.tracks)

    def candidate(self, row: int) -> Candidate:
        """Return one of them."""
        return Candidate(self.tracks[row], self.vectors[row], float(self.similarities[row]))


class Candidates:
    """The library around a target in batches that go ever further out, each twice as wide as all before it.

    Args:
        library: Where to look.
        target: Unit vector, shape (dim,), float32.
        wanted: Which tracks may be found; None takes all.
        first: How many the first batch has.
    """

    def __init__(self, library: Library, target: Float32Array, wanted: Wanted | None, first: int) -> None:
        self._library = library
        self._target = target
        self._wanted = wanted
        self._first = first
        # Tracks that were fetched so far, and whether there are no more.
        self.seen_count = 0
        self.is_exhausted = False

    def __iter__(self) -> Iterator[Nearest]:
        """Yield new tracks only, until the library has no more."""
        seen: set[str] = set()
        count = self._first
        while not self.is_exhausted:
            found = self._library.nearest(self._target, count, self._wanted)
            # Fewer than asked for are all that the filter takes; without one an approximate index has lost its way.
            is_filtered = self._wanted is not None and len(found.tracks) < count
            self.is_exhausted = is_filtered or count >= len(self._library)
            # By id: an approximate index that is asked for more may find other ones among the nearest, too.
            rows = [row for row, track in enumerate(found.tracks) if track.track_id not in seen]
            seen.update(track.track_id for track in found.tracks)
            self.seen_count = len(seen)
            if rows:
                tracks = [found.tracks[row] for row in rows]
                yield Nearest(tracks, found.vectors[rows], found.similarities[rows])
            count *= 2


def first_fetch(length: int) -> int:
    """Return how many candidates are fetched at first for so many places."""
    return _FETCH_PER_PLACE * length + _FETCH_MORE


def scored(library: Library, found: Nearest, seeds: Sequence[Seed], recipe: Recipe, chance: Gumbel | None) -> Batch:
    """Give candidates their scores: the cosine to the target, less penalties, plus chance.

    A hub, near to everything, loses `hub_damping` × its mean cosine to its own neighbours. What is near to a negative
    seed loses

        negative_penalty × max over the negative seeds of (|weight| / largest |weight|) × cosine,

    and never gains by it: what is opposite to all of them loses nothing. Subtracting those seeds from the target would
    do more harm: it moves the target away from everything that both sides have in common.
    """
    scores = found.similarities.astype(np.float64)
    unwanted = negative(seeds)
    if unwanted and recipe.negative_penalty > 0:
        weights = np.array([-seed.weight for seed in unwanted])
        nearness = cosines(found.vectors, np.stack([seed.vector for seed in unwanted]).T)  # (candidates, negatives)
        nearest = (nearness * (weights / weights.max())).max(axis=1)
        scores -= recipe.negative_penalty * np.maximum(nearest, 0.0)
    if recipe.hub_damping > 0:
        scores -= recipe.hub_damping * library.neighbour_means([track.track_id for track in found.tracks])
    if chance is not None:
        scores += chance.noise((track.track_id for track in found.tracks), scores)
    # Rounded as cosines are, so that replicas order alike; they may leave [-1, 1].
    return Batch(found.tracks, found.vectors, found.similarities, scores.round(_DECIMALS).astype(np.float32))
