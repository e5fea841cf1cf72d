"""Keeps two runs out of one folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import WorkFolderTaken

LOCK_FILE = ".lock"


@contextmanager
def taken(work: Path) -> Iterator[None]:
    """Make a folder and hold it; the lock ends with the process, however that ends.

    Raises:
        WorkFolderTaken: Another run holds it.
        OSError: It cannot be made.
    """
    work.mkdir(parents=True, exist_ok=True)
    with (work / LOCK_FILE).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WorkFolderTaken(f"another run is at work in {work}: wait for it, or name another --work") from error
        yield
