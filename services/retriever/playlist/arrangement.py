"""Orders chosen tracks for playing: as a flow, by similarity, or along an arc of energy; artists are kept apart.

Every order begins greedily, place by place, and never breaks the artists' window where that can be avoided.
"""

from collections.abc import Hashable, Sequence

import numpy as np

from services.retriever.playlist.exchanges import exchange
from services.retriever.playlist.spacing import IntArray, numbered, space
from services.retriever.playlist.two_opt import Float64Array, length, shorten
from services.retriever.similarity import Float32Array

# What it costs of a flow that a track of similarity 1 comes last instead of first, as cosine distance. On 342 pieces of
# real music it makes steps 2 % longer, and the rank correlation of place and similarity −0.57 instead of −0.25.
_DRIFT = 1.0


def by_similarity(artists: Sequence[Hashable], window: int = 2, previous: Sequence[Hashable] = ()) -> list[int]:
    """Order tracks best first: at each place the best one whose artist is not within the window before it.

    Args:
        artists: Whom each track counts for, best track first.
        window: Places within which no artist should come twice.
        previous: Artists of what is played before the first place.

    Returns:
        Positions in `artists`, in playing order. Among the orders without repetition, the one that puts better tracks
        earlier.
    """
    return space(artists, window, previous, lambda allowed, _: int(allowed[0]))


def by_flow(
    vectors: Float32Array,
    artists: Sequence[Hashable],
    window: int = 2,
    previous: Sequence[Hashable] = (),
    before: Float32Array | None = None,
    similarities: Sequence[float] | None = None,
) -> list[int]:
    """Order tracks so that each is followed by one that sounds near it: greedily, then by 2-opt.

    The way is the sum of cosine distances from track to track. It begins at what is played before, else at the best
    track that may stand first. A flow that goes where it likes soon leaves what it began with and comes back late:
    where similarities are given, each track's similarity × the share of the list that is played before it counts as
    length, too. In this sense the way is at most as long as that of the order by similarity, which is shortened
    instead where greed led astray.

    Args:
        vectors: Unit vectors, shape (n, dim), float32, best track first.
        artists: Whom each track counts for.
        window: Places within which no artist should come twice; never broken for a shorter way.
        previous: Artists of what is played before the first place.
        before: Sound of what is played right before the first place, shape (dim,).
        similarities: Cosines to what the list should be like; None lets no track hurry.

    Returns:
        Positions in `vectors`, in playing order.
    """
    if len(artists) < 2:
        return list(range(len(artists)))
    distances, begin = _distances(vectors, before)
    breaks = RepetitionCounter(artists, window, previous)
    haste = np.zeros(len(distances))
    if similarities is not None:
        haste[: len(artists)] = _DRIFT / len(artists) * np.array(similarities)

    def nearest(allowed: IntArray, order: list[int]) -> int:
        last = order[-1:] or begin
        return int(allowed[distances[last[0], allowed].argmin()] if last else allowed[0])

    def worth(way: list[int]) -> tuple[int, float]:
        return breaks(np.array(way)), round(length(way, distances) + float(haste[way] @ np.arange(len(way))), 6)

    way = shorten(begin + space(artists, window, previous, nearest), distances, breaks, haste=haste)
    plain = begin + by_similarity(artists, window, previous)
    if worth(plain) < worth(way):  # seldom
        way = shorten(plain, distances, breaks, haste=haste)
    return way[len(begin) :]


