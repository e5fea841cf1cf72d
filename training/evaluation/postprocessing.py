"""Changes the vectors of any encoder after the fact: centring, sharpening, whitening, powers, two side by side.

Statistics come from the windows of the soundtracks that train; each track weighs the same, however long. Which change
to take is chosen by what the validation part asks, whose soundtracks are in no statistics; the test part chooses
nothing. What is fitted is applied to windows, before they are pooled, as an embedder would.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.embedder.model import Float32Array, centre, unit
from training.evaluation.embedding import TrackVectors

Float64Array = NDArray[np.float64]
Change = Callable[[Float32Array], Float32Array]

# Share of a sphere in the covariance: directions that a few soundtracks hardly use are not blown up.
SHRINKAGE = 0.1
# Power of the variance that directions are stretched by.
SHARPNESS = 0.125
_SMALLEST_DEVIATION = 1e-8
# As a share of the widest direction's: a direction that little music has shown nothing of is not lost.
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Statistics:
    """Moments of windows' unit vectors.

    Attributes:
        mean: Shape (dim,), float64.
        covariance: Shape (dim, dim), float64.
    """

    mean: Float64Array
    covariance: Float64Array


@dataclass(frozen=True, slots=True)
class Sharpening:
    """A change that makes what music differs in most count more; the embedder's head and centring can be it.

    Attributes:
        matrix: Shape (dim, dim), float32, symmetric.
        mean: Of changed unit vectors, shape (dim,), float32.
    """

    matrix: Float32Array
    mean: Float32Array

    def __call__(self, vectors: Float32Array) -> Float32Array:
        """Change vectors of any norm to unit ones, shape (n, dim)."""
        return centre(vectors @ self.matrix, self.mean)


def measure(windows: Sequence[Float32Array]) -> Statistics:
    """Measure the windows of tracks, each track with the same weight.

    Args:
        windows: Unit vectors of each track, shape (its windows, dim).

    Raises:
        ValueError: There are no tracks.
    """
    if not windows:
        raise ValueError("no tracks to take statistics of")
    rows = np.concatenate(windows).astype(np.float64)  # (n, dim)
    weights = np.concatenate([np.full(len(of_track), 1 / len(of_track)) for of_track in windows])
    weights /= weights.sum()
    mean = weights @ rows
    rest = rows - mean
    return Statistics(mean, rest.T @ (weights[:, None] * rest))


def sharpening(windows: Sequence[Float32Array], exponent: float = SHARPNESS) -> Sharpening:
    """Stretch each principal direction by a power of its variance, the opposite of whitening.

    Wide directions hold what kinds of music differ in; narrow ones what is peculiar to a track, and what a student
    could not learn. Latent semantic analysis does the same with powers of its singular values (Caron 2001, "Experiments
    with LSA scoring: optimal rank and basis").

    Args:
        windows: Unit vectors of each track to measure, shape (its windows, dim).
        exponent: Of the variance; 0 changes nothing, 0.5 multiplies by the standard deviation.
    """
    values, directions = np.linalg.eigh(measure(windows).covariance)
    widest = max(values[-1], _SMALLEST_DEVIATION**2)
    values = np.maximum(values / widest, _LEAST_VARIANCE)
    # Turned back, so that numbers keep their meaning and scale: by principal direction most of them would be noise to
    # whoever standardises them.
    matrix = ((directions * values**exponent) @ directions.T).astype(np.float32)
    return Sharpening(matrix, measure([unit(of_track @ matrix) for of_track in windows]).mean.astype(np.float32))


def centring(statistics: Statistics) -> Change:
    """Subtract the mean; what `centre` does with a manifest's tensor."""
    mean = statistics.mean.astype(np.float32)
    return lambda vectors: centre(vectors, mean)


def standardising(statistics: Statistics) -> Change:
    """Give every dimension mean 0 and deviation 1 (z-scores)."""
    deviation = np.sqrt(np.diag(statistics.covariance))
    scale = np.where(deviation > _SMALLEST_DEVIATION, 1 / np.maximum(deviation, _SMALLEST_DEVIATION), 0.0)
    return lambda vectors: unit(((vectors - statistics.mean) * scale).astype(np.float32))


def whitening(statistics: Statistics, shrinkage: float = SHRINKAGE) -> Change:
    """Give every direction the same variance, of a covariance that is shrunk towards a sphere (Ledoit & Wolf 2004)."""
    dim = len(statistics.mean)
    sphere = np.trace(statistics.covariance) / dim * np.eye(dim)
    values, directions = np.linalg.eigh((1 - shrinkage) * statistics.covariance + shrinkage * sphere)
    matrix = directions / np.sqrt(np.maximum(values, _SMALLEST_DEVIATION**2))  # (dim, dim)
    return lambda vectors: unit(((vectors - statistics.mean) @ matrix).astype(np.float32))


def power(exponent: float) -> Change:
    """Raise each number's size to a power and keep its sign, which tames a few large dimensions."""
    return lambda vectors: unit((np.sign(vectors) * np.abs(vectors) ** exponent).astype(np.float32))


def pooled(tracks: Sequence[TrackVectors], change: Change | None = None) -> Float32Array:
    """Return the tracks' vectors, shape (n, dim), float32, unit norm; each window is changed before they are pooled."""
    windows = [track.windows for track in tracks]
    if change is not None:
        ends = np.cumsum([len(of_track) for of_track in windows])
        windows = np.split(change(np.concatenate(windows)), ends[:-1])
    return np.stack(
        [track.aggregator.aggregate(of_track, track.seconds) for of_track, track in zip(windows, tracks, strict=True)]
    )


def fuse(first: Float32Array, second: Float32Array, share: float = 0.5) -> Float32Array:
    """Put two encoders' vectors of the same tracks side by side; the cosine is then the weighted mean of theirs.

    Args:
        first: Shape (n, dim).
        second: Shape (n, other dim).
        share: Of the first in the cosine, in [0, 1].
    """
    return unit(np.concatenate([np.sqrt(share) * unit(first), np.sqrt(1 - share) * unit(second)], axis=1))
