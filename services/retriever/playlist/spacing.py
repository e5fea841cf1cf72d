"""Keeps the tracks of an artist apart: how many places it can have, and which order spaces them. Knows no sound."""

from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

# Of the positions that may come next, best track first, and the order so far: the one to take.
Prefer = Callable[[IntArray, list[int]], int]


class Room:
    """How many tracks of each artist fit in a playlist when none may come twice within a window.

    An artist can stand at every window-th place: ⌈length / window⌉ times, and only as many artists so often as the
    last, broken window has places. Who is played right before the first place or right after the last one must keep
    away from it, and so has fewer.

    Args:
        length: Places.
        window: Places within which no artist comes twice, at least 1.
        previous: Artists of what is played before the first place, in playing order.
        following: Artists of what is played after the last place, in playing order.
    """

    def __init__(
        self, length: int, window: int, previous: Sequence[Hashable] = (), following: Sequence[Hashable] = ()
    ) -> None:
        self._length = length
        self._window = window
        self._most = -(-length // window)
        self._most_often = length - window * (self._most - 1)
        # Places at either end that are too near to what is played there.
        self._kept_free = Counter(waits(previous, window)) + Counter(waits(following[::-1], window))
        self._taken: Counter[Hashable] = Counter()
        self._at_most = 0

    def has(self, artist: Hashable) -> bool:
        """Say whether there is a place for another track of an artist."""
        wanted = self._taken[artist] + 1
        if wanted > -(-(self._length - self._kept_free[artist]) // self._window):
            return False
        return wanted < self._most or self._at_most < self._most_often

    def take(self, artist: Hashable) -> None:
        """Give a place to an artist."""
        self._taken[artist] += 1
        self._at_most += self._taken[artist] == self._most


def waits(previous: Sequence[Hashable], window: int) -> dict[Hashable, int]:
    """Return how many places each artist has to wait who was played within the window before the first place."""
    recent = previous[max(0, len(previous) - window + 1) :]
    return {artist: window - (len(recent) - at) for at, artist in enumerate(recent)}


def space(artists: Sequence[Hashable], window: int, previous: Sequence[Hashable], prefer: Prefer) -> list[int]:
    """Order tracks greedily: at each place the preferred one whose artist is not within the window before it.

    A place is given to the artists with most tracks left as soon as the rest could otherwise no longer be kept apart:
    of A B C C C the order is C A C B C. Where there is an order without repetitions it is found, and within a window of
    2 no order has fewer; within a wider one that cannot be kept, there may be more than the fewest. Where nothing else
    is left, the artist comes who was played longest ago.

    Args:
        artists: Whom each track counts for, best track first.
        window: Places within which no artist should come twice.
        previous: Artists of what is played before the first place.
        prefer: Chooses among positions that may come next.

    Returns:
        Positions in `artists`, in playing order.
    """
    number = numbered(artists)  # (tracks,)
    wait = waits(previous, window)
    # By artist: the first place that it may have, tracks left; and how many artists have at least so many left.
    ready_at = np.array([wait.get(artist, 0) for artist in dict.fromkeys(artists)], np.int64)
    left = np.bincount(number)
    with_more = [int((left >= count).sum()) for count in range(left.max(initial=0) + 2)]
    waiting = np.arange(len(artists))
    order: list[int] = []
    while len(waiting):
        ready = ready_at[number[waiting]]
        may_come = waiting[ready <= len(order)]
        if not len(may_come):
            may_come = waiting[ready == ready.min()]
        elif (needed := _left_of_pressing(with_more, len(waiting), window)) > 1:
            pressing = may_come[left[number[may_come]] >= needed]
            may_come = pressing if len(pressing) else may_come
        chosen = prefer(may_come, order)
        artist = number[chosen]
        with_more[left[artist]] -= 1
        left[artist] -= 1
        ready_at[artist] = len(order) + window
        order.append(chosen)
        waiting = waiting[waiting != chosen]
    return order


def repetitions(artists: Sequence[Hashable], window: int = 2, previous: Sequence[Hashable] = ()) -> int:
    """Count the places whose artist came within the window before, in playing order."""
    recent = deque(previous[max(0, len(previous) - window + 1) :], maxlen=window - 1)
    count = 0
    for artist in artists:
        count += artist in recent
        recent.append(artist)
    return count


def numbered(artists: Sequence[Hashable]) -> IntArray:
    """Return a number for each place, shape (n,), equal where the artist is; they count from 0 as artists appear."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(artist, len(numbers)) for artist in artists], dtype=np.int64)


def _left_of_pressing(with_more: Sequence[int], places: int, window: int) -> int:
    """Return how many tracks an artist must have left to get the next place; 1 where everybody may.

    The last track of an artist may stand at the last place, the one before it a window earlier, and so on: all tracks
    but the last k of each artist must fit before the k-th window from the end. Where they just fill it, or no longer
    fit, one of them comes next.

    Args:
        with_more: By number of tracks, how many artists have at least so many left.
        places: That are left.
        window: As in `space`.
    """
    behind = 0
    for k in range(len(with_more) - 2, 0, -1):
        behind += with_more[k + 1]  # tracks but the last k of each artist
        if behind and behind >= places - k * window:
            return k + 1
    return 1
