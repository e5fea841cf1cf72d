"""Numbers, keeps, sets aside and throws away the files of an index in a folder."""

import contextlib
import logging
from collections.abc import Collection
from pathlib import Path

from services.retriever.index.base_file import LessPreciseError
from services.retriever.index.bases import IndexChoice
from services.retriever.index.section_file import CorruptFileError, sync_folder
from services.retriever.live.snapshot import Snapshot, base_of, read_snapshot, write_snapshot

logger = logging.getLogger(__name__)

_KEPT = 2
_SUFFIX = ".snapshot"
_BASE = ".base"
_TEMPORARY = ".writing"
_SET_ASIDE = ".corrupt"
_SUFFIXES = {_SUFFIX, _BASE, _SET_ASIDE, _SUFFIX + _TEMPORARY, _BASE + _TEMPORARY}


class SnapshotFolder:
    """The snapshots and bases of one encoder in a folder of their own, numbered in the order they were written.

    Kept are the newest two snapshots, the newest one of each of the newest two bases, so that no single damaged file
    makes all of them worthless, and the bases that these rest on.

    Only one process may use it. What it holds can be lost at any time: the log has it all.

    Args:
        folder: Where the folders of all encoders lie; made when missing.
        encoder_id: Whose vectors.
        choice: How bases are to be searched.
    """

    def __init__(self, folder: Path, encoder_id: str, choice: IndexChoice | None = None) -> None:
        self._folder = folder / encoder_id
        self._encoder_id = encoder_id
        self._choice = choice if choice is not None else IndexChoice()

    def load_newest(self) -> Snapshot | None:
        """Read the newest good snapshot; blocks. Nothing that lies in the folder, or is wrong with it, is an error.

        A damaged one is named in the log and set aside under the name *.corrupt, where the last two are kept; then the
        next older one is tried. One that cannot be read now, of another encoder or release, or less precise than what
        is wanted, is named and left alone.
        """
        self._tidy()
        for path in reversed(self._files(_SUFFIX)):
            try:
                snapshot = read_snapshot(path, self._choice)
            except (CorruptFileError, FileNotFoundError) as error:
                logger.error("snapshot_corrupt", extra={"path": str(path), "error": str(error)})
                self._set_aside(path)
            except OSError as error:
                logger.error("snapshot_unreadable", extra={"path": str(path), "error": str(error)})
            except LessPreciseError:
                logger.warning("snapshot_ignored", extra={"path": str(path), "error": "its vectors are fp16"})
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                # Its bytes are those that were written, so another release did.
                logger.warning("snapshot_ignored", extra={"path": str(path), "error": f"unknown form: {error!r}"})
            else:
                if snapshot.encoder_id == self._encoder_id:
                    return snapshot
                logger.warning("snapshot_ignored", extra={"path": str(path), "encoder_id": snapshot.encoder_id})
        return None

    def next_base(self) -> Path:
        """Return where the next base is to be written."""
        return self._next(_BASE)

    def save(self, snapshot: Snapshot) -> Path:
        """Write a snapshot so that it is there whole or not at all, and drop what is not kept; blocks.

        Raises:
            OSError: The disk is full, or the folder cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._next(_SUFFIX)
        temporary = path.with_name(path.name + _TEMPORARY)
        try:
            write_snapshot(temporary, snapshot)
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(self._folder)
        try:
            self._drop_old()
        except OSError as error:
            logger.error("old_files_kept", extra={"error": str(error)})
        return path

    def _next(self, suffix: str) -> Path:
        # What was set aside keeps its number, so that newer stays newer.
        numbers = [int(path.stem) for path in (*self._files(suffix), *self._files(_SET_ASIDE))]
        return self._folder / f"{max(numbers, default=0) + 1:08d}{suffix}"

    def _files(self, suffix: str) -> list[Path]:
        """Return the files of a kind, oldest first."""
        return sorted(path for path in self._folder.glob(f"*{suffix}") if path.stem.isdigit())

    def _drop_old(self) -> None:
        snapshots = self._files(_SUFFIX)
        newest_of = {name: path for path in snapshots if (name := base_of(path)) is not None}
        bases = sorted(newest_of)[-_KEPT:]
        kept = {*snapshots[-_KEPT:], *(newest_of[name] for name in bases)}
        for path in snapshots:
            if path not in kept:
                path.unlink(missing_ok=True)
        needed = {base_of(path) for path in kept}
        for path in self._files(_BASE):
            # A newer one was made just now and is in use, although no snapshot rests on it yet.
            if path.name not in needed and path.name < max(bases, default=""):
                path.unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Delete what a crash left half written."""
        for leftover in self._folder.glob(f"*{_TEMPORARY}"):
            try:
                leftover.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("folder_not_tidied", extra={"error": str(error)})

    def _set_aside(self, path: Path) -> None:
        try:
            path.rename(path.with_suffix(_SET_ASIDE))
            for older in self._files(_SET_ASIDE)[:-_KEPT]:
                older.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("not_set_aside", extra={"error": str(error)})


def drop_retired(folder: Path, kept: Collection[str]) -> None:
    """Delete the files of encoders that are not kept any more, except of the last one: it may return. Blocks.

    Nothing is touched that no SnapshotFolder has written.

    Args:
        folder: Where the folders of all encoders lie.
        kept: Encoders whose folders are in use.
    """
    try:
        children = [child for child in folder.iterdir() if child.is_dir() and child.name not in kept]
        owned = {child: files for child in children if (files := _written_in(child))}
        by_age = sorted(owned, key=lambda child: max(path.stat().st_mtime for path in owned[child]))
        for child in by_age[:-1]:
            for path in owned[child]:
                path.unlink(missing_ok=True)
            logger.info("retired_dropped", extra={"path": str(child)})
            with contextlib.suppress(OSError):
                child.rmdir()  # unless somebody has put something else there
    except OSError as error:
        logger.warning("retired_not_dropped", extra={"error": str(error)})


def _written_in(folder: Path) -> list[Path]:
    return [
        path for path in folder.iterdir() if path.name[:8].isdigit() and path.name[8:] in _SUFFIXES and path.is_file()
    ]
