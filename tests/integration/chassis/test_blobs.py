import asyncio
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from services.chassis.blobs import BlobStore, StoredBlob, open_blob_store
from services.chassis.errors import NotFound, ResourceExhausted
from services.chassis.settings import SettingsError

NAME = hashlib.sha256(b"sound").hexdigest()


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


@pytest.mark.parametrize("way", ["at once", "in a stream"])
async def test_stored_blob_and_its_folders_are_on_the_disk(
    blobs: BlobStore, folder: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    synced: list[tuple[str, int]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        synced.append((str(Path(path).relative_to(folder)), os.fstat(descriptor).st_size if path.endswith(NAME) else 0))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    if way == "at once":
        await blobs.put(b"sound")
    else:
        await blobs.put_stream(chunks(b"so", b"und"), 100)
    first, second = NAME[:2], NAME[2:4]
    place = f"sha256/{first}/{second}"
    assert synced == [(f"{place}/{NAME}", 5), (place, 0), (f"sha256/{first}", 0), ("sha256", 0), (".", 0)]


# Run in a process of its own, whose writes to files all fail as on a full disk.
_FULL = """
import asyncio, resource, sys
from services.chassis.blobs import open_blob_store
from services.chassis.errors import Unavailable

async def parts():
    yield b"sound"

async def main():
    blobs = open_blob_store(sys.argv[1])
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    for put in (lambda: blobs.put(b"sound"), lambda: blobs.put_stream(parts(), 100)):
        try:
            await put()
        except Unavailable as error:
            print(error.reason, error.retry_after_ms)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print((await blobs.put(b"sound")).hex())

asyncio.run(main())
"""


async def test_full_store_is_unavailable_until_there_is_room(folder: Path) -> None:
    command = [sys.executable, "-c", _FULL, f"file://{folder}"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120)
    refusal = "BLOB_STORE_UNAVAILABLE 2000"
    assert done.stdout.splitlines() == [refusal, refusal, NAME], done.stderr
    assert files(folder) == [NAME]


async def test_source_that_breaks_off_says_so_itself(blobs: BlobStore, folder: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"so"
        raise ConnectionResetError("the client")

    with pytest.raises(ConnectionResetError):
        await blobs.put_stream(broken(), 100)
    assert files(folder) == []


async def test_local_blob_is_opened_where_it_lies(blobs: BlobStore) -> None:
    digest = await blobs.put(b"sound")
    descriptor = await blobs.open(digest)
    assert descriptor is not None
    with os.fdopen(descriptor, "rb") as file:
        assert file.read() == b"sound"
    with pytest.raises(NotFound) as caught:
        await blobs.open(bytes(32))
    assert caught.value.reason == "BLOB_NOT_FOUND"


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
async def test_what_is_no_regular_file_is_no_blob(blobs: BlobStore, folder: Path, make: Callable[[Path], None]) -> None:
    digest = await blobs.put(b"sound")
    path = folder / "sha256" / digest.hex()[:2] / digest.hex()[2:4] / digest.hex()
    path.unlink()
    make(path)
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        with pytest.raises(NotFound) as caught:
            await blobs.open(digest)
        assert caught.value.reason == "BLOB_NOT_FOUND"
    assert os.listdir("/proc/self/fd") == before


async def test_blob_of_no_local_folder_is_not_opened() -> None:
    blobs = BlobStore(MemoryStore())
    assert await blobs.open(await blobs.put(b"sound")) is None


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


@pytest.fixture(params=["folder", "objects"])
def listed(request: pytest.FixtureRequest, folder: Path) -> BlobStore:
    return open_blob_store(f"file://{folder}") if request.param == "folder" else BlobStore(MemoryStore())


async def test_blobs_are_listed_by_their_digests_page_by_page(listed: BlobStore) -> None:
    began = datetime.now(UTC) - timedelta(seconds=5)
    sizes = {await listed.put(bytes([number]) * number): number for number in range(40)}
    soon = datetime.now(UTC) + timedelta(minutes=1)
    everything: list[StoredBlob] = []
    pages: list[int] = []
    while sum(pages) < len(sizes):
        page = await listed.list(soon, after=everything[-1].digest if everything else None, limit=7)
        pages.append(len(page))
        everything += page
    assert pages == [7, 7, 7, 7, 7, 5]
    assert [(one.digest, one.size) for one in everything] == sorted(sizes.items())
    assert all(began < one.modified_at < soon for one in everything)
    assert await listed.list(soon) == everything
    # Also from between two, and past what was deleted meanwhile.
    first, second, third = everything[:3]
    await listed.delete(first.digest)
    between = second.digest[:-1] + bytes([second.digest[-1] ^ 1])
    expected = [third] if between > second.digest else [second]
    assert await listed.list(soon, after=between, limit=1) == expected
    assert await listed.list(soon, after=first.digest, limit=1) == [second]
    assert await listed.list(soon, after=b"\xff" * 32) == []


async def test_young_blobs_are_not_listed(listed: BlobStore) -> None:
    digest = await listed.put(b"young")
    (found,) = await listed.list(datetime.now(UTC) + timedelta(minutes=1))
    assert (await listed.list(found.modified_at), found.digest) == ([], digest)
    assert await listed.list(found.modified_at + timedelta(milliseconds=1)) == [found]


async def test_empty_store_lists_nothing(listed: BlobStore) -> None:
    assert await listed.list(datetime.now(UTC)) == []


async def test_what_is_no_blob_is_not_listed() -> None:
    store = MemoryStore()
    blobs = BlobStore(store)
    digest = await blobs.put(b"sound")
    name = digest.hex()
    for path in (f"incoming/{name}", f"sha256/{name}", f"sha256/00/00/{name}", f"sha256/{name[:2]}/notes", "other"):
        await store.put_async(path, b"x")
    assert [one.digest for one in await blobs.list(datetime.now(UTC) + timedelta(minutes=1))] == [digest]


async def test_what_is_no_blob_in_a_folder_is_not_listed(blobs: BlobStore, folder: Path) -> None:
    digest = await blobs.put(b"sound")
    name = digest.hex()
    home = folder / "sha256" / name[:2] / name[2:4]
    (folder / "sha256" / "00" / "00").mkdir(parents=True)
    for path in (folder / name, folder / "sha256" / name, folder / "sha256/00/00" / name, home / f"{name}#1"):
        path.write_bytes(b"x")
    (home / f"{name[:4]}{'0' * 60}").mkdir()
    (home / f"{name[:4]}{'1' * 60}").symlink_to(home / name)
    assert [one.digest for one in await blobs.list(datetime.now(UTC) + timedelta(minutes=1))] == [digest]


@pytest.mark.parametrize("url", ["ftp://host/folder", "file://relative/folder", "s3:///x", "s3://", ""])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=f"the blob store {url} is neither file:///an/absolute/folder nor"):
        open_blob_store(url)


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=f"the blob store file://{tmp_path}/file/blobs cannot be opened: Not a dir"):
        open_blob_store(f"file://{tmp_path}/file/blobs")
