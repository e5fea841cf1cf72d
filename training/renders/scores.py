"""Reads scores of music21's corpus as notes; composers dead for a century, encodings without conditions; no sound.

MusicXML is parsed here and not by music21, which takes a second for what takes 20 ms so, and more memory than a render.
"""

import importlib.util
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from xml.etree import ElementTree

from training.renders.song import Note, Song

_FOLDERS = (
    "bach", "beethoven", "cpebach", "handel", "haydn", "joplin", "liliuokalani", "lusitano", "mozart",
    "schumann_clara", "schumann_robert",
)  # fmt: skip
_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_MAX_BYTES = 150_000  # packed: a few long movements would take half a second
_CACHED_SCORES = 512


def draw_score(song: Song) -> list[list[Note]]:
    """Draw a score and return as much of each of its parts as fills the song, from some bar on.

    The score begins anew where it ends; it is transposed by up to a fifth either way.
    """
    dice = song.dice
    parts = read_parts(dice.choice(score_paths()))
    beats = song.seconds * song.tempo_qpm / 60 + 1
    length = max(note.beat + note.length for part in parts for note in part)
    first = 4 * dice.randrange(max(1, int((length - beats) / 4) + 1))
    transposed = dice.randint(-6, 6)
    return [list(_repeated(part, first, length, beats, transposed)) for part in parts]


def _repeated(part: tuple[Note, ...], first: float, length: float, beats: float, transposed: int) -> Iterator[Note]:
    passed = -first
    while passed < beats:
        for note in part:
            if 0 <= note.beat + passed < beats:
                yield note._replace(beat=note.beat + passed, pitch=note.pitch + transposed)
        passed += length


@cache
def score_paths() -> tuple[Path, ...]:
    """List the scores of the installed corpus, in an order that is the same everywhere."""
    # music21's import takes a second.
    spec = importlib.util.find_spec("music21")
    assert spec is not None
    assert spec.origin is not None
    corpus = Path(spec.origin).parent / "corpus"
    found = (path for folder in _FOLDERS for path in (corpus / folder).rglob("*.mxl"))
    return tuple(sorted(path for path in found if path.stat().st_size <= _MAX_BYTES))


@lru_cache(maxsize=_CACHED_SCORES)
def read_parts(path: Path) -> tuple[tuple[Note, ...], ...]:
    """Read the parts of a packed MusicXML score that hold notes, without grace notes and repeats; a tie makes one."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("xml") and not name.startswith("META-INF"))
        root = ElementTree.fromstring(archive.read(name))
    parts = (_Part().read(element) for element in root.iter("part"))
    return tuple(part for part in parts if part)


@dataclass(slots=True)
class _Part:
    """Where the reader of a part stands; times in quarter notes."""

    notes: list[Note] = field(default_factory=list)
    held: dict[int, int] = field(default_factory=dict)
    divisions: int = 1
    now: float = 0.0
    last: float = 0.0
    transposed: int = 0

    def read(self, part: ElementTree.Element) -> tuple[Note, ...]:
        for element in part.iter():
            if element.tag == "divisions":
                self.divisions = int(element.text or 1)
            elif element.tag == "transpose":
                self.transposed = int(element.findtext("chromatic", "0")) + 12 * int(
                    element.findtext("octave-change", "0")
                )
            elif element.tag in ("backup", "forward"):
                self.now += self._length(element) * (-1 if element.tag == "backup" else 1)
            elif element.tag == "note" and element.find("grace") is None:
                self._note(element)
        return tuple(sorted(self.notes))

    def _length(self, element: ElementTree.Element) -> float:
        return float(element.findtext("duration", "0")) / self.divisions

    def _note(self, element: ElementTree.Element) -> None:
        length = self._length(element)
        beat = self.last if element.find("chord") is not None else self.now
        pitch = element.find("pitch")
        if pitch is not None and length > 0:
            self._sound(element, beat, length, self._key(pitch))
        if element.find("chord") is None:
            self.last, self.now = self.now, self.now + length

    def _key(self, pitch: ElementTree.Element) -> int:
        step = _SEMITONES[pitch.findtext("step", "C")] + round(float(pitch.findtext("alter", "0")))
        return step + 12 * (int(pitch.findtext("octave", "4")) + 1) + self.transposed

    def _sound(self, element: ElementTree.Element, beat: float, length: float, key: int) -> None:
        ties = {tie.get("type") for tie in element.iter("tie")}
        number = self.held.pop(key, None) if "stop" in ties else None
        if number is not None:
            held = self.notes[number]
            self.notes[number] = held._replace(length=beat + length - held.beat)
        else:
            number = len(self.notes)
            self.notes.append(Note(beat, length, key, 0.85 if beat % 1 == 0 else 0.7))
        if "start" in ties:
            self.held[key] = number
