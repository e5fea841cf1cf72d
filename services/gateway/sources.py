"""Where bytes that are sent come from: an open file, or a blob of a store that has no files."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from services.chassis.blobs import BlobStore

_FILE_CHUNK_BYTES = 256 * 1024
_BLOB_CHUNK_BYTES = 1024 * 1024


class Source(Protocol):
    """Bytes of a known number that do not change.

    Attributes:
        size: Their number.
        chunk_bytes: How many to read at a time.
    """

    size: int
    chunk_bytes: int

    async def read(self, position: int, length: int) -> bytes:
        """Return 1 to `length` bytes from a position; none where the source was cut off.

        Raises:
            OSError: It cannot be read.
            NotFound: The blob is gone.
        """

    def close(self) -> None:
        """Let go of what is held."""


class FileSource:
    """An open file, which it closes.

    Args:
        descriptor: Opened for reading.
        threads: Read what is not in memory, so that a slow disk holds up neither the loop nor other work.
    """

    chunk_bytes = _FILE_CHUNK_BYTES

    def __init__(self, descriptor: int, threads: ThreadPoolExecutor) -> None:
        self._descriptor = descriptor
        self._threads = threads
        self.size = os.fstat(descriptor).st_size

    async def read(self, position: int, length: int) -> bytes:
        """Return what is in memory at once, and what is not by way of a thread."""
        try:
            buffer = bytearray(length)
            count = os.preadv(self._descriptor, [buffer], position, os.RWF_NOWAIT)
        except OSError:  # not in memory, or a file system that cannot tell
            count = 0
        if count > 0:
            return bytes(memoryview(buffer)[:count])
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, os.pread, self._descriptor, length, position)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class BlobSource:
    """A blob that is read piece by piece.

    Args:
        blobs: Where it lies.
        digest: Which.
        size: Its bytes.
    """

    chunk_bytes = _BLOB_CHUNK_BYTES

    def __init__(self, blobs: BlobStore, digest: bytes, size: int) -> None:
        self._blobs = blobs
        self._digest = digest
        self.size = size

    async def read(self, position: int, length: int) -> bytes:
        """Ask the store for a range."""
        return await self._blobs.read(self._digest, position, length)

    def close(self) -> None:
        """Nothing is held."""
