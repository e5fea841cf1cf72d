import hashlib
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.chassis.blobs import BlobStore, open_blob_store
from services.chassis.errors import NotFound, ResourceExhausted


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def blobs(folder: Path) -> BlobStore:
    return open_blob_store(f"file://{folder}")


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


async def test_stream_is_stored_under_its_digest(blobs: BlobStore, folder: Path, tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    digest, size = await blobs.put_stream(chunks(data[:100], data[100:3_000_000], data[3_000_000:]), 10_000_000)
    assert (digest, size) == (hashlib.sha256(data).digest(), len(data))
    assert files(folder) == [digest.hex()]
    await blobs.download(digest, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    assert await blobs.size(digest) == len(data)


async def test_the_same_bytes_are_stored_once(blobs: BlobStore, folder: Path) -> None:
    first = await blobs.put(b"same")
    second, _ = await blobs.put_stream(chunks(b"sa", b"me"), 4)
    assert first == second
    assert files(folder) == [first.hex()]
    assert await blobs.get(first) == b"same"


async def test_too_large_stream_leaves_nothing(blobs: BlobStore, folder: Path) -> None:
    with pytest.raises(ResourceExhausted) as caught:
        await blobs.put_stream(chunks(b"12345", b"6"), 5)
    assert (caught.value.reason, caught.value.limit) == ("UPLOAD_TOO_LARGE", "5")
    assert files(folder) == []


async def test_broken_stream_leaves_nothing(blobs: BlobStore, folder: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 20_000_000
        raise ConnectionError("the uploader went away")

    with pytest.raises(ConnectionError):
        await blobs.put_stream(broken(), 10**9)
    assert files(folder) == []


async def test_deleted_blob_is_not_found(blobs: BlobStore, tmp_path: Path) -> None:
    digest = await blobs.put(b"gone")
    await blobs.delete(digest)
    await blobs.delete(digest)
    for read in (blobs.get(digest), blobs.size(digest), blobs.download(digest, tmp_path / "copy")):
        with pytest.raises(NotFound):
            await read


async def test_what_a_killed_process_left_is_swept(blobs: BlobStore, folder: Path) -> None:
    kept = await blobs.put(b"kept")
    (folder / "incoming").mkdir()
    for name, age_s in (("old", 7200), ("old#1", 7200), ("young", 0)):
        (folder / "incoming" / name).write_bytes(b"part")
        os.utime(folder / "incoming" / name, (time.time() - age_s,) * 2)
    swept = await blobs.sweep_incoming(datetime.now(UTC) - timedelta(hours=1))
    assert (swept, files(folder)) == (2, sorted(["young", kept.hex()]))


def test_other_schemes_are_refused() -> None:
    with pytest.raises(ValueError, match="file:// or s3://"):
        open_blob_store("ftp://host/folder")
