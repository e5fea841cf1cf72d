"""Orders chosen tracks for playing: most similar first, never one artist twice in a row where that can be avoided."""

from collections import Counter
from collections.abc import Hashable, Sequence


def arrange(artists: Sequence[Hashable], previous: Hashable | None = None) -> list[int]:
    """Order tracks greedily: at each place the best one that does not repeat the artist before it.

    A place is given to the most frequent artist instead as soon as the rest could otherwise no longer be told apart:
    of A B C C C the order is C A C B C. Where no order avoids repetitions, their number is the smallest possible.

    Args:
        artists: Whom each track counts for, best track first.
        previous: Artist of what is played before the first place.

    Returns:
        Positions in `artists`, in playing order. Among the orders without repetition, the one that puts better tracks
        earlier.
    """
    waiting = list(range(len(artists)))
    left = Counter(artists)
    order: list[int] = []
    while waiting:
        artist_of_next = _must_be_next(left, len(waiting), previous)
        if artist_of_next is not None:
            chosen = next(position for position in waiting if artists[position] == artist_of_next)
        else:
            chosen = next((position for position in waiting if artists[position] != previous), waiting[0])
        waiting.remove(chosen)
        order.append(chosen)
        previous = artists[chosen]
        left[previous] -= 1
    return order


def repetitions(artists: Sequence[Hashable], previous: Hashable | None = None) -> int:
    """Count the places where an artist follows itself, in playing order."""
    return sum(one == other for one, other in zip([previous, *artists], artists, strict=False))


def _must_be_next(left: Counter[Hashable], places: int, previous: Hashable | None) -> Hashable | None:
    """Return the artist who needs every second place from here on, None if nobody does."""
    artist, count = left.most_common(1)[0]
    return artist if count > places // 2 and artist != previous else None
