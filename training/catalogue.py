"""The soundtracks that MUSEED learns from and is judged on: labels, groups and splits. Reads no audio.

`labels.csv` lists every piece of at least 30 s in sixteen freely licensed soundtracks that Debian packages. Their music
is fetched by `training/fetch_music` and never committed. A soundtrack is split as a whole: two pieces of one composer
sound alike for reasons that say nothing about similarity. `more_music.txt` names packages whose music has no labels and
is only learnt from.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

LABELS_FILE = Path(__file__).with_name("labels.csv")
MORE_MUSIC_FILE = Path(__file__).with_name("more_music.txt")

# The families that enough soundtracks share to be retrieved across soundtracks.
FAMILIES = ("electronic", "metal", "orchestral")
# What is listed and is neither learnt from nor judged: a fanfare, weather, an engine.
NOT_MUSIC = "not_music"
# What the label rests on where nothing but a model said so: a model is not judged by a model.
_UNTRUSTED_EVIDENCE = frozenset({"tagger", "none"})


class Split(StrEnum):
    """What a soundtrack is for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


_SPLITS = {
    "supertux-data": Split.VALIDATION,
    "fretsonfire-songs-muldjord": Split.VALIDATION,
    "warzone2100-music": Split.VALIDATION,
    "unknown-horizons": Split.TEST,
    "fretsonfire-songs-sectoid": Split.TEST,
    "singularity-music": Split.TEST,
    "colobot-common-sounds": Split.TEST,
}


@dataclass(frozen=True, slots=True)
class Track:
    """One piece of the catalogue.

    Attributes:
        path: Relative to the music folder, with forward slashes; its first part is the package.
        group: The soundtrack by one hand, for example "colobot-common-sounds:Emxx52"; intervals resample groups.
        family: Style, for example "metal".
        evidence: What the family rests on, for example "artist+tagger"; "tagger" is a model's opinion alone.
        title: As tagged; empty where it is not.
        artist: As tagged; empty where it is not.
        album: As tagged; empty where it is not.
        duration_seconds: Length of the recording.
    """

    path: str
    group: str
    family: str
    evidence: str
    title: str
    artist: str
    album: str
    duration_seconds: float

    @property
    def package(self) -> str:
        """The package that the piece came in: the unit that neighbours must not share."""
        return self.path.partition("/")[0]

    @property
    def is_labelled(self) -> bool:
        """Whether its family may be retrieved by, and rests on more than a model's opinion."""
        return self.family in FAMILIES and self.evidence not in _UNTRUSTED_EVIDENCE


def read_catalogue(path: Path = LABELS_FILE) -> list[Track]:
    """Read every piece in the order of the file.

    Raises:
        FileNotFoundError: There is no such file.
        KeyError: A column is missing.
    """
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Track(
                path=row["path"],
                group=row["group"],
                family=row["family"],
                evidence=row["evidence"],
                title=row["title"],
                artist=row["artist"],
                album=row["album"],
                duration_seconds=float(row["seconds"]),
            )
            for row in csv.DictReader(file)
        ]


def split_of(track: Track) -> Split:
    """Say what a piece is for; a package that is named nowhere trains."""
    return _SPLITS.get(track.package, Split.TRAIN)


def more_packages(path: Path = MORE_MUSIC_FILE) -> list[str]:
    """Name the packages that are only learnt from, in the order of the file."""
    return [line for line in _more_music(path) if not line.startswith("-")]


def is_learnt(name: str, path: Path = MORE_MUSIC_FILE) -> bool:
    """Say whether a file of those packages is music, and in no soundtrack that is judged; by its path."""
    patterns = [line.removeprefix("-").strip() for line in _more_music(path) if line.startswith("-")]
    return not any(fnmatchcase(name, pattern) for pattern in patterns)


@cache
def _more_music(path: Path) -> tuple[str, ...]:
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line)


def present(tracks: Iterable[Track], music: Path) -> list[Track]:
    """Keep the pieces whose files are below a music folder."""
    return [track for track in tracks if (music / track.path).is_file()]
