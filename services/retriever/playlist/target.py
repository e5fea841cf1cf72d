"""Where to look: the point on the sphere of sounds whose neighbours become candidates. Chooses nothing.

seeds ──blend──▶ their middle ──tilt──▶ a little towards somebody's taste
playlist, accepted, rejected ──move──▶ the middle of a playlist after what its owner thought of suggestions
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.retriever.errors import SeedsCancel
from services.retriever.playlist.recipe import Seed, positive
from services.retriever.similarity import Float32Array

# A mean shorter than this is the noise of vectors that point in opposite directions.
SHORTEST_MEAN = 1e-3

# Weights of the playlist, of what was accepted and of what was rejected: those that Manning, Raghavan, Schütze,
# "Introduction to Information Retrieval" (2008), §9.1.1 call reasonable for the formula of Rocchio (1971).
ROCCHIO_PLAYLIST = 1.0
ROCCHIO_ACCEPTED = 0.75
ROCCHIO_REJECTED = 0.15


class TasteVectors(Protocol):
    """Where people's taste is known."""

    def of(self, profile_id: str) -> Float32Array | None:
        """Return somebody's taste, a unit vector of shape (dim,), float32; None for whom nothing is known."""
        ...


def blend(seeds: Sequence[Seed], *, weigh_agreement: bool = False) -> Float32Array:
    """Return the weighted mean of the positive seeds as a unit vector, shape (dim,), float32.

    Args:
        seeds: At least one positive one.
        weigh_agreement: With two positive seeds or more, multiply each dimension of the mean by its `agreement`.

    Raises:
        SeedsCancel: The mean is shorter than 0.001.
    """
    wanted = positive(seeds)
    weights = np.array([seed.weight for seed in wanted], dtype=np.float64)
    weights /= weights.sum()
    vectors = np.stack([seed.vector for seed in wanted]).astype(np.float64)  # (seeds, dim)
    mean = weights @ vectors  # (dim,)
    length = float(np.linalg.norm(mean))
    if length < SHORTEST_MEAN:
        raise SeedsCancel(length, SHORTEST_MEAN)
    if weigh_agreement and len(wanted) > 1:
        mean *= agreement(vectors, weights)
    return _unit(mean)


def agreement(vectors: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much each dimension counts, by how much the seeds agree on it; shape (dim,), mean 1.

    The weight of dimension d is 1 / (v_d + v̄), with v_d the weighted variance of the seeds there and v̄ the mean of all
    v_d; then all are divided by their mean. Weights of 1 / v_d are those of MindReader (Ishikawa, Subramanya,
    Faloutsos, VLDB 1998), there proven best for a diagonal distance. Adding v̄ is ours: few seeds agree on some
    dimension by accident, which would weigh without end; with it none weighs more than 2.

    Args:
        vectors: Of the seeds, shape (seeds, dim), float64.
        weights: Of the seeds, shape (seeds,), their sum 1.
    """
    variances = weights @ (vectors - weights @ vectors) ** 2  # (dim,)
    average = float(variances.mean())
    if average == 0:
        return np.ones(vectors.shape[1])
    inverse: NDArray[np.float64] = 1 / (variances + average)
    inverse /= inverse.mean()
    return inverse


def tilt(target: Float32Array, taste: Float32Array | None, weight: float) -> Float32Array:
    """Return a target moved towards somebody's taste: (1 − weight) · target + weight · taste, normalised.

    Args:
        target: Unit vector, shape (dim,), float32.
        taste: Unit vector, shape (dim,), float32; None moves nothing.
        weight: 0 to 1.

    Raises:
        SeedsCancel: Target and taste point in opposite directions.
    """
    if taste is None or weight == 0:
        return target
    return _checked((1 - weight) * target.astype(np.float64) + weight * taste)


def move(playlist: Float32Array, accepted: Float32Array, rejected: Float32Array) -> Float32Array:
    """Return where a playlist goes on: its mean + 0.75 × the mean of what was accepted − 0.15 × that of the rejected.

    Args:
        playlist: Unit vectors, shape (n, dim), float32, n ≥ 1.
        accepted: Unit vectors, shape (m, dim); m may be 0, and then has no part.
        rejected: Likewise.

    Returns:
        Unit vector, shape (dim,), float32.

    Raises:
        SeedsCancel: The sum is shorter than 0.001.
    """
    moved = ROCCHIO_PLAYLIST * playlist.mean(axis=0, dtype=np.float64)
    if len(accepted):
        moved += ROCCHIO_ACCEPTED * accepted.mean(axis=0, dtype=np.float64)
    if len(rejected):
        moved -= ROCCHIO_REJECTED * rejected.mean(axis=0, dtype=np.float64)
    return _checked(moved)


def _checked(sum_: NDArray[np.float64]) -> Float32Array:
    length = float(np.linalg.norm(sum_))
    if length < SHORTEST_MEAN:
        raise SeedsCancel(length, SHORTEST_MEAN)
    return _unit(sum_)


def _unit(vector: NDArray[np.float64]) -> Float32Array:
    unit: Float32Array = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit
