"""Says of each track of a list why it is there; chooses nothing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.retriever.playlist.quantiles import PairQuantiles
from services.retriever.playlist.recipe import Seed, library_seeds, positive
from services.retriever.similarity import Float32Array, cosines
from services.retriever.tracks import Track


@dataclass(frozen=True, slots=True)
class PlaylistTrack:
    """A track of the list and why it is there.

    Attributes:
        track: The track.
        similarity: Cosine to the target, in [-1, 1].
        is_seed: Whether it is a seed that was asked to be included.
        seed_similarities: Cosine to each seed, in the order of the seeds.
        shared_tags: Tags that it shares with another track among the positive seeds and the accepted, its own best
            first.
        nearest_seed: Which of the seeds is the nearest positive one; the first of equal ones.
        nearest_track_id: Nearest of the positive seeds and the accepted; empty where that is an upload.
        nearest_similarity: Cosine to it, in [-1, 1].
        quantile: Share of random pairs of the library that are less similar than the track and the nearest of them, 0
            to 1; None in a library that is too small to tell.
    """

    track: Track
    similarity: float
    is_seed: bool
    seed_similarities: tuple[float, ...]
    shared_tags: tuple[str, ...]
    nearest_seed: int
    nearest_track_id: str
    nearest_similarity: float
    quantile: float | None


def explain(
    rows: Sequence[tuple[Track, Float32Array, bool]],
    target: Float32Array,
    seeds: Sequence[Seed],
    quantiles: PairQuantiles | None,
    accepted: Sequence[Seed] = (),
) -> list[PlaylistTrack]:
    """Say of each (track, vector, is_seed) how it relates to the target, to each seed and to what was accepted.

    Args:
        rows: The list, in its order.
        target: Unit vector, shape (dim,), float32.
        seeds: In the order of the request, at least one positive.
        quantiles: Of the library.
        accepted: Tracks that the target was moved towards, too.
    """
    if not rows:
        return []
    vectors = np.stack([vector for _, vector, _ in rows])  # (rows, dim)
    to_target = cosines(vectors, target)  # (rows,)
    reasons = [*seeds, *accepted]
    to_reasons = cosines(vectors, np.stack([each.vector for each in reasons]).T)  # (rows, seeds and accepted)
    of_positive = np.where([each.weight < 0 for each in reasons], -np.inf, to_reasons)
    nearest = of_positive.argmax(axis=1)  # (rows,)
    nearest_seed = of_positive[:, : len(seeds)].argmax(axis=1)  # (rows,)
    tracks_of_seeds = library_seeds(positive(reasons))
    seed_ids = {track.track_id for track in tracks_of_seeds}
    seeds_with = Counter(tag for track in tracks_of_seeds for tag in set(track.tags))
    explained = []
    for row, (track, _, is_seed) in enumerate(rows):
        # A seed that is in the list itself shares what another one has, too.
        own = 1 if track.track_id in seed_ids else 0
        reason = reasons[nearest[row]].track
        to_nearest = float(to_reasons[row, nearest[row]])
        explained.append(
            PlaylistTrack(
                track=track,
                similarity=float(to_target[row]),
                is_seed=is_seed,
                seed_similarities=tuple(to_reasons[row, : len(seeds)].tolist()),
                shared_tags=tuple(tag for tag in track.tags if seeds_with[tag] > own),
                nearest_seed=int(nearest_seed[row]),
                nearest_track_id="" if reason is None else reason.track_id,
                nearest_similarity=to_nearest,
                quantile=None if quantiles is None else quantiles.of(to_nearest),
            )
        )
    return explained
