"""Bytes by their SHA-256, in a local folder or an S3-compatible store. A digest authorises nobody."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path

import obstore
from obstore.store import LocalStore, MemoryStore, S3Store
from uuid_utils.compat import uuid7

from services.chassis.errors import NotFound, ResourceExhausted

CHUNK_BYTES = 1024 * 1024
# Held for each stream that is being stored; parts of an S3 upload have at least so many.
_BUFFER_BYTES = 5 * 1024 * 1024


class BlobStore:
    """Stores bytes once under their digest; reading what was never stored is NotFound. Made by `open_blob_store`."""

    def __init__(self, store: LocalStore | MemoryStore | S3Store, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder

    async def put(self, data: bytes) -> bytes:
        """Store bytes and return their digest, 32 bytes; safe to repeat."""
        digest = hashlib.sha256(data).digest()
        await obstore.put_async(self._store, _key(digest), data)
        return digest

    async def put_stream(self, chunks: AsyncIterable[bytes], max_bytes: int) -> tuple[bytes, int]:
        """Store a stream without holding it in memory.

        Args:
            chunks: The bytes in order.
            max_bytes: Largest size that is accepted.

        Returns:
            Digest, 32 bytes, and size in bytes.

        Raises:
            ResourceExhausted: UPLOAD_TOO_LARGE; nothing stays behind.
        """
        digest = hashlib.sha256()
        size = 0
        incoming = f"incoming/{uuid7()}"
        writer = obstore.open_writer_async(self._store, incoming, buffer_size=_BUFFER_BYTES)
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > max_bytes:
                    raise ResourceExhausted(
                        f"the file is larger than {max_bytes} bytes",
                        reason="UPLOAD_TOO_LARGE",
                        field="body",
                        value=f"over {max_bytes}",
                        limit=max_bytes,
                    )
                digest.update(chunk)
                await writer.write(chunk)
            await writer.close()
            await obstore.rename_async(self._store, incoming, _key(digest.digest()))
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                await writer.close()
            with contextlib.suppress(Exception):
                await obstore.delete_async(self._store, incoming)
            raise
        return digest.digest(), size

    async def size(self, digest: bytes) -> int:
        """Return a blob's size in bytes.

        Raises:
            NotFound: BLOB_NOT_FOUND.
        """
        with _not_found(digest):
            return int((await obstore.head_async(self._store, _key(digest)))["size"])

    async def get(self, digest: bytes) -> bytes:
        """Return a whole blob; for those known to be small.

        Raises:
            NotFound: BLOB_NOT_FOUND.
        """
        with _not_found(digest):
            result = await obstore.get_async(self._store, _key(digest))
            return bytes(await result.bytes_async())

    async def stream(self, digest: bytes) -> AsyncIterator[bytes]:
        """Yield a blob in chunks of about 1 MiB.

        Raises:
            NotFound: BLOB_NOT_FOUND.
        """
        with _not_found(digest):
            result = await obstore.get_async(self._store, _key(digest))
        async for chunk in result.stream(min_chunk_size=CHUNK_BYTES):
            yield bytes(chunk)

    async def download(self, digest: bytes, path: Path) -> None:
        """Write a blob to a local file.

        Raises:
            NotFound: BLOB_NOT_FOUND.
        """
        with path.open("wb") as file:  # page cache writes of 1 MiB: shorter than a thread hop
            async for chunk in self.stream(digest):
                file.write(chunk)

    async def sweep_incoming(self, before: datetime) -> int:
        """Delete what streams left behind whose process was killed on the way; returns how many.

        Args:
            before: Only what nobody has written to since; aware.
        """
        if self._folder is not None:
            return await asyncio.to_thread(_sweep_folder, self._folder / "incoming", before.timestamp())
        swept = 0
        async for page in obstore.list(self._store, prefix="incoming"):
            for found in page:
                if found["last_modified"] < before:
                    await obstore.delete_async(self._store, found["path"])
                    swept += 1
        return swept

    async def delete(self, digest: bytes) -> None:
        """Delete a blob; deleting what is not there is done already."""
        with contextlib.suppress(FileNotFoundError):
            await obstore.delete_async(self._store, _key(digest))


def open_blob_store(url: str) -> BlobStore:
    """Open a blob store.

    Args:
        url: "file:///folder" (made when missing) or "s3://bucket/prefix"; S3 takes endpoint, region and credentials
            from the usual AWS_* environment variables.

    Raises:
        ValueError: Another scheme.
    """
    if url.startswith("file://"):
        folder = Path(url.removeprefix("file://"))
        folder.mkdir(parents=True, exist_ok=True)
        return BlobStore(LocalStore(folder), folder)
    if url.startswith("s3://"):
        return BlobStore(S3Store.from_url(url))
    raise ValueError(f"blob store {url!r} must begin with file:// or s3://")


def _sweep_folder(folder: Path, before_s: float) -> int:
    # Not listed by the store: parts of unfinished files are named "…#1", which it hides.
    old = [path for path in folder.glob("*") if path.stat().st_mtime < before_s]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _key(digest: bytes) -> str:
    name = digest.hex()
    return f"sha256/{name[:2]}/{name[2:4]}/{name}"


@contextlib.contextmanager
def _not_found(digest: bytes) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound("no such blob", reason="BLOB_NOT_FOUND", value=digest.hex()) from error
