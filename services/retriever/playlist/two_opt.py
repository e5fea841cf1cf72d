"""Shortens the way through tracks by turning parts of it round."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from services.retriever.playlist.spacing import IntArray

Float64Array = NDArray[np.float64]

_LEAST_GAIN = 1e-6
_MAX_SWEEPS = 30
# Of the turns that begin at one place, so many are tried against the rule that must hold.
_MAX_TRIES = 8


def shorten(
    order: Sequence[int],
    distances: Float64Array,
    breaks: Callable[[IntArray], int],
    *,
    is_last_fixed: bool = False,
    haste: Float64Array | None = None,
) -> list[int]:
    """Shorten a way by 2-opt (Croes, "A method for solving traveling-salesman problems", 1958).

    Takes two steps of the way out and joins the ends the other way round, which turns the part between them, as long as
    that makes the way shorter by more than 1e-6; at most 30 sweeps. The first stop stays.

    Args:
        order: Stops, as rows of `distances`.
        distances: Shape (n, n), symmetric, at least 0.
        breaks: Counts how often an order breaks a rule; no turn may raise it.
        is_last_fixed: Whether the last stop stays, too.
        haste: What each stop costs for each place that it comes later, shape (n,); counts as length. None: nothing.

    Returns:
        The stops in an order that is no longer than before and breaks the rule no more often.
    """
    way = np.array(order, dtype=np.int64)
    haste = np.zeros(len(distances)) if haste is None else haste
    ends = len(way) - 1 - is_last_fixed  # the last place that a turned part may end at
    broken = breaks(way)
    for _ in range(_MAX_SWEEPS):
        before = way
        for start in _gainful_starts(way, distances, ends, haste):
            for stop in _gainful_stops(way, distances, start, ends, haste):
                turned = way.copy()
                turned[start : stop + 1] = way[start : stop + 1][::-1]
                broken_then = breaks(turned)
                if broken_then <= broken:
                    way, broken = turned, broken_then
                    break
        if way is before:
            break
    return [int(stop) for stop in way]


def length(order: Sequence[int], distances: Float64Array) -> float:
    """Return the length of a way: the sum of its steps."""
    return float(distances[order[:-1], order[1:]].sum()) if len(order) > 1 else 0.0


def _gainful_starts(way: IntArray, distances: Float64Array, ends: int, haste: Float64Array) -> list[int]:
    """Return where a turned part may begin so that the way gets shorter, whatever the rule says about it."""
    if len(way) < 3:
        return []
    between = distances[np.ix_(way, way)]  # (places, places)
    steps = np.diagonal(between, 1)
    # [start − 1, stop − 1]: the two steps that come less the two that go. Nothing follows the last stop.
    change = between[:-1, 1:] - steps[:, np.newaxis]
    change[:, :-1] += between[1:, 2:] - steps[1:]
    if haste.any():
        places = np.arange(1, len(way))
        sums, moments = _sums(haste[way], 1)
        change += np.add.outer(places, places) * (sums[1:] - sums[:-1, np.newaxis])
        change -= 2 * (moments[1:] - moments[:-1, np.newaxis])
    is_gainful = np.triu(change[:, :ends], 1) < -_LEAST_GAIN
    return [int(row) + 1 for row in np.flatnonzero(is_gainful.any(axis=1))]


def _gainful_stops(way: IntArray, distances: Float64Array, start: int, ends: int, haste: Float64Array) -> list[int]:
    """Return where a turned part that begins at `start` may end so that the way gets shorter, the best first."""
    before, first = way[start - 1], way[start]
    lasts = way[start + 1 : ends + 1]
    nexts = way[start + 2 : ends + 2]  # one shorter where the last stop is free: nothing comes after it
    change = distances[before, lasts] - distances[before, first]
    change[: len(nexts)] += distances[first, nexts] - distances[lasts[: len(nexts)], nexts]
    if haste.any():
        sums, moments = _sums(haste[way[: ends + 1]], start)
        change += (start + np.arange(start + 1, ends + 1)) * sums[2:] - 2 * moments[2:]
    gainful = np.flatnonzero(change < -_LEAST_GAIN)
    best = gainful[np.argsort(change[gainful], kind="stable")][:_MAX_TRIES]
    return [start + 1 + int(row) for row in best]


def _sums(haste: Float64Array, start: int) -> tuple[Float64Array, Float64Array]:
    """Return Σ haste and Σ haste · place of the parts from place `start` on, by length: 0, 1, … stops.

    A stop at place p of a part from i to j comes to i + j − p when that is turned: the part costs (i + j) Σ haste −
    2 Σ haste · place more than before.
    """
    places = np.arange(start, len(haste))
    return np.append(0.0, np.cumsum(haste[start:])), np.append(0.0, np.cumsum(haste[start:] * places))
