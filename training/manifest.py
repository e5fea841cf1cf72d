"""Lists the music of a folder: which files, of which soundtrack, for which split. Reads headers, decodes nothing."""

import json
import math
import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import soundfile

from training.catalogue import NOT_MUSIC, Split, is_learnt, more_packages, read_catalogue, split_of
from training.errors import ManifestInvalid

MIN_SECONDS = 30.0
_SUFFIXES = frozenset({".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav"})
# Of a hundred groups that no split names, so many validate, and as many test.
_HELD_OUT_PERCENT = 10


@dataclass(frozen=True, slots=True)
class Entry:
    """One file to learn from.

    Attributes:
        path: Relative to the music folder, with forward slashes.
        group: What must not be torn apart by splits: the soundtrack, or the topmost folder.
        split: What the file is for.
        seconds: Length as the header states it.
    """

    path: str
    group: str
    split: Split
    seconds: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not learnt from, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The music of a folder, and what was left out of it."""

    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...] = ()

    def of(self, split: Split) -> list[Entry]:
        """Return the entries of a split."""
        return [entry for entry in self.entries if entry.split is split]


def list_music(music: Path) -> Manifest:
    """List every piece of at least 30 s below a folder, in the order of its path.

    Soundtracks of the catalogue keep its groups and splits. Other files are grouped by their topmost folder; those that
    the catalogue has for learning train, and any other group falls into a split by a digest of its name: eight in ten
    train.

    Raises:
        ManifestInvalid: There is no such folder, or no piece of music in it.
    """
    if not music.is_dir():
        raise ManifestInvalid(f"{music} is not a folder: name one with music, MUSIC=DIR")
    known = {track.path: track for track in read_catalogue()}
    known_packages = {track.package for track in known.values()}
    learnt_packages = set(more_packages())
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    for path in sorted(path for path in _files(music) if path.suffix.lower() in _SUFFIXES and path.is_file()):
        name = path.relative_to(music).as_posix()
        try:
            seconds = float(soundfile.info(str(path)).duration)
        except (soundfile.LibsndfileError, OSError) as error:
            left_out.append(LeftOut(name, f"unreadable: {error}"))
            continue
        track = known.get(name)
        top = name.partition("/")[0]
        if track is not None and track.family == NOT_MUSIC:
            left_out.append(LeftOut(name, "is no music by the catalogue"))
        elif seconds < MIN_SECONDS:
            left_out.append(LeftOut(name, f"lasts {seconds:.1f} s, the minimum is {MIN_SECONDS:.0f} s"))
        elif top in learnt_packages and not is_learnt(name):
            left_out.append(LeftOut(name, "is no music, or judged in another soundtrack"))
        elif track is not None:
            entries.append(Entry(name, track.group, split_of(track), seconds))
        elif top in known_packages:
            left_out.append(LeftOut(name, "is no music by the catalogue of its soundtrack"))
        else:
            split = Split.TRAIN if top in learnt_packages else _split_by_digest(top)
            entries.append(Entry(name, top, split, seconds))
    if not entries:
        raise ManifestInvalid(
            f"no music in {music}: no file of at least {MIN_SECONDS:.0f} s ({len(left_out)} left out)"
        )
    return Manifest(tuple(entries), tuple(left_out))


def _files(folder: Path) -> Iterator[Path]:
    """Walk a folder, then the folders that it links to, each once: its own names count before those of links."""
    seen: set[str] = set()
    links = [str(folder)]
    for link in links:  # grows as links are found
        for parent, folders, names in os.walk(link):
            if (real := os.path.realpath(parent)) in seen:
                folders.clear()
                continue
            seen.add(real)
            links += sorted(path for name in folders if os.path.islink(path := str(Path(parent, name))))
            yield from (Path(parent, name) for name in names)


def check_splits(entries: Iterable[Entry]) -> None:
    """Refuse a list in which a group, or a package of the catalogue, stands in two splits.

    Raises:
        ManifestInvalid: Names the groups and their splits.
    """
    found: defaultdict[str, set[Split]] = defaultdict(set)
    for entry in entries:
        found[entry.group].add(entry.split)
        # Soundtracks of one package share mastering and composers' habits.
        found[f"{entry.path.partition('/')[0]}/"].add(entry.split)
    leaks = {name: sorted(splits) for name, splits in found.items() if len(splits) > 1}
    if leaks:
        told = "; ".join(f"{name} is in {' and '.join(splits)}" for name, splits in sorted(leaks.items()))
        raise ManifestInvalid(f"groups stand in two splits, so that validation would judge what was learnt: {told}")


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the entries as JSON lines; what was left out goes to a file `….left-out.jsonl` beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(entry)) + "\n" for entry in manifest.entries), encoding="utf-8")
    left_out = "".join(json.dumps(asdict(one)) + "\n" for one in manifest.left_out)
    path.with_suffix(".left-out.jsonl").write_text(left_out, encoding="utf-8")


def read_manifest(path: Path) -> Manifest:
    """Read entries that `write_manifest`, or a person, wrote.

    Raises:
        ManifestInvalid: A line is no entry, or a group stands in two splits.
    """
    entries: list[Entry] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ManifestInvalid(f"{path} is no text: {error}") from error
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(_read_entry(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestInvalid(f"{path} line {number} is no entry: {error!r}") from error
    twice = [name for name, count in Counter(entry.path for entry in entries).items() if count > 1]
    if twice:
        raise ManifestInvalid(f"{path} names {', '.join(sorted(twice))} more than once")
    check_splits(entries)
    return Manifest(tuple(entries))


def _read_entry(row: dict[str, Any]) -> Entry:  # as a person may have written it
    entry = Entry(str(row["path"]), str(row["group"]), Split(row["split"]), float(row["seconds"]))
    if not 0 < entry.seconds < math.inf:
        raise ValueError(f"seconds is {entry.seconds}, it must be positive")
    # One file by two names could stand in two splits.
    if entry.path != posixpath.normpath(entry.path) or entry.path.startswith(("/", "..")):
        raise ValueError(f"path is {entry.path!r}, it must lie below the music folder, without . and ..")
    return entry


def _split_by_digest(group: str) -> Split:
    percent = int.from_bytes(sha256(group.encode()).digest()[:4], "big") % 100
    if percent < _HELD_OUT_PERCENT:
        return Split.TEST
    return Split.VALIDATION if percent < 2 * _HELD_OUT_PERCENT else Split.TRAIN
