"""Opens the files that a manifest names: of a folder, or of an S3-compatible store."""

import asyncio
import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store

from services.chassis.errors import NotFound, Unavailable
from services.chassis.media import open_in_thread
from services.embedder.audio_hash import audio_hash
from services.embedder.embedding import AudioLimits

if TYPE_CHECKING:  # a name for type checkers alone
    from obstore.store import RetryConfig

_S3 = "s3://"
_CHUNK_BYTES = 4 << 20
# Of the store's client, for each of our own tries; by itself it would try for minutes.
_RETRIES: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}


class Files:
    """Opens files for reading, wherever they lie.

    Args:
        root: Below which relative paths are meant; absolute ones are taken as they are.
        limits: A larger object of a store is not fetched.
        executor: Where disks block.
    """

    def __init__(self, root: Path, limits: AudioLimits, executor: Executor) -> None:
        self._root = root
        self._limits = limits
        self._executor = executor
        self._stores: dict[str, S3Store] = {}

    @contextlib.asynccontextmanager
    async def open(self, path: str) -> AsyncIterator[int]:
        """Open a file at its beginning; the descriptor ends with the context.

        Raises:
            NotFound: MEDIA_NOT_FOUND: no such file, no regular one, not readable.
            Unavailable: MEDIA_UNAVAILABLE: the store does not answer; trying again may help.
            AudioTooLarge: The store says that it is.
        """
        if path.startswith(_S3):
            with tempfile.TemporaryFile(buffering=0) as file:
                await self._fetch(path, file.fileno())
                yield file.fileno()
            return
        descriptor = await open_in_thread(self._executor, lambda: _open(self._root / path.removeprefix("file://")))
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    async def hash(self, descriptor: int) -> str:
        """Return the hash of a file's audio, in hexadecimal; the file is at its beginning again."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, _hash, descriptor)

    async def _fetch(self, address: str, descriptor: int) -> None:
        bucket, _, key = address.removeprefix(_S3).partition("/")
        try:
            if bucket not in self._stores:
                self._stores[bucket] = S3Store.from_url(f"{_S3}{bucket}", retry_config=_RETRIES)
            found = await obstore.get_async(self._stores[bucket], key)
            self._limits.check_size(int(found.meta["size"]))
            async for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
                await asyncio.get_running_loop().run_in_executor(self._executor, _write, descriptor, bytes(chunk))
        except (FileNotFoundError, NotFoundError) as error:
            raise NotFound(f"no object {address}", reason="MEDIA_NOT_FOUND", value=address) from error
        except (BaseError, OSError) as error:
            text = str(error).splitlines()[0][:200]
            raise Unavailable(f"{address}: {text}", reason="MEDIA_UNAVAILABLE", retry_after_ms=1000) from error
        os.lseek(descriptor, 0, os.SEEK_SET)


def _open(path: Path) -> int:
    try:
        # Not blocking: opening a FIFO would otherwise wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.ENOENT, "no regular file")
    except OSError as error:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise NotFound(f"{shown}: {error.strerror}", reason="MEDIA_NOT_FOUND", value=shown) from error
    return descriptor


def _hash(descriptor: int) -> str:
    with open(descriptor, "rb", closefd=False) as file:
        found = audio_hash(file)[1].hex()
    os.lseek(descriptor, 0, os.SEEK_SET)
    return found


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