def by_energy(
    energies: Sequence[float | None],
    arc: Sequence[float],
    vectors: Float32Array,
    artists: Sequence[Hashable],
    window: int = 2,
    previous: Sequence[Hashable] = (),
    before: Float32Array | None = None,
) -> list[int]:
    """Order tracks so that their energy rises and falls as an arc does.

    The calmest track goes to the place where the arc is lowest, and so on: of all orders this one has the smallest sum
    of differences to the arc, and it keeps the arc's shape where the tracks are all calm or all intense. Artists are
    then kept apart by exchanges of two tracks that bend the arc as little as possible; of tracks of equal energy the
    one comes next that sounds nearest to the track before it. A track whose energy is unknown counts as much as the one
    that sounds nearest to it; where no energy is known the order is a flow.

    Args:
        energies: 0 to 1, None where unknown.
        arc: Energy from the first place to the last, joined by straight lines.
        vectors: Unit vectors, shape (n, dim), float32.
        artists: Whom each track counts for.
        window: Places within which no artist should come twice.
        previous: Artists of what is played before the first place.
        before: Sound of what is played right before the first place, shape (dim,).

    Returns:
        Positions in `energies`, in playing order.
    """
    if all(energy is None for energy in energies):
        return by_flow(vectors, artists, window, previous, before)
    distances, begin = _distances(vectors, before)
    energy = _completed(energies, distances)
    count = len(energies)
    arc_at_places = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(arc)), arc)
    meant = np.empty(count)
    meant[np.argsort(arc_at_places, kind="stable")] = np.sort(energy)

    def fitting(allowed: IntArray, order: list[int]) -> int:
        misfit = np.abs(energy[allowed] - meant[len(order)])
        last = order[-1:] or begin
        step = distances[last[0], allowed] if last else np.zeros(len(allowed))
        return int(allowed[np.lexsort((step, misfit))[0]])

    misfits = (energy[:, np.newaxis] - meant) ** 2  # (tracks, places)
    breaks = RepetitionCounter(artists, window, previous)
    # An order that keeps artists apart; and the arc without regard to them, which is mostly near to the best one.
    starts = [space(artists, each, previous, fitting) for each in dict.fromkeys((window, 1))]
    ways = [exchange(start, misfits, breaks) for start in starts]
    return min(ways, key=lambda way: (breaks(np.array(way)), round(float(misfits[way, range(count)].sum()), 9)))


def cosine_distances(vectors: Float32Array) -> Float64Array:
    """Return 1 − cosine of all pairs of unit vectors, shape (n, n), float64, to six decimals, at least 0."""
    distances: Float64Array = (1.0 - (vectors @ vectors.T).astype(np.float64)).clip(0.0).round(6)
    return distances


class RepetitionCounter:
    """Counts repetitions as `spacing.repetitions` does, fast enough to be asked for every turn of 2-opt.

    A stop beyond the artists is what is played before, and counts for nobody.
    """

    def __init__(self, artists: Sequence[Hashable], window: int, previous: Sequence[Hashable] = ()) -> None:
        recent = previous[max(0, len(previous) - window + 1) :]
        together = numbered([*recent, *artists]).astype(np.uint16)  # whose sort is the fastest
        self._recent, self._artists = together[: len(recent)], together[len(recent) :]
        self._window = window

    def __call__(self, order: IntArray) -> int:
        """Return how many places have an artist that came within the window before."""
        if self._window < 2:
            return 0
        played = np.concatenate([self._recent, self._artists[order[order < len(self._artists)]]])
        by_artist = np.argsort(played, kind="stable")  # all places of an artist, then those of the next
        artist = played[by_artist]
        is_repeated = (artist[1:] == artist[:-1]) & (np.diff(by_artist) < self._window)
        return int((by_artist[1:][is_repeated] >= len(self._recent)).sum())


def _distances(vectors: Float32Array, before: Float32Array | None) -> tuple[Float64Array, list[int]]:
    """Return the distances of all stops, and where the way begins: at the last stop, which is what is played before."""
    if before is None:
        return cosine_distances(vectors), []
    return cosine_distances(np.concatenate([vectors, before[np.newaxis]])), [len(vectors)]


def _completed(energies: Sequence[float | None], distances: Float64Array) -> Float64Array:
    """Give each track of unknown energy that of the nearest one of known energy."""
    known = [position for position, energy in enumerate(energies) if energy is not None]
    # The log promises 0 to 1, and nobody checks it; beyond, differences could overflow.
    of_known = np.array([energy for energy in energies if energy is not None], dtype=np.float64).clip(0.0, 1.0)
    completed: Float64Array = of_known[distances[: len(energies), known].argmin(axis=1)]
    completed[known] = of_known
    return completed
