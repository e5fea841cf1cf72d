"""Notes which tracks or profiles have changed, for those who compute from them; knows neither."""

# Tracks beyond which computing everything anew costs less than asking who is concerned.
_MOST_TRACKS = 10_000


class Touched:
    """Ids that were added, changed or removed since somebody took the notes. Used by one thread.

    Args:
        most: More than so many are all.
    """

    def __init__(self, most: int = _MOST_TRACKS) -> None:
        self._most = most
        self._ids: set[str] | None = set()

    def note(self, name: str) -> None:
        """Note an id."""
        if self._ids is not None:
            self._ids.add(name)
            if len(self._ids) > self._most:
                self.note_all()

    def note_all(self) -> None:
        """Note that nothing may be as it was."""
        self._ids = None

    def take(self) -> set[str] | None:
        """Return what was noted and begin anew; None means all."""
        taken, self._ids = self._ids, set()
        return taken


def joined(one: set[str] | None, other: set[str] | None) -> set[str] | None:
    """Return what stands in one of two notes; None means all."""
    return None if one is None or other is None else one | other
