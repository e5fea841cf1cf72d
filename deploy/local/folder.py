"""Walks a folder for files whose names promise audio; it opens none of them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from deploy.local.tags import clean_text

AUDIO_EXTENSIONS = frozenset(
    "aac ac3 aif aifc aiff ape flac m4a m4b mka mp2 mp3 mp4 mpc oga ogg opus spx tta wav wave weba webm wma wv".split()
)
MAX_PATH_BYTES = 4096


class Reason(StrEnum):
    """Why a file is not taken into the library."""

    NOT_AUDIO = "NOT_AUDIO"
    AUDIO_EMPTY = "AUDIO_EMPTY"
    AUDIO_TOO_SHORT = "AUDIO_TOO_SHORT"
    AUDIO_TOO_LARGE = "AUDIO_TOO_LARGE"
    READING_FAILED = "READING_FAILED"
    UNREADABLE = "UNREADABLE"
    BAD_NAME = "BAD_NAME"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is left out.

    Attributes:
        display_path: Path below the root, fit to show; not to open.
        reason: Stable code.
        message: Sentence that states value and limit.
        value: What broke the limit; empty where there is none.
        limit: The limit; empty where there is none.
    """

    display_path: str
    reason: Reason
    message: str
    value: str = ""
    limit: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file whose name promises audio.

    Attributes:
        root: The folder that was scanned.
        relative_path: Path below the root; its UTF-8 is the file system's own bytes, whatever their normal form.
    """

    root: Path
    relative_path: str

    @property
    def display_path(self) -> str:
        """The path as people should see it: NFC, no control characters."""
        return shown(self.relative_path.encode())


@dataclass(slots=True)
class Tally:
    """Counts what `scan` passes over without a word.

    Attributes:
        other_files: Files whose names do not promise audio.
        links: Links to something that lies in the folder anyway.
    """

    other_files: int = 0
    links: int = 0


def scan(root: Path, tally: Tally | None = None) -> Iterator[Candidate | Skipped]:
    """Walk a folder in the order of the names' bytes, folders in their place among files. Blocks on the disk.

    Links are not followed: what they lead to in the folder is found anyway, and what lies outside is not the
    folder's; the latter are reported.

    Args:
        root: Folder to walk.
        tally: Counts what is not reported.

    Yields:
        Files with an extension of audio, and what cannot be walked or named.

    Raises:
        OSError: If the root itself cannot be listed.
    """
    real_root = root.resolve(strict=True)
    tally = tally if tally is not None else Tally()
    pending = _listed(os.fsencode(real_root))
    while pending:
        entry = pending.pop()
        relative = os.path.relpath(entry.path, os.fsencode(real_root))
        if entry.is_dir(follow_symlinks=False) and not _name_fault(relative):
            try:
                pending += _listed(entry.path)
            except OSError as error:
                yield unreadable(relative, error)
        elif (found := _classify(entry, real_root, relative, tally)) is not None:
            yield found


def _listed(folder: bytes) -> list[os.DirEntry[bytes]]:
    """List a folder, last name first."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name, reverse=True)


def _classify(entry: os.DirEntry[bytes], root: Path, relative: bytes, tally: Tally) -> Candidate | Skipped | None:
    # Not entry.is_dir(): a link that leads to itself would raise.
    if not _promises_audio(entry.name) and not os.path.isdir(entry.path):
        tally.other_files += 1
        return None
    if fault := _name_fault(relative):
        return fault
    if entry.is_symlink():
        target = Path(os.path.realpath(os.fsdecode(entry.path)))
        if target.exists() and target.is_relative_to(root):
            tally.links += 1
            return None
        return Skipped(shown(relative), Reason.UNREADABLE, "a link that leads out of the folder, or nowhere")
    if not entry.is_file(follow_symlinks=False):
        return Skipped(shown(relative), Reason.UNREADABLE, "not a regular file")
    return Candidate(root, relative.decode("utf-8"))


def _promises_audio(name: bytes) -> bool:
    # macOS keeps a file's attributes beside it as "._name" on other file systems.
    extension = os.path.splitext(name)[1][1:].lower().decode("ascii", "replace")
    return extension in AUDIO_EXTENSIONS and not name.startswith(b"._")


def _name_fault(relative: bytes) -> Skipped | None:
    if len(relative) > MAX_PATH_BYTES:
        message = f"path is {len(relative)} bytes, limit is {MAX_PATH_BYTES}"
        return Skipped(shown(relative), Reason.BAD_NAME, message, str(len(relative)), str(MAX_PATH_BYTES))
    try:
        relative.decode("utf-8")
    except UnicodeDecodeError:
        return Skipped(shown(relative), Reason.BAD_NAME, "name is not UTF-8")
    return None


def shown(path: bytes) -> str:
    r"""Make a path fit to show: NFC, no control characters, what is no UTF-8 as \xNN; not to open."""
    return clean_text(path.decode("utf-8", "backslashreplace"))


def unreadable(path: bytes, error: BaseException) -> Skipped:
    """Skip a path that the system did not let us read, with the system's words."""
    cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Skipped(shown(path), Reason.UNREADABLE, f"cannot be read: {cause}")
