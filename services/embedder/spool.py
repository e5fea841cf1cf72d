"""Keeps the bytes of a file that arrives in pieces on disk, without a name, until they are embedded."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from services.chassis.settings import SettingsError
from services.embedder.errors import SpoolUnavailable


class SpooledFile:
    """A file that grows; its name is gone already, so that nothing stays behind when the process is killed."""

    def __init__(self, file: BinaryIO, executor: ThreadPoolExecutor) -> None:
        self._file = file
        self._executor = executor
        self.size_bytes = 0

    async def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            SpoolUnavailable: The disk is full or broken.
        """
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, _write_all, self._file, data)
        except OSError as error:
            raise SpoolUnavailable.because("the upload cannot be stored", error) from error
        self.size_bytes += len(data)

    def rewind(self) -> int:
        """Return the descriptor with its position at the beginning; it is closed with the file."""
        descriptor = self._file.fileno()
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor


def _write_all(file: BinaryIO, data: bytes) -> None:
    """Write every byte: on a disk that fills up, an unbuffered write takes a part and raises nothing."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"EMBEDDER_SPOOL_FOLDER: no folder can be made at {folder}: {error.strerror}") from error


class Spool:
    """Makes files in one folder.

    Args:
        folder: Where; made when missing. None is the system's folder for temporary files.
        threads: Writes at a time.

    Raises:
        SettingsError: There is no such folder, and none can be made.
    """

    def __init__(self, folder: Path | None, threads: int = 2) -> None:
        self._folder = folder
        if folder is not None:
            _make(folder)
        self._executor = ThreadPoolExecutor(threads, "spool")

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[SpooledFile]:
        """Make an empty file that ends with the context.

        Raises:
            SpoolUnavailable: The folder does not take it.
        """
        loop = asyncio.get_running_loop()
        try:
            # Unbuffered: every byte is in the file when `write` returns.
            file = await loop.run_in_executor(
                self._executor, lambda: tempfile.TemporaryFile(buffering=0, dir=self._folder)
            )
        except OSError as error:
            raise SpoolUnavailable.because("no upload can be stored", error) from error
        with file:
            yield SpooledFile(file, self._executor)

    def close(self) -> None:
        """End the threads."""
        self._executor.shutdown()
