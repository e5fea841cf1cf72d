"""Reads the windows' vectors of tracks from files of the blob store; refuses what is damaged."""

import asyncio
import hashlib
import os
from collections.abc import Iterable, Sequence

import numpy as np
import obstore.exceptions

from services.chassis.blobs import BlobStore
from services.chassis.errors import DomainError
from services.retriever.reference.segments import voiced
from services.retriever.reference.window_cache import WindowCache
from services.retriever.similarity import Float32Array

# Eleven hours of windows of 10 s at 1,024 dimensions.
MAX_BLOB_BYTES = 8 * 1024 * 1024
# A unit vector of 1,024 numbers keeps its norm to 5e-4 in float16.
_NORM_TOLERANCE = 0.01


class UnreadableWindowsError(Exception):
    """A blob is missing, cannot be reached, or holds no windows of this encoder."""


class WindowStore:
    """The blobs of windows' vectors: little-endian float16, row-major, (windows, dim), zeros for silent windows.

    Args:
        blobs: Where they are. Those in a local folder are read in place.
        cache: Where those of another store are kept; unused with a local folder.
    """

    def __init__(self, blobs: BlobStore, cache: WindowCache) -> None:
        self._blobs = blobs
        self._cache = cache

    async def open(self, digests: Sequence[bytes]) -> list[int | None]:
        """Open blobs, None for each that cannot be had; the caller closes the descriptors."""
        tasks = [asyncio.create_task(self._open(digest)) for digest in digests]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:  # the caller is gone: nobody else would close what is open already
            opened = await asyncio.gather(*tasks, return_exceptions=True)
            close([one for one in opened if isinstance(one, int)])
            raise

    async def _open(self, digest: bytes) -> int | None:
        try:
            descriptor = await self._blobs.open(digest)
            return await self._cache.open(digest) if descriptor is None else descriptor
        except (DomainError, OSError, obstore.exceptions.BaseError):
            return None

    def forget(self, digest: bytes) -> None:
        """Forget the copy of a blob that turned out to be damaged, so that it is fetched again."""
        self._cache.forget(digest)


def close(descriptors: Iterable[int | None]) -> None:
    """Close what `WindowStore.open` opened."""
    for descriptor in descriptors:
        if descriptor is not None:
            os.close(descriptor)


def read_windows(descriptor: int, digest: bytes, dimension: int) -> Float32Array:
    """Read a blob; blocks.

    Read and not mapped: each byte is wanted at once, for the digest and as float32, so that a map saves nothing (27 ms
    and 22 ms for 200 blobs of 24 windows), and a mapped file that is cut short ends the process by SIGBUS.

    Args:
        descriptor: The open file; stays open.
        digest: SHA-256 of its bytes.
        dimension: Length of a vector.

    Returns:
        Shape (windows, dim), float32: unit vectors, zeros for silent windows, at least one that is not.

    Raises:
        UnreadableWindowsError: These are other bytes, or no such vectors.
        OSError: The disk does not give them.
    """
    size = os.fstat(descriptor).st_size
    if not 0 < size <= MAX_BLOB_BYTES or size % (2 * dimension):
        raise UnreadableWindowsError(f"it has {size} bytes, which are no rows of {dimension} float16")
    data = os.pread(descriptor, size, 0)  # by place: others may read the same descriptor
    if hashlib.sha256(data).digest() != digest:
        raise UnreadableWindowsError("its bytes have another digest")
    rows = np.frombuffer(data, dtype="<f2").astype(np.float32).reshape(-1, dimension)
    heard = voiced(rows)
    norms = np.linalg.norm(rows[heard], axis=1)
    # Written so that NaN is refused too.
    if not len(heard) or not (np.abs(norms - 1.0) <= _NORM_TOLERANCE).all():
        raise UnreadableWindowsError("its rows are no unit vectors")
    rows[heard] /= norms[:, np.newaxis]
    return rows
