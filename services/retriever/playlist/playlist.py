"""Makes a playlist from seeds: a target in the middle of the seeds, what sounds nearest, and the rules of taste.

Pure numpy: no I/O, no index, no wire format. The way of a playlist is

    seeds ──blend, tilt──▶ target ──nearest──▶ candidates ──score──▶ best first ──choose──▶ tracks ──arrange──▶ order
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from services.retriever.errors import ConstraintsUnreachable, NoCandidates
from services.retriever.library import Library, Wanted
from services.retriever.playlist.arrangement import by_energy, by_flow, by_similarity
from services.retriever.playlist.candidates import Batch, Candidate, Candidates, first_fetch, scored
from services.retriever.playlist.chance import Gumbel
from services.retriever.playlist.quantiles import PairQuantiles
from services.retriever.playlist.reasons import PlaylistTrack, explain
from services.retriever.playlist.recipe import Arrangement, Recipe, Seed, library_seeds, positive
from services.retriever.playlist.selection import Choice, Rule, choose
from services.retriever.playlist.spacing import repetitions
from services.retriever.playlist.target import blend, tilt
from services.retriever.similarity import Float32Array


@dataclass(frozen=True, slots=True)
class Playlist:
    """Tracks in playing order.

    Attributes:
        tracks: Seeds first, where they are included.
        removed: How many candidates each rule passed over on the way to them.
        warning: Says that there are fewer tracks than asked for, as the error would; None where there are as many.
    """

    tracks: list[PlaylistTrack]
    removed: Counter[str]
    warning: ConstraintsUnreachable | None = None


def build_playlist(
    library: Library,
    seeds: Sequence[Seed],
    recipe: Recipe,
    *,
    wanted: Wanted | None = None,
    taste: Float32Array | None = None,
    taste_weight: float = 0.0,
    quantiles: PairQuantiles | None = None,
) -> Playlist:
    """Choose and order the tracks of a playlist.

    Args:
        library: Where to look.
        seeds: At least one positive one.
        recipe: How to choose.
        wanted: Which tracks may be chosen; None takes all.
        taste: Taste that the target is tilted towards, shape (dim,), float32, unit norm; None tilts nothing.
        taste_weight: How far, 0 to 1.
        quantiles: Of the library's random pairs; None leaves quantiles out.

    Returns:
        At most `recipe.length` tracks, fewer if the rules leave fewer, after the seeds where those are included.

    Raises:
        SeedsCancel: The mean of the seeds points nowhere.
        NoCandidates: The rules leave no track.
        ConstraintsUnreachable: They leave fewer than asked for, and the recipe requires them all.
    """
    if not len(library):
        raise NoCandidates(0, {})
    target = tilt(blend(seeds, weigh_agreement=recipe.weigh_agreement), taste, taste_weight)
    included = library_seeds(positive(seeds)) if recipe.include_seed else []
    previous = [track.artist_key for track in included]
    choice = Choice(seeds, recipe, previous)
    chosen = choose(batches(library, target, seeds, recipe, wanted, choice), choice, recipe)
    too_few = shortage("length", len(chosen), recipe.length, choice)
    if recipe.require_length and too_few is not None:
        raise too_few
    if not chosen:
        raise NoCandidates(len(library), choice.removed)
    vector_of = {seed.track.track_id: seed.vector for seed in seeds if seed.track is not None}
    before = vector_of[included[-1].track_id] if included else None
    order = [chosen[position] for position in _arranged(chosen, recipe, previous, before)]
    artists = [each.track.artist_key for each in order]
    if repeated := repetitions(artists, recipe.artist_window, previous):
        choice.removed[Rule.ARTIST_IN_A_ROW_ALLOWED] = repeated
    rows = [(track, vector_of[track.track_id], True) for track in included]
    rows += [(each.track, each.vector, False) for each in order]
    return Playlist(explain(rows, target, seeds, quantiles), choice.removed, too_few)


def shortage(field: str, found: int, asked: int, choice: Choice) -> ConstraintsUnreachable | None:
    """Return what is to be said, or raised, of a list that is shorter than it was asked for; None of any other."""
    return ConstraintsUnreachable(field, found, asked, choice.removed) if found < asked else None


def batches(
    library: Library,
    target: Float32Array,
    seeds: Sequence[Seed],
    recipe: Recipe,
    wanted: Wanted | None,
    choice: Choice,
) -> Iterator[Batch]:
    """Yield candidates with their scores, ever further from the target, until the least similarity or the end.

    What is asked for after the last candidate that is similar enough, or after all of them, is counted as removed: by
    the filter, which is known only where the whole library was looked through, and by the least similarity.
    """
    chance = Gumbel(recipe.temperature, recipe.random_seed, _occasion(seeds)) if recipe.temperature > 0 else None
    candidates = Candidates(library, target, wanted, first_fetch(recipe.length))
    taken = 0
    for found in candidates:
        similar = len(found.tracks)
        if recipe.min_similarity is not None:
            # Nearest first: what is similar enough stands before what is not.
            similar = int((found.similarities >= np.float32(recipe.min_similarity)).sum())
        taken += similar
        if similar:
            part = type(found)(found.tracks[:similar], found.vectors[:similar], found.similarities[:similar])
            yield scored(library, part, seeds, recipe, chance)
        if similar < len(found.tracks):
            break
    filtered = len(library) - candidates.seen_count if candidates.is_exhausted else 0
    if filtered:
        choice.removed[Rule.FILTER] = filtered
    if behind := len(library) - filtered - taken:
        choice.removed[Rule.MIN_SIMILARITY] = behind


def _occasion(seeds: Sequence[Seed]) -> bytes:
    """Return what tells these seeds from others, whatever their weights, and whatever rounds the library's vectors."""
    sources = [
        seed.vector.tobytes() if seed.track is None else seed.track.track_id.encode() for seed in positive(seeds)
    ]
    return b" ".join(sources)


def _arranged(
    chosen: Sequence[Candidate], recipe: Recipe, previous: Sequence[tuple[str, str]], before: Float32Array | None
) -> list[int]:
    """Return positions among the chosen, which stand best first, in playing order."""
    artists = [each.track.artist_key for each in chosen]
    window = recipe.artist_window
    if recipe.arrangement is Arrangement.SIMILARITY:
        return by_similarity(artists, window, previous)
    vectors = np.stack([each.vector for each in chosen])
    if recipe.arrangement is Arrangement.ENERGY_ARC:
        energies = [each.track.energy for each in chosen]
        return by_energy(energies, recipe.energy_arc, vectors, artists, window, previous, before)
    return by_flow(vectors, artists, window, previous, before, [each.similarity for each in chosen])
