"""Keeps blobs of a distant store in a folder of bounded size, the latest used; may be deleted at any time."""

import asyncio
import os
from collections import OrderedDict
from pathlib import Path

from uuid_utils.compat import uuid7

from services.chassis.blobs import BlobStore

_AT_A_TIME = 16
_TEMPORARY = ".part"


class WindowCache:
    """Copies of blobs as files by digest. One process alone may use the folder.

    What is in use when it is evicted stays readable: its file is open.

    Args:
        blobs: Where blobs come from.
        folder: Made when first needed; what is found there is used.
        max_bytes: Evicted down to this size, the least recently used first.
        max_blob_bytes: Larger blobs are not fetched.
    """

    def __init__(self, blobs: BlobStore, folder: Path, max_bytes: int, max_blob_bytes: int) -> None:
        self._blobs = blobs
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_blob_bytes = max_blob_bytes
        self._sizes: OrderedDict[str, int] | None = None
        self._total = 0
        self._scanning = asyncio.Lock()
        self._downloads = asyncio.Semaphore(_AT_A_TIME)

    async def open(self, digest: bytes) -> int:
        """Open a copy, fetched first where there is none; the caller closes the descriptor.

        Raises:
            DomainError: There is no such blob.
            OSError, obstore.exceptions.BaseError: The store or the folder does not answer, or the blob is too large.
        """
        sizes = await self._known()
        name = digest.hex()
        if name not in sizes:
            async with self._downloads:
                if name not in sizes:
                    return await self._fetch(digest, sizes)
        sizes.move_to_end(name)
        try:
            return os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self.forget(digest)  # somebody emptied the folder
            async with self._downloads:
                return await self._fetch(digest, sizes)

    def forget(self, digest: bytes) -> None:
        """Drop a copy; safe to repeat."""
        if self._sizes is not None and digest.hex() in self._sizes:
            self._drop(digest.hex(), self._sizes)

    async def _fetch(self, digest: bytes, sizes: OrderedDict[str, int]) -> int:
        self._check(digest, await self._blobs.size(digest))
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f"{uuid7()}{_TEMPORARY}"
        try:
            await self._blobs.download(digest, temporary)
            size = temporary.stat().st_size  # which counts, whatever was said
            self._check(digest, size)
            temporary.rename(self._folder / digest.hex())
        finally:
            temporary.unlink(missing_ok=True)
        descriptor = os.open(self._folder / digest.hex(), os.O_RDONLY | os.O_CLOEXEC)
        self._total += size - sizes.pop(digest.hex(), 0)
        sizes[digest.hex()] = size
        while self._total > self._max_bytes:
            self._drop(next(iter(sizes)), sizes)
        return descriptor

    def _drop(self, name: str, sizes: OrderedDict[str, int]) -> None:
        self._total -= sizes.pop(name)
        (self._folder / name).unlink(missing_ok=True)

    def _check(self, digest: bytes, size: int) -> None:
        if size > self._max_blob_bytes:
            raise OSError(f"blob {digest.hex()} has {size} bytes, at most {self._max_blob_bytes} are read")

    async def _known(self) -> OrderedDict[str, int]:
        async with self._scanning:
            if self._sizes is None:
                sizes = await asyncio.to_thread(self._scan)
                self._sizes, self._total = sizes, sum(sizes.values())
        return self._sizes

    def _scan(self) -> OrderedDict[str, int]:
        """Find what an earlier process left, oldest first; 20,000 files take a while."""
        sizes: OrderedDict[str, int] = OrderedDict()
        files = [path for path in self._folder.glob("*") if path.is_file()] if self._folder.is_dir() else []
        for path in sorted(files, key=lambda path: path.stat().st_mtime):
            if path.suffix == _TEMPORARY:
                path.unlink()
            else:
                sizes[path.name] = path.stat().st_size
        return sizes
