"""Finds a way of small steps through tracks: all its places are chosen together. Knows no library and no rule's name.

Pure numpy: no I/O, no index, no wire format.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.retriever.playlist.spacing import IntArray
from services.retriever.playlist.two_opt import Float64Array
from services.retriever.similarity import Float32Array, cosines

# A step costs its cosine distance to this power: twice as far is 256 times as dear, so that the worst one counts most.
# On 342 pieces of real music the worst step's cosine was 0.728 in the mean, 0.720 with 4; more than 0.743 cannot be.
_POWER = 8
# To be off the point of its place costs a track as much as a step of this share of that distance: enough to lead on,
# and too little to be worth a worse step (with 0.8 the mean was 0.674).
_TOLL = 0.3
# Candidates of a place at first: so many in all places together, within these bounds for each.
_CANDIDATES, _FEWEST, _MOST = 1024, 48, 256
# Of one artist no more than this share of a place's candidates, nor more than so many times `max_per_artist`: a crowd
# of its tracks hides everybody else.
_SHARE, _OF_ARTIST = 4, 4
# A way of more places is a long one; so many tracks a place stand in its row.
LONG, _IN_A_ROW = 20, 4
# Ways that are kept from place to place.
_BEAM = 64


@dataclass(frozen=True, slots=True)
class Stops:
    """What a way may lead through.

    Attributes:
        vectors: Unit vectors, shape (n, dim), float32.
        artists: Numbers of artists, shape (n,).
        nearness: Cosines of each place's point to each of them, shape (places, n), float32.
    """

    vectors: Float32Array
    artists: IntArray
    nearness: Float32Array


class SmoothWay:
    """Search for the way between two ends whose steps cost least, the worst of them most.

    Each place has the tracks nearest to its point for candidates. From the last place back to the first it is computed
    what the rest of a way costs at least (dynamic programming as in Viterbi, IEEE Trans. IT 1967), where tracks may
    come twice and an artist as often as it likes. Then the ways that promise most are led from place to place (beam
    search), where neither may. If the cheapest way of the first kind keeps the rules, it is the one that is found.

    Args:
        stops: What it may lead through.
        ends: Unit vectors of both ends, shape (2, dim), float32.
        artists: Numbers of their artists: none stands beside an end of its own.
        max_per_artist: Most tracks of one artist between the ends.
        breadth: How many times as many candidates each place has as it has at first.
    """

    def __init__(
        self, stops: Stops, ends: Float32Array, artists: tuple[int, int], max_per_artist: int, breadth: int = 1
    ) -> None:
        self._stops = stops
        self._max_per_artist = max_per_artist
        self._layers = _layers(stops, breadth * first_candidates(len(stops.nearness)), max_per_artist)
        last = len(self._layers)
        vectors = [ends[:1], *(stops.vectors[layer] for layer in self._layers), ends[1:]]
        own = [np.array(artists[:1]), *(stops.artists[layer] for layer in self._layers), np.array(artists[1:])]
        # [place]: from each candidate of the place before to each of this one, with its toll; the last is to the end.
        self._steps: list[Float64Array] = []
        for place in range(last + 1):
            apart = 1.0 - cosines(vectors[place], vectors[place + 1].T).astype(np.float64)
            step = apart.round(6).clip(0.0) ** _POWER
            step[np.equal.outer(own[place], own[place + 1])] = np.inf
            if place < last:
                step += (_TOLL * (1.0 - stops.nearness[place, self._layers[place]].astype(np.float64))) ** _POWER
            self._steps.append(step)

    def find(self, forbidden: NDArray[np.bool_]) -> IntArray | None:
        """Return the row of each place, shape (places,); None where no way was found.

        Args:
            forbidden: Which rows it must not lead through, shape (n,).
        """
        behind = self._least_behind(forbidden)
        rows = np.zeros((1, 0), np.int64)  # (ways, places)
        at = np.zeros(1, np.int64)  # which candidate of the place before each way ends at
        cost = np.zeros(1)
        taken = forbidden[np.newaxis].copy()  # (ways, stops)
        counts = np.zeros((1, int(self._stops.artists.max(initial=0)) + 1), np.int64)  # (ways, artists)
        for place, layer in enumerate(self._layers):
            artists = self._stops.artists[layer]
            total = cost[:, np.newaxis] + self._steps[place][at]
            total[taken[:, layer] | (counts[:, artists] >= self._max_per_artist)] = np.inf
            promise = (total + behind[place]).ravel()
            best = np.argsort(promise, kind="stable")[:_BEAM]
            best = best[np.isfinite(promise[best])]
            if not len(best):
                return None
            way, at = np.divmod(best, len(layer))
            cost = total[way, at]
            rows = np.column_stack([rows[way], layer[at]])
            taken, counts = taken[way], counts[way]
            taken[np.arange(len(way)), layer[at]] = True
            counts[np.arange(len(way)), artists[at]] += 1
        found: IntArray = rows[(cost + self._steps[-1][at, 0]).argmin()]
        return found

    def _least_behind(self, forbidden: NDArray[np.bool_]) -> list[Float64Array]:
        """Return for each candidate of each place what the way from there to the end costs at least."""
        behind = [self._steps[-1][:, 0]]
        for place in range(len(self._layers) - 1, 0, -1):
            ahead = np.where(forbidden[self._layers[place]], np.inf, behind[0])
            behind.insert(0, (self._steps[place] + ahead).min(axis=1))
        return behind


def first_candidates(places: int) -> int:
    """Return how many candidates a place has at first where there are so many places."""
    return min(max(_FEWEST, _CANDIDATES // max(places, 1)), _MOST)


def _layers(stops: Stops, most: int, max_per_artist: int) -> list[IntArray]:
    """Return the candidates of each place, as rows: nearest to its point or, of a long way, next to it in a row."""
    places, count = stops.nearness.shape
    if places > LONG:
        return _in_a_row(stops, most, max_per_artist)
    order = np.argsort(-stops.nearness, axis=1, kind="stable")  # (places, n), ties by row
    if count <= most:
        return list(order)
    of_artist = min(most // _SHARE, _OF_ARTIST * max_per_artist)
    return [rows[_nearer_of_artist(stops.artists[rows]) < of_artist][:most] for rows in order]


def _in_a_row(stops: Stops, most: int, max_per_artist: int) -> list[IntArray]:
    """Put the tracks that are nearest to any point in a row from end to end, and give each place its part of it.

    Points of a long way are so close together that the same few tracks are nearest to many of them: there would not be
    enough for all places.
    """
    places = len(stops.nearness)
    nearest_first = np.argsort(-stops.nearness.max(axis=0), kind="stable")
    is_spare = _nearer_of_artist(stops.artists[nearest_first]) >= max_per_artist
    kept = nearest_first[~is_spare][: _IN_A_ROW * places]
    row = kept[np.argsort(stops.nearness[-1, kept] - stops.nearness[0, kept], kind="stable")]
    width = min(most, len(row))
    firsts = np.linspace(0, len(row) - width, places).round().astype(np.int64)
    return [row[first : first + width] for first in firsts]


def _nearer_of_artist(artists: IntArray) -> IntArray:
    """Return how many of the same artist stand before each, shape (n,)."""
    by_artist = np.argsort(artists, kind="stable")
    firsts = np.flatnonzero(np.diff(artists[by_artist], prepend=-1))
    before = np.empty(len(artists), np.int64)
    before[by_artist] = np.arange(len(artists)) - np.repeat(firsts, np.diff(firsts, append=len(artists)))
    return before
