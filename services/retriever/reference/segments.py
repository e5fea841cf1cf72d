"""Compares two recordings window by window: when windows were, how alike they are, which pairs are most alike. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.retriever.similarity import Float32Array, cosines

Float64Array = NDArray[np.float64]

# Embedders drop a last part window below it where there is a full one (`min_part_seconds` of their manifests).
_MIN_PART_S = 3.0
# Lengths are counted before and after resampling.
_LENGTH_TOLERANCE_S = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The windows of a recording that are not silent, in order of time.

    Attributes:
        vectors: Shape (n, dim), float32, unit norm; n is at least 1.
        starts_s: Shape (n,), float64, seconds; None where it is not known when they were.
        ends_s: Likewise.
    """

    vectors: Float32Array
    starts_s: Float64Array | None
    ends_s: Float64Array | None


class Pair(NamedTuple):
    """A window of the reference, one of the track, by their places in `Windows`, and their cosine."""

    reference: int
    track: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """How alike two recordings are: the score of the whole, and the pairs that are most alike, best first."""

    score: float
    pairs: list[Pair]


def voiced(rows: Float32Array) -> NDArray[np.int64]:
    """Return the numbers of the rows, shape (n, dim), that are not all zeros: those of windows that were heard."""
    return np.flatnonzero(rows.any(axis=1))


def times_s(row_count: int, duration_s: float, window_s: float) -> tuple[Float64Array, Float64Array] | None:
    """Return when the rows of a track's blob start and end, both of shape (row_count,).

    Embedders write a row for every window, one after the other without overlap, so that the number of a row tells its
    time; the last one ends with the track. Earlier ones left out windows that did not vote, wherever they were: their
    blobs have fewer rows than the track has windows, and tell no times. One that lacks only a last part that is too
    short to vote tells them.

    Returns:
        None where the rows do not tell.
    """
    full = math.floor((duration_s + _LENGTH_TOLERANCE_S) / window_s)
    rest_s = duration_s - full * window_s
    counts = {full + 1} if rest_s > _LENGTH_TOLERANCE_S else {full}
    if full and rest_s < _MIN_PART_S:
        counts.add(full)
    if row_count not in counts:
        return None
    starts = np.arange(row_count, dtype=np.float64) * window_s
    ends: Float64Array = np.minimum(starts + window_s, duration_s)
    return starts, ends


def window_length_s(row_count: int, duration_s: float) -> tuple[float, float]:
    """Return between which lengths of windows a track's must lie for so many rows.

    The shortest is half of what a blob of every window says, because earlier ones left out what did not vote.
    """
    longest = duration_s / (row_count - 1) if row_count > 1 else math.inf
    return max(0.0, duration_s - _MIN_PART_S) / row_count / 2 - _LENGTH_TOLERANCE_S, longest + _LENGTH_TOLERANCE_S


def similarities(reference: Windows, tracks: Sequence[Windows]) -> list[Float32Array]:
    """Return the cosines of every window of a reference with every window of tracks, each of shape (n, windows).

    One product for all tracks: a small one of its own for each made BLAS's threads wait for each other, and took 380 to
    1,000 ms for 200 tracks of 24 windows on two busy cores; joined, reading and all takes 50.
    """
    if not tracks:
        return []
    joined = np.concatenate([track.vectors for track in tracks])  # (all windows, dim)
    ends = np.cumsum([len(track.vectors) for track in tracks])[:-1]
    return np.split(cosines(reference.vectors, joined.T), ends, axis=1)


def compare(similarities: Float32Array, seconds: Float64Array, pair_count: int) -> Comparison:
    """Compare a track with a reference by the cosines of their windows.

    Args:
        similarities: Of each window of the reference with each of the track, shape (n, m).
        seconds: How much each window of the reference counts, shape (n,), above 0.
        pair_count: Pairs wanted, at least 1.

    Returns:
        As score the mean over the reference's windows, by seconds, of the cosine to the track's nearest window. The
        pairs are taken greedily, the most alike first; no window is in two of them; ties by time.
    """
    score = float(np.average(similarities.max(axis=1), weights=seconds))
    pairs: list[Pair] = []
    free = similarities.copy()
    for _ in range(min(pair_count, *similarities.shape)):
        row, column = divmod(int(free.argmax()), free.shape[1])
        pairs.append(Pair(row, column, float(similarities[row, column])))
        free[row, :] = free[:, column] = -np.inf
    return Comparison(score, pairs)
