"""Transcoded files in a folder, bounded in bytes: what was not asked for longest goes first. Blocks.

Processes may share a folder: files come by renaming, and one that is deleted while it is sent is sent to its end.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

# What somebody deletes must not stay here for long: so long at most, however often it is asked for.
PRIVATE_LIFE_S = 900.0
_PRIVATE = "private-"
_UNFINISHED = ".unfinished"
# Longer than any may take.
_UNFINISHED_LIFE_S = 3_600.0


class TranscodeCache:
    """Files by key.

    Args:
        folder: Made when it is first needed.
        max_bytes: Of what is finished.
        clock: Seconds since the epoch, as the file system counts.
    """

    def __init__(self, folder: Path, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._clock = clock

    def open(self, key: str, *, is_private: bool) -> int | None:
        """Open a finished file, None where there is none.

        Args:
            key: Letters, digits, "-" and ".".
            is_private: Of an upload: kept for 15 minutes from when it was made.
        """
        path = self._path(key, is_private)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        if is_private and os.fstat(descriptor).st_mtime < self._clock() - PRIVATE_LIFE_S:
            os.close(descriptor)
            return None
        if not is_private:
            with contextlib.suppress(FileNotFoundError):
                os.utime(path, (self._clock(), self._clock()))
        return descriptor

    def begin(self) -> tuple[Path, int]:
        """Make an empty file to be filled; returns where it is, and it opened for writing."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{secrets.token_hex(16)}{_UNFINISHED}"
        return path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def keep(self, path: Path, key: str, *, is_private: bool) -> None:
        """Make a filled file the one of a key, and delete what is too much then."""
        os.utime(path, (self._clock(), self._clock()))
        path.rename(self._path(key, is_private))
        self.trim()

    def trim(self) -> None:
        """Delete what is over, and what is too much."""
        now = self._clock()
        kept: list[tuple[float, int, Path]] = []
        for path, facts in self._files():
            if path.name.endswith(_UNFINISHED):
                is_over = facts.st_mtime < now - _UNFINISHED_LIFE_S
            else:
                is_over = path.name.startswith(_PRIVATE) and facts.st_mtime < now - PRIVATE_LIFE_S
                if not is_over:
                    kept.append((facts.st_mtime, facts.st_size, path))
            if is_over:
                path.unlink(missing_ok=True)
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self._folder):
                with contextlib.suppress(FileNotFoundError):  # deleted by another process
                    found.append((Path(entry.path), entry.stat(follow_symlinks=False)))
        return found

    def _path(self, key: str, is_private: bool) -> Path:
        return self._folder / (f"{_PRIVATE}{key}" if is_private else key)
