"""Chooses the tracks of a playlist: walks the candidates from the best on and asks every rule."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from services.retriever.recipe import Recipe, Seed, library_seeds
from services.retriever.recordings import Recordings
from services.retriever.tracks import Track


@dataclass(frozen=True, slots=True)
class Candidate:
    """A track of the library, its place in the library's arrays, and its cosine to the target in [-1, 1]."""

    track: Track
    slot: int
    similarity: float


class Rule(StrEnum):
    """Why a candidate was passed over, in the order in which the rules are asked."""

    EXCLUDED = "excluded"
    SEED = "seed"
    SAME_RECORDING = "same_recording"
    MAX_PER_ARTIST = "max_per_artist"
    ARTIST_IN_A_ROW = "artist_in_a_row"
    MIN_SIMILARITY = "min_similarity"
    # Not a removal: places where an artist follows itself, because nothing else was left.
    ARTIST_IN_A_ROW_ALLOWED = "artist_in_a_row_allowed"


def choose(
    candidates: Iterable[Candidate],
    count: int,
    seeds: Sequence[Seed],
    recipe: Recipe,
    previous: tuple[str, str] | None = None,
) -> tuple[list[Candidate], Counter[str]]:
    """Take the best candidates that the rules allow, and stop at the wanted length.

    An artist gets at most `max_per_artist` tracks, the seeds of the library counted in, so that no seed's artist
    dominates. An artist also gets at most every second place, because more could not be kept apart; what that sets
    aside is taken after all when the library has nothing else.

    Args:
        candidates: Best first.
        count: How many they are.
        seeds: What the playlist starts from: neither they nor their recordings are chosen.
        recipe: How to choose.
        previous: Artist of what is played before the first place.

    Returns:
        The chosen, best first, and how many candidates each rule passed over; what comes after the last chosen one
        was not asked.
    """
    removed: Counter[str] = Counter()
    rules = _Rules(seeds, recipe, previous)
    spare: list[Candidate] = []
    for seen, candidate in enumerate(candidates):
        if len(rules.chosen) == recipe.length:
            break
        if recipe.min_similarity is not None and candidate.similarity < np.float32(recipe.min_similarity):
            removed[Rule.MIN_SIMILARITY] = count - seen
            break
        rule = rules.broken_by(candidate.track)
        if rule is None:
            rules.take(candidate)
        elif rule is Rule.ARTIST_IN_A_ROW:
            spare.append(candidate)
        else:
            removed[rule] += 1
    for candidate in spare:
        is_short = len(rules.chosen) < recipe.length
        rule = rules.broken_by(candidate.track) if is_short else Rule.ARTIST_IN_A_ROW
        if rule is None or (is_short and rule is Rule.ARTIST_IN_A_ROW):
            rules.take(candidate)
        else:
            removed[rule] += 1
    return sorted(rules.chosen, key=lambda each: (-each.similarity, each.track.track_id)), removed


class _Rules:
    """What has been chosen so far, and which rule a further track would break."""

    def __init__(self, seeds: Sequence[Seed], recipe: Recipe, previous: tuple[str, str] | None) -> None:
        self.chosen: list[Candidate] = []
        self._recipe = recipe
        self._previous = previous
        self._recordings = Recordings()
        tracks_of_seeds = library_seeds(seeds)
        for seed in seeds:
            self._recordings.add_hash(seed.audio_hash)
        for track in tracks_of_seeds:
            self._recordings.add(track)
        self._seed_ids = {track.track_id for track in tracks_of_seeds}
        self._of_seeds = Counter(track.artist_key for track in tracks_of_seeds)
        self._of_chosen: Counter[tuple[str, str]] = Counter()

    def broken_by(self, track: Track) -> Rule | None:
        artist = track.artist_key
        if track.track_id in self._recipe.excluded:
            return Rule.EXCLUDED
        if track.track_id in self._seed_ids:
            return Rule.SEED
        if track in self._recordings:
            return Rule.SAME_RECORDING
        if self._of_seeds[artist] + self._of_chosen[artist] >= self._recipe.max_per_artist:
            return Rule.MAX_PER_ARTIST
        # Every second place, the first one included unless the same artist is played right before it.
        if self._of_chosen[artist] >= (self._recipe.length + (artist != self._previous)) // 2:
            return Rule.ARTIST_IN_A_ROW
        return None

    def take(self, candidate: Candidate) -> None:
        self.chosen.append(candidate)
        self._recordings.add(candidate.track)
        self._of_chosen[candidate.track.artist_key] += 1
