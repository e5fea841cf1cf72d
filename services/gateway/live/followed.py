"""Whom a person follows, small enough to be kept for each open feed: eight bytes for each of at most some thousands."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable


class Followed:
    """A set of people that may take somebody for one of them who is not: once in 2^62.

    What it lets pass is asked of social before it is shown, so a mistake shows nobody anything.
    """

    __slots__ = ("_marks",)

    def __init__(self, user_ids: Iterable[str] = ()) -> None:
        self._marks = array("Q", sorted({_mark(user_id) for user_id in user_ids}))

    def __contains__(self, user_id: str) -> bool:
        mark = _mark(user_id)
        place = bisect_left(self._marks, mark)
        return place < len(self._marks) and self._marks[place] == mark

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, user_id: str) -> None:
        """Add a person; who is in it already stays."""
        mark = _mark(user_id)
        place = bisect_left(self._marks, mark)
        if place == len(self._marks) or self._marks[place] != mark:
            self._marks.insert(place, mark)

    def discard(self, user_id: str) -> None:
        """Take a person out, if they are in it."""
        mark = _mark(user_id)
        place = bisect_left(self._marks, mark)
        if place < len(self._marks) and self._marks[place] == mark:
            del self._marks[place]


def _mark(user_id: str) -> int:
    """Return the last eight bytes of a UUIDv7, of which 62 bits are random (RFC 9562, section 5.7)."""
    return int(user_id[19:23] + user_id[24:], 16)
