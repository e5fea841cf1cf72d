"""Opens files of a media root, and nothing outside of it; and opens files without blocking the event loop."""

import asyncio
import os
import stat
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from services.chassis.errors import NotFound


def open_below(root: str | os.PathLike[str], relative_path: bytes) -> int:
    """Open a regular file below a folder for reading. Blocks on the file system.

    Links are followed as long as they stay below the root: what was really opened is checked, so that a link that is
    swapped in between does not matter.

    Args:
        root: Folder of the media root.
        relative_path: The file system's own bytes.

    Returns:
        A file descriptor that the caller closes.

    Raises:
        NotFound: MEDIA_NOT_FOUND: no such file, not a regular file, not readable, or outside of the root.
    """
    # Not fsdecode: its surrogates cannot be sent to anybody.
    shown = relative_path.decode(errors="backslashreplace")
    missing = NotFound(f"no readable file {shown!r} below the root", reason="MEDIA_NOT_FOUND", value=shown)
    if b"\0" in relative_path or not relative_path or relative_path.startswith(b"/"):
        raise missing
    try:
        inside = os.fsencode(Path(root).resolve(strict=True))
        # Not blocking: opening a FIFO would otherwise wait for a writer.
        descriptor = os.open(os.path.join(inside, relative_path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise missing from error
    opened = os.readlink(f"/proc/self/fd/{descriptor}".encode())
    if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not opened.startswith(inside.rstrip(b"/") + b"/"):
        os.close(descriptor)
        raise missing
    return descriptor


async def open_in_thread(executor: Executor | None, open_file: Callable[[], int]) -> int:
    """Open a file in a thread; a caller who is cancelled meanwhile leaves no descriptor open.

    Args:
        executor: Where it blocks; None is the loop's own.
        open_file: Returns a descriptor.

    Returns:
        The descriptor, which the caller closes.
    """
    opening = asyncio.get_running_loop().run_in_executor(executor, open_file)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise


def _close(opening: asyncio.Future[int]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result())
