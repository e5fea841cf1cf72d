"""Bytes by their SHA-256, in a local folder or an S3-compatible store. A digest authorises nobody."""

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
import re
import stat
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, MemoryStore, S3Store
from uuid_utils.compat import uuid7

from services.chassis.errors import NotFound, ResourceExhausted, Unavailable
from services.chassis.media import open_in_thread
from services.chassis.settings import SettingsError

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1024 * 1024
# Held for each stream that is being stored; parts of an S3 upload have at least so many.
_BUFFER_BYTES = 5 * 1024 * 1024
_RETRY_AFTER_MS = 2000
# Of this process: a full store is the matter of the machine, whoever writes.
_write_failures = 0
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob as it lies in the store: digest of 32 bytes, size in bytes, and when it was last written (aware)."""

    digest: bytes
    size: int
    modified_at: datetime


class BlobStore:
    """Stores bytes once under their digest; reading what was never stored is NotFound. Made by `open_blob_store`."""

    def __init__(self, store: LocalStore | MemoryStore | S3Store, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder

    @property
    def objects(self) -> LocalStore | MemoryStore | S3Store:
        """The store itself, for what lies beside the blobs under names of its own."""
        return self._store

    @property
    def folder(self) -> Path | None:
        """Where a local store lies; None for others."""
        return self._folder

    async def put(self, data: bytes) -> bytes:
        """Store bytes and return their digest, 32 bytes; safe to repeat. Then a power failure takes them no more.

        Raises:
            Unavailable: BLOB_STORE_UNAVAILABLE: full, or away.
        """
        digest = hashlib.sha256(data).digest()
        with telling_write_errors():
            await obstore.put_async(self._store, _key(digest), data)
            await self._settle(digest)
        return digest

    async def put_stream(self, chunks: AsyncIterable[bytes], max_bytes: int) -> tuple[bytes, int]:
        """Store a stream without holding it in memory. Then a power failure takes it no more.

        Args:
            chunks: The bytes in order.
            max_bytes: Largest size that is accepted.

        Returns:
            Digest, 32 bytes, and size in bytes.

        Raises:
            ResourceExhausted: UPLOAD_TOO_LARGE; nothing stays behind.
            Unavailable: BLOB_STORE_UNAVAILABLE: full, or away; nothing stays behind.
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
                with telling_write_errors():
                    await writer.write(chunk)
            with telling_write_errors():
                await writer.close()
                await obstore.rename_async(self._store, incoming, _key(digest.digest()))
                await self._settle(digest.digest())
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

    async def read(self, digest: bytes, position: int, length: int) -> bytes:
        """Return bytes from a position of a blob: at least one, fewer than `length` at its end.

        Raises:
            NotFound: BLOB_NOT_FOUND.
        """
        with _not_found(digest):
            return bytes(await obstore.get_range_async(self._store, _key(digest), start=position, length=length))

    async def open(self, digest: bytes) -> int | None:
        """Open a blob that lies in a local folder; None where the store is none.

        Returns:
            A file descriptor that the caller closes.

        Raises:
            NotFound: BLOB_NOT_FOUND.
        """
        if self._folder is None:
            return None
        path = self._folder / _key(digest)
        with _not_found(digest):
            return await open_in_thread(None, lambda: _open_regular(path))

    async def download(self, digest: bytes, path: Path) -> None:
        """Write a blob to a local file.

        Raises:
            NotFound: BLOB_NOT_FOUND.
        """
        with path.open("wb") as file:  # page cache writes of 1 MiB: shorter than a thread hop
            async for chunk in self.stream(digest):
                file.write(chunk)

    async def list(
        self, older_than: datetime, *, after: bytes | None = None, limit: int = 1000
    ) -> Sequence[StoredBlob]:
        """Return one page of the blobs that were stored some time ago, in order of their digests.

        Every blob that is there from the first page to the last is told of once. Whatever is no blob is passed over.

        Args:
            older_than: Only what was last written before; aware.
            after: Digest of the last blob of the page before; None begins.
            limit: At most so many, at least 1; fewer mean that this was the last page.
        """
        if self._folder is not None:
            return await asyncio.to_thread(_list_folder, self._folder / "sha256", older_than, after, limit)
        found: list[StoredBlob] = []
        offset = None if after is None else _key(after)
        async for page in obstore.list(self._store, prefix="sha256", offset=offset):
            for one in page:
                digest = _digest_of(one["path"])
                if digest is not None and one["last_modified"] < older_than:
                    found.append(StoredBlob(digest, one["size"], one["last_modified"]))
                    if len(found) == limit:
                        return found
        return found

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

    async def _settle(self, digest: bytes) -> None:
        # The store itself leaves a local file, and the names of new folders, to the kernel's cache.
        if self._folder is not None:
            await asyncio.to_thread(_sync, self._folder, self._folder / _key(digest))

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
        SettingsError: Another scheme, a folder that cannot be made, or no bucket; the text names the address.
    """
    try:
        if url.startswith("file:///"):
            folder = Path(url.removeprefix("file://"))
            folder.mkdir(parents=True, exist_ok=True)
            return BlobStore(LocalStore(folder), folder)
        if url.startswith("s3://") and url.removeprefix("s3://").partition("/")[0]:
            return BlobStore(S3Store.from_url(url))
    except OSError as error:
        raise SettingsError(f"the blob store {url} cannot be opened: {error.strerror}") from error
    except BaseError as error:
        raise SettingsError(f"the blob store {url} cannot be opened: {str(error).splitlines()[0]}") from error
    raise SettingsError(f"the blob store {url} is neither file:///an/absolute/folder nor s3://bucket/prefix")


def _open_regular(path: Path) -> int:
    # Not blocking: opening a FIFO would otherwise wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "not a regular file", str(path))
    return descriptor


@contextlib.contextmanager
def telling_write_errors() -> Iterator[None]:
    """Tell that a store takes nothing, because it is full or away: no fault of what was to be stored.

    Raises:
        Unavailable: BLOB_STORE_UNAVAILABLE.
    """
    try:
        yield
    except AlreadyExistsError:
        raise
    except (OSError, BaseError) as error:
        global _write_failures
        _write_failures += 1
        cause = str(error).partition("\n")[0]
        logger.warning("blob_store_unavailable", extra={"error": cause})
        raise Unavailable(
            "files cannot be stored for the moment", reason="BLOB_STORE_UNAVAILABLE", retry_after_ms=_RETRY_AFTER_MS
        ) from error


def write_failures() -> int:
    """Return how often a store has taken nothing from this process."""
    return _write_failures


def _sync(root: Path, path: Path) -> None:
    """Have a file, and the names that lead to it, on the disk. Blocks."""
    for one in (path, *path.parents):
        descriptor = os.open(one, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if one == root:
            return


def _sweep_folder(folder: Path, before_s: float) -> int:
    # Not listed by the store: parts of unfinished files are named "…#1", which it hides.
    old = [path for path in folder.glob("*") if path.stat().st_mtime < before_s]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _list_folder(root: Path, older_than: datetime, after: bytes | None, limit: int) -> list[StoredBlob]:
    # By hand: the store lists a folder in no order, so that a page of it would have to hold all.
    found: list[StoredBlob] = []
    last = "" if after is None else after.hex()
    for first in _names(root, last[:2]):
        for second in _names(root / first, last[2:4] if first == last[:2] else ""):
            folder = root / first / second
            for name in _names(folder):
                digest = _digest_of(f"sha256/{first}/{second}/{name}")
                if digest is None or name <= last:
                    continue
                try:
                    facts = (folder / name).lstat()
                except FileNotFoundError:  # deleted meanwhile
                    continue
                modified_at = datetime.fromtimestamp(facts.st_mtime, UTC)
                if stat.S_ISREG(facts.st_mode) and modified_at < older_than:
                    found.append(StoredBlob(digest, facts.st_size, modified_at))
                    if len(found) == limit:
                        return found
    return found


def _names(folder: Path, least: str = "") -> list[str]:
    """Return what lies in a folder, in order, from a name on; nothing where it is none."""
    try:
        return sorted(name for name in os.listdir(folder) if name >= least)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _digest_of(path: str) -> bytes | None:
    """Return the digest whose blob lies at a path, None where none does."""
    name = path.rpartition("/")[2]
    if not _DIGEST.fullmatch(name):
        return None
    digest = bytes.fromhex(name)
    return digest if _key(digest) == path else None


def _key(digest: bytes) -> str:
    name = digest.hex()
    return f"sha256/{name[:2]}/{name[2:4]}/{name}"


@contextlib.contextmanager
def _not_found(digest: bytes) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound("no such blob", reason="BLOB_NOT_FOUND", value=digest.hex()) from error
