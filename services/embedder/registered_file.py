"""Opens the file that a piece of work names, and refuses one that is another file by now."""

import hashlib
import os

from services.chassis.media import open_below
from services.embedder.errors import MediaChanged


class RegisteredFile:
    """A file of a media root that must be, byte for byte, what was registered: results are kept under what that was.

    A file with new tags is refused, too: only who reads its container can tell that it sounds the same, which is done
    where files are registered.

    Args:
        root: Folder of the media root.
        relative_path: The file system's own bytes.
        file_hash: SHA-256 of the file as it was registered, 32 bytes; empty where that is not known, and then the file
            is only watched while it is read.
    """

    def __init__(self, root: str, relative_path: bytes, file_hash: bytes) -> None:
        self._root = root
        self._relative_path = relative_path
        self._file_hash = file_hash
        self._opened_as = (0, 0)

    def open(self) -> int:
        """Open the file and compare it. Blocks: reads the whole file, about a second per GB.

        Returns:
            A file descriptor at the file's beginning, which the caller closes.

        Raises:
            NotFound: MEDIA_NOT_FOUND; see `open_below`.
            MediaChanged: It is another file.
        """
        descriptor = open_below(self._root, self._relative_path)
        try:
            self._opened_as = _state(descriptor)
            if self._file_hash:
                self._compare(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def check_unchanged(self, descriptor: int) -> None:
        """Refuse a file that was written to since it was opened; one that was replaced by name is not.

        Raises:
            MediaChanged: Its size or time is another.
        """
        if (found := _state(descriptor)) != self._opened_as:
            raise MediaChanged(
                f"the file was written to while it was read, from {self._opened_as[0]} to {found[0]} bytes:"
                " ingest it again",
                field="file",
                value=found[0],
                limit=self._opened_as[0],
            )

    def _compare(self, descriptor: int) -> None:
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
        if found != (registered := self._file_hash.hex()):
            raise MediaChanged(
                f"the file has SHA-256 {found} now and had {registered} when it was registered: ingest it again",
                field="file",
                value=found,
                limit=registered,
            )


def _state(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns
