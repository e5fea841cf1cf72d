"""What somebody asks for: seeds and a recipe, and the target in the middle of the seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.retriever.errors import SeedsCancel
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

# A mean shorter than this is the noise of vectors that point in opposite directions.
SHORTEST_MEAN = 1e-3


@dataclass(frozen=True, slots=True)
class Seed:
    """A sound that the playlist starts from.

    Attributes:
        vector: Unit norm, shape (dim,), float32.
        weight: How much it counts, above 0.
        track: The track, for a seed of the library.
        audio_hash: Encoded audio of an upload; 32 bytes or empty.
    """

    vector: Float32Array
    weight: float = 1.0
    track: Track | None = None
    audio_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to choose.

    Attributes:
        length: Tracks wanted beside the seeds.
        max_per_artist: Most tracks of one `Track.artist_key`, seeds of the library included.
        include_seed: Puts the seeds of the library first.
        min_similarity: Lowest cosine to the target; None takes all.
        excluded: Ids that must not be chosen.
    """

    length: int = 25
    max_per_artist: int = 3
    include_seed: bool = False
    min_similarity: float | None = None
    excluded: frozenset[str] = frozenset()


def blend(seeds: Sequence[Seed]) -> Float32Array:
    """Return the weighted mean of the seeds as a unit vector, shape (dim,), float32.

    Raises:
        SeedsCancel: The mean is shorter than 0.001.
    """
    weights = np.array([seed.weight for seed in seeds], dtype=np.float64)
    mean = (weights / weights.sum()) @ np.stack([seed.vector for seed in seeds]).astype(np.float64)  # (dim,)
    length = float(np.linalg.norm(mean))
    if length < SHORTEST_MEAN:
        raise SeedsCancel(length, SHORTEST_MEAN)
    target: Float32Array = (mean / length).astype(np.float32)
    return target


def library_seeds(seeds: Sequence[Seed]) -> list[Track]:
    """Return the tracks among the seeds, each once, in order."""
    return list({seed.track.track_id: seed.track for seed in seeds if seed.track is not None}.values())
