"""Which track of the library a row of a file means."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from services.social.domain.folding import folded, sort_name
from services.social.domain.ids import TrackId
from services.social.domain.search_names import key_of
from services.social.exchange.rows import FileRow

# As far as two lengths of one recording lie apart in headers and other programs' figures.
LENGTH_TOLERANCE_S = 3.0


class Way(IntEnum):
    """By what a track was found; the lowest that finds any is believed."""

    RECORDING = 0
    ISRC = 1
    NAME = 2


class Unmatched(StrEnum):
    """Why a row has no track."""

    NO_TRACK_FOUND = "NO_TRACK_FOUND"
    AMBIGUOUS = "AMBIGUOUS"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A track that a row may mean.

    Attributes:
        way: How it was found.
        track_id: The track.
        album: Its album.
        seconds: Its length.
        identity: The same for files of one recording, as far as that is known.
    """

    way: Way
    track_id: TrackId
    album: str
    seconds: float
    identity: str


def names_of(row: FileRow) -> list[tuple[str, str]]:
    """Return folded pairs of title and artist by which to look a row up.

    A title alone says too little, unless there is a length with it.
    """
    pairs = [(sort_name(title), key_of(artist)) for title, artist in row.readings]
    return [(title, artist) for title, artist in dict.fromkeys(pairs) if title and (artist or row.seconds)]


def chosen(row: FileRow, candidates: Sequence[Candidate]) -> TrackId | Unmatched:
    """Return the track that a row means: that of its recording, else the only one of its name; the nearest in length.

    Args:
        row: Of the file.
        candidates: Tracks that were found for it.
    """
    if not candidates:
        return Unmatched.NO_TRACK_FOUND
    way = min(candidate.way for candidate in candidates)
    found = [candidate for candidate in candidates if candidate.way is way]
    if way is Way.NAME and _count(found) > 1:
        found = [one for one in found if row.album and folded(one.album) == folded(row.album)]
        if _count(found) != 1:
            return Unmatched.AMBIGUOUS
    return min(found, key=lambda one: (abs(one.seconds - row.seconds) if row.seconds else 0.0, one.track_id)).track_id


def _count(candidates: Sequence[Candidate]) -> int:
    return len({candidate.identity for candidate in candidates})
