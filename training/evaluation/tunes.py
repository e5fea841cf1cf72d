"""Finds the pieces that are one tune (stems, remakes, enhanced versions), so that a tune counts once. Reads no audio.

Two pieces of one group are one tune when their names are equal after normalisation. The name is the title; where there
is none, or four or more pieces of the group share it (then it names the whole work), the name of the file; and where
that only says which stem it is ("guitar", "song"), the folder's. Brackets are dropped, and so is everything from a word
on that marks a version ("v2 …", "enhanced", "remix", "old").
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from training.catalogue import Track

# Names of stems that say nothing of the tune, the fullest first: the first of a tune that is there speaks for it.
_STEMS = ("song", "mix", "rhythm", "guitar", "bass", "drums", "vocals", "keys")
_MIN_SHARED_TITLE = 4
_BRACKETS = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_VERSION = re.compile(
    r"[\s_-]+(v\d+|version|enhanced|remix(ed)?|remaster(ed)?|old|alt|alternative|extended|short|loop(ed)?|demo)\b.*"
)
_NO_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Tune:
    """Pieces that are one tune.

    Attributes:
        kept: The piece that speaks for it.
        merged: The others, which neither ask nor answer.
    """

    kept: Track
    merged: tuple[Track, ...]


def find_tunes(tracks: Sequence[Track], catalogue: Sequence[Track] | None = None) -> list[Tune]:
    """Group pieces into tunes, in the order of each tune's first piece.

    A labelled piece is kept before one without a label, a mix before a stem, a longer piece before a shorter one.

    Args:
        tracks: Pieces that are there.
        catalogue: All pieces, which tell what a title names; None where all are there.
    """
    among = tracks if catalogue is None else catalogue
    shared_titles = Counter((track.group, normalise(track.title)) for track in among)
    tunes: dict[tuple[str, str], list[Track]] = {}
    for track in tracks:
        title = normalise(track.title)
        is_title = title and shared_titles[track.group, title] < _MIN_SHARED_TITLE
        tunes.setdefault((track.group, title if is_title else _file_name(track)), []).append(track)
    return [_tune(pieces) for pieces in tunes.values()]


def normalise(name: str) -> str:
    """Return what makes a name: letters and digits in lower case, without brackets and marks of a version."""
    bare = _BRACKETS.sub(" ", unicodedata.normalize("NFKC", name).casefold()).strip()
    return _NO_LETTERS.sub("", _VERSION.sub("", bare) or bare)


def kept_tracks(tunes: Iterable[Tune]) -> list[Track]:
    """Return the pieces that speak for their tunes."""
    return [tune.kept for tune in tunes]


def _file_name(track: Track) -> str:
    path = PurePosixPath(track.path)
    return normalise(path.parent.name if path.stem.casefold() in _STEMS else path.stem)


def _tune(pieces: list[Track]) -> Tune:
    kept = min(
        pieces, key=lambda track: (not track.is_labelled, _stem_rank(track), -track.duration_seconds, track.path)
    )
    return Tune(kept, tuple(track for track in pieces if track is not kept))


def _stem_rank(track: Track) -> int:
    stem = PurePosixPath(track.path).stem.casefold()
    return _STEMS.index(stem) if stem in _STEMS else 0
