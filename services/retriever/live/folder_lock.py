"""Keeps a second process out of a folder; knows nothing of what lies in it."""

import fcntl
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)


class FolderLock:
    """A lock on a folder, which ends with the process, however that ends. Nothing is written for it.

    Args:
        folder: Made when missing. One that cannot be locked, as on some network file systems, is named in the log and
            used without a lock.
        setting: The variable that names the folder, for messages.

    Raises:
        SystemExit: It cannot be made, read or written, or another process has it; the text names the folder.
    """

    def __init__(self, folder: Path, setting: str) -> None:
        self._descriptor: int | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise SystemExit(f"{setting}: {folder} cannot be used: {error.strerror}") from error
        # The kernel's answer: it knows of read-only file systems, too, which root may not write either.
        if not os.access(folder, os.W_OK | os.X_OK):
            self.close()
            raise SystemExit(f"{setting}: {folder} cannot be written")
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise SystemExit(f"{folder} is used by another process: each needs a folder of its own") from error
        except OSError as error:
            logger.warning("folder_not_locked", extra={"path": str(folder), "error": str(error)})

    def close(self) -> None:
        """Let others in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
