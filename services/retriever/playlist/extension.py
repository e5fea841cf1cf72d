"""Suggests what could be added to a playlist: near to it and to what its owner took, away from what was refused.

Pure numpy: no I/O, no index, no wire format.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.retriever.errors import NoCandidates
from services.retriever.library import Library, Wanted
from services.retriever.playlist.playlist import Playlist, batches, shortage
from services.retriever.playlist.quantiles import PairQuantiles
from services.retriever.playlist.reasons import explain
from services.retriever.playlist.recipe import Recipe, Seed, library_seeds
from services.retriever.playlist.selection import Choice, choose
from services.retriever.playlist.target import move
from services.retriever.similarity import Float32Array


@dataclass(frozen=True, slots=True)
class ExtensionRecipe:
    """What to suggest.

    Attributes:
        count: Suggestions wanted.
        max_per_artist: Most of one `Track.artist_key`; tracks of the playlist do not count.
        diversity: Share of dissimilarity to the suggested in the choice of the next, 0 to 1.
    """

    count: int = 10
    max_per_artist: int = 2
    diversity: float = 0.0


def extend_playlist(
    library: Library,
    playlist: Sequence[Seed],
    accepted: Sequence[Seed],
    rejected: Sequence[Seed],
    recipe: ExtensionRecipe,
    *,
    wanted: Wanted | None = None,
    quantiles: PairQuantiles | None = None,
) -> Playlist:
    """Suggest tracks for a playlist.

    Args:
        library: Where to look.
        playlist: Its tracks, at least one. Neither they nor their recordings are suggested.
        accepted: Suggestions that were taken, whether they are still in the playlist or not; not suggested either.
        rejected: Suggestions that were refused; not suggested either.
        recipe: What to suggest.
        wanted: Which tracks may be suggested; None takes all.
        quantiles: Of the library's random pairs; None leaves quantiles out.

    Returns:
        At most `recipe.count` tracks, the nearest to the moved target first.

    Raises:
        SeedsCancel: The target points nowhere.
        NoCandidates: The rules leave no track.
    """
    target = move(*(_vectors(seeds, len(playlist[0].vector)) for seeds in (playlist, accepted, rejected)))
    judged = [*accepted, *rejected]
    # Suggestions are no playing order: an artist may have as many in a row as it may have at all.
    rules = Recipe(
        length=recipe.count,
        max_per_artist=recipe.max_per_artist,
        excluded=frozenset(_ids(judged) - _ids(playlist)),
        diversity=recipe.diversity,
        artist_window=1,
    )
    choice = Choice([*playlist, *judged], rules, counts_seeds=False)
    chosen = choose(batches(library, target, playlist, rules, wanted, choice), choice, rules)
    if not chosen:
        raise NoCandidates(len(library), choice.removed)
    rows = [(each.track, each.vector, False) for each in chosen]
    too_few = shortage("count", len(chosen), recipe.count, choice)
    return Playlist(explain(rows, target, playlist, quantiles, accepted), choice.removed, too_few)


def _ids(seeds: Sequence[Seed]) -> set[str]:
    return {track.track_id for track in library_seeds(seeds)}


def _vectors(seeds: Sequence[Seed], dimension: int) -> Float32Array:
    return np.stack([seed.vector for seed in seeds]) if seeds else np.empty((0, dimension), dtype=np.float32)
