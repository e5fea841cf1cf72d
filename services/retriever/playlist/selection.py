"""Chooses the tracks of a playlist: walks the candidates from the best on and asks every rule."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from enum import StrEnum

import numpy as np

from services.retriever.playlist.candidates import Batch, Candidate
from services.retriever.playlist.recipe import Recipe, Seed, library_seeds, positive
from services.retriever.playlist.recordings import Recordings
from services.retriever.playlist.spacing import Room
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track


class Rule(StrEnum):
    """Why a candidate was passed over, in the order in which the rules are asked."""

    # Counted where the whole library was looked through; otherwise nobody knows how many there are.
    FILTER = "filter"
    EXCLUDED = "excluded"
    SEED = "seed"
    MAX_PER_ARTIST = "max_per_artist"
    SAME_RECORDING = "same_recording"
    NEAR_DUPLICATE = "near_duplicate"
    ARTIST_IN_A_ROW = "artist_in_a_row"
    MIN_SIMILARITY = "min_similarity"
    # Not a removal: places whose artist came within the window before, because nothing else was left.
    ARTIST_IN_A_ROW_ALLOWED = "artist_in_a_row_allowed"


class Choice:
    """What has been chosen so far, and which rule a further track would break.

    Args:
        seeds: What the list starts from: neither they nor their recordings are chosen.
        recipe: How to choose.
        previous: Artists of what is played before the first place.
        following: Artists of what is played after the last place.
        counts_seeds: Whether the seeds count for their artists, too. Negative ones never do.
    """

    def __init__(
        self,
        seeds: Sequence[Seed],
        recipe: Recipe,
        previous: Sequence[Hashable] = (),
        following: Sequence[Hashable] = (),
        *,
        counts_seeds: bool = True,
    ) -> None:
        self.chosen: list[Candidate] = []
        self.removed: Counter[str] = Counter()
        self._recipe = recipe
        self._room = Room(recipe.length, recipe.artist_window, previous, following)
        self._recordings = Recordings(allow_near_duplicates=recipe.allow_near_duplicates)
        for seed in seeds:
            self._recordings.add_hash(seed.audio_hash)
            if seed.track is None:
                self._recordings.add(seed.recording, seed.vector)
        for track, vector in {
            seed.track.track_id: (seed.track, seed.vector) for seed in seeds if seed.track is not None
        }.values():
            self._recordings.add(track, vector)
        self._seed_ids = {track.track_id for track in library_seeds(seeds)}
        self._of_artist: Counter[tuple[str, str]] = Counter()
        if counts_seeds:
            self._of_artist.update(track.artist_key for track in library_seeds(positive(seeds)))

    @property
    def is_full(self) -> bool:
        """Whether there are as many as are wanted."""
        return len(self.chosen) >= self._recipe.length

    def broken_by(self, track: Track, vector: Float32Array) -> Rule | None:
        """Return the first rule that a track would break; `vector`: its own, shape (dim,)."""
        if track.track_id in self._recipe.excluded:
            return Rule.EXCLUDED
        if track.track_id in self._seed_ids:
            return Rule.SEED
        # Before the sounds are compared, which is dear: a large library may have few artists.
        if self._of_artist[track.artist_key] >= self._recipe.max_per_artist:
            return Rule.MAX_PER_ARTIST
        if sameness := self._recordings.find(track, vector):
            return Rule(sameness.value)
        if not self._room.has(track.artist_key):
            return Rule.ARTIST_IN_A_ROW
        return None

    def take(self, candidate: Candidate) -> None:
        """Choose a track."""
        self.chosen.append(candidate)
        self._recordings.add(candidate.track, candidate.vector)
        self._room.take(candidate.track.artist_key)
        self._of_artist[candidate.track.artist_key] += 1


def choose(batches: Iterable[Batch], choice: Choice, recipe: Recipe) -> list[Candidate]:
    """Take the best candidates that the rules allow, and stop at the wanted length.

    An artist gets at most `max_per_artist` tracks, and not more places than can be kept apart; what the latter sets
    aside is taken after all when the library has nothing else.

    Args:
        batches: Candidates, those of an earlier batch nearer to the target; fetched as they are needed.
        choice: The rules; counts in `removed` what was passed over on the way. What comes after the last chosen one
            was not asked.
        recipe: How to choose.

    Returns:
        The chosen, most similar to the target first, ties by id.
    """
    spare: list[Candidate] = []
    for batch in batches:
        for row in _most_wanted(batch, recipe.diversity, choice.chosen):
            rule = choice.broken_by(batch.tracks[row], batch.vectors[row])
            if rule is None:
                choice.take(batch.candidate(row))
            elif rule is Rule.ARTIST_IN_A_ROW:
                spare.append(batch.candidate(row))
            else:
                choice.removed[rule] += 1
            if choice.is_full:
                break
        if choice.is_full:
            break
    for candidate in spare:
        rule = Rule.ARTIST_IN_A_ROW if choice.is_full else choice.broken_by(candidate.track, candidate.vector)
        if not choice.is_full and rule in (None, Rule.ARTIST_IN_A_ROW):
            choice.take(candidate)
        elif rule is not None:
            choice.removed[rule] += 1
    return sorted(choice.chosen, key=lambda each: (-each.similarity, each.track.track_id))


def _most_wanted(batch: Batch, diversity: float, chosen: list[Candidate]) -> Iterator[int]:
    """Yield the rows of a batch, each once, the one that is wanted most first; `chosen` may grow meanwhile.

    With diversity λ that is the row with the largest (1 − λ) · score − λ · (largest cosine to a chosen track): maximal
    marginal relevance (Carbonell, Goldstein, SIGIR 1998, who put λ and 1 − λ the other way round).
    """
    if diversity == 0:
        yield from np.argsort(-batch.scores, kind="stable").tolist()
        return
    relevance = ((1 - diversity) * batch.scores).astype(np.float32)
    worth, nearest, known = relevance, np.full(len(batch), -1.0, dtype=np.float32), 0
    for _ in range(len(batch)):
        if known < len(chosen):
            others = np.stack([candidate.vector for candidate in chosen[known:]])  # one, but at the start of a batch
            to_others = batch.vectors @ others[0] if len(others) == 1 else (batch.vectors @ others.T).max(axis=1)
            np.maximum(nearest, to_others, out=nearest)
            known = len(chosen)
            worth = (relevance - diversity * nearest).round(6)
        row = int(worth.argmax())
        yield row
        relevance[row] = worth[row] = -np.inf
