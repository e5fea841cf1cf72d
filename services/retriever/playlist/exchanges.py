"""Brings tracks to the places that they are meant for by exchanging pairs of them, as far as a rule allows."""

from collections.abc import Callable, Sequence

import numpy as np

from services.retriever.playlist.spacing import IntArray
from services.retriever.playlist.two_opt import Float64Array

_LEAST_GAIN = 1e-9
# The rule is asked so often at most, a few hundredths of a second for 500 tracks.
_MAX_TRIES = 2000
_MAX_SWEEPS = 40


def exchange(order: Sequence[int], misfits: Float64Array, breaks: Callable[[IntArray], int]) -> list[int]:
    """Exchange pairs of tracks: first until the rule holds, each time the pair that costs least, then for a better fit.

    Args:
        order: Tracks, in playing order.
        misfits: What each track costs at each place, shape (n, n), at least 0.
        breaks: Counts how often an order breaks a rule.

    Returns:
        An order that breaks the rule no more often than before and, where it broke it as often, costs no more.
    """
    way = np.array(order, np.int64)
    broken = breaks(way)
    tries = _MAX_TRIES
    for mends in (True, False):
        for _ in range(_MAX_SWEEPS):
            before = way
            if mends and not broken:
                break
            for one, other in _pairs(way, misfits, only_gainful=not mends)[:tries].tolist():
                # Worth less than it was when it was put in order: another pair was exchanged meanwhile.
                if not mends and _gain(way, misfits, one, other) <= _LEAST_GAIN:
                    continue
                turned = way.copy()
                turned[[one, other]] = way[[other, one]]
                broken_then = breaks(turned)
                tries -= 1
                if broken_then < broken or (not mends and broken_then == broken):
                    way, broken = turned, broken_then
                    if mends:
                        break
            if way is before:
                break
    return [int(track) for track in way]


def _pairs(way: IntArray, misfits: Float64Array, *, only_gainful: bool) -> IntArray:
    """Return the pairs of places whose tracks may be exchanged, shape (pairs, 2), those that gain most first."""
    at = misfits[way]  # [place, other place]: what the track of one place costs at the other
    own = np.diagonal(at)
    change = at + at.T - own - own[:, np.newaxis]
    one, other = np.triu_indices(len(way), 1)
    costs = change[one, other]
    if only_gainful:
        is_gainful = costs < -_LEAST_GAIN
        one, other, costs = one[is_gainful], other[is_gainful], costs[is_gainful]
    best = np.argsort(costs, kind="stable")
    pairs: IntArray = np.stack([one[best], other[best]], axis=1)
    return pairs


def _gain(way: IntArray, misfits: Float64Array, one: int, other: int) -> float:
    first, second = way[one], way[other]
    now = misfits[first, one] + misfits[second, other]
    return float(now - misfits[first, other] - misfits[second, one])
