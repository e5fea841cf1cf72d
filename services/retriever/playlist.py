"""Makes a playlist from seeds: a target in the middle of the seeds, what sounds nearest, and the rules of taste.

Pure numpy: no I/O, no index, no wire format. The way of a playlist is

    seeds ──blend──▶ target ──rank──▶ candidates, best first ──choose──▶ tracks ──arrange──▶ playing order
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from services.retriever.arrangement import arrange, repetitions
from services.retriever.errors import NoCandidates
from services.retriever.recipe import Recipe, Seed, blend, library_seeds
from services.retriever.selection import Candidate, Rule, choose
from services.retriever.similarity import Float32Array, cosines
from services.retriever.tracks import Track


@dataclass(frozen=True, slots=True)
class PlaylistTrack:
    """A track of the playlist and why it is there.

    Attributes:
        track: The track.
        similarity: Cosine to the target, in [-1, 1].
        is_seed: Whether it is a seed that was asked to be included.
        seed_similarities: Cosine to each seed, in the order of the seeds.
        shared_tags: Tags that it shares with another track among the seeds, its own best first.
    """

    track: Track
    similarity: float
    is_seed: bool
    seed_similarities: tuple[float, ...]
    shared_tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Playlist:
    """Tracks in playing order, and how many candidates each rule passed over on the way to them."""

    tracks: list[PlaylistTrack]
    removed: Counter[str]


def build_playlist(tracks: Sequence[Track], vectors: Float32Array, seeds: Sequence[Seed], recipe: Recipe) -> Playlist:
    """Choose and order the tracks of a playlist.

    Args:
        tracks: The library.
        vectors: Unit vectors of the library, shape (len(tracks), dim), float32.
        seeds: At least one.
        recipe: How to choose.

    Returns:
        At most `recipe.length` tracks, fewer if the rules leave fewer, after the seeds where those are included.

    Raises:
        SeedsCancel: The mean of the seeds points nowhere.
        NoCandidates: The rules leave no track.
    """
    if not tracks:
        raise NoCandidates(0, {})
    target = blend(seeds)
    included = library_seeds(seeds) if recipe.include_seed else []
    previous = included[-1].artist_key if included else None
    candidates = rank(tracks, cosines(vectors, target))
    chosen, removed = choose(candidates, len(tracks), seeds, recipe, previous)
    if not chosen:
        raise NoCandidates(len(tracks), removed)
    order = [chosen[position] for position in arrange([each.track.artist_key for each in chosen], previous)]
    if repeated := repetitions([each.track.artist_key for each in order], previous):
        removed[Rule.ARTIST_IN_A_ROW_ALLOWED] = repeated
    vector_of = {seed.track.track_id: seed.vector for seed in seeds if seed.track is not None}
    rows = [(track, vector_of[track.track_id], True) for track in included]
    rows += [(each.track, vectors[each.slot], False) for each in order]
    return Playlist(_explain(rows, target, seeds), removed)


def rank(tracks: Sequence[Track], similarities: Float32Array) -> Iterator[Candidate]:
    """Yield the whole library, most similar first, ties by id."""
    order = np.argsort(-similarities, kind="stable").tolist()
    values = similarities.tolist()
    for similarity, tied in groupby(order, key=values.__getitem__):
        for slot in sorted(tied, key=lambda slot: tracks[slot].track_id):
            yield Candidate(tracks[slot], slot, similarity)


def _explain(
    rows: Sequence[tuple[Track, Float32Array, bool]], target: Float32Array, seeds: Sequence[Seed]
) -> list[PlaylistTrack]:
    """Say of each (track, vector, is_seed) how it relates to the target and to each seed."""
    vectors = np.stack([vector for _, vector, _ in rows])  # (rows, dim)
    to_target = cosines(vectors, target)  # (rows,)
    to_seeds = cosines(vectors, np.stack([seed.vector for seed in seeds]).T)  # (rows, seeds)
    tracks_of_seeds = library_seeds(seeds)
    explained = []
    for row, (track, _, is_seed) in enumerate(rows):
        tags = {tag for seed in tracks_of_seeds if seed.track_id != track.track_id for tag in seed.tags}
        explained.append(
            PlaylistTrack(
                track=track,
                similarity=float(to_target[row]),
                is_seed=is_seed,
                seed_similarities=tuple(to_seeds[row].tolist()),
                shared_tags=tuple(tag for tag in track.tags if tag in tags),
            )
        )
    return explained
