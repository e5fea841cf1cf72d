"""Blobs of windows: what is read, what is refused, and the bounded folder of copies of a distant store."""

import asyncio
import contextlib
import errno
import hashlib
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from obstore.store import MemoryStore

from services.chassis.blobs import BlobStore, open_blob_store
from services.chassis.errors import NotFound
from services.retriever.reference.window_cache import WindowCache
from services.retriever.reference.window_store import UnreadableWindowsError, WindowStore, close, read_windows
from services.retriever.similarity import Float32Array
from tests.unit.retriever.test_taste import DIMENSION, unit


def encode(rows: Float32Array) -> bytes:
    return rows.astype("<f2").tobytes()


def digest_of(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


ROWS = np.stack([unit(1), np.zeros(DIMENSION, np.float32), unit(2)])


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[bytes], int]]:
    """Writes bytes to a file and opens it."""
    descriptors: list[int] = []

    def write(data: bytes) -> int:
        path = tmp_path / f"blob-{len(descriptors)}"
        path.write_bytes(data)
        descriptors.append(os.open(path, os.O_RDONLY))
        return descriptors[-1]

    yield write
    close(descriptors)


def test_rows_are_unit_again_and_silent_ones_zeros(opened: Callable[[bytes], int]) -> None:
    data = encode(ROWS)
    found = read_windows(opened(data), digest_of(data), DIMENSION)
    np.testing.assert_allclose(found, ROWS, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 0, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes"),
        (encode(ROWS)[:-1], "35 bytes"),
        (encode(ROWS)[:-4], "32 bytes"),
        (encode(np.zeros((2, DIMENSION), np.float32)), "no unit vectors"),
        (encode(np.float32(1.1) * ROWS), "no unit vectors"),
        (encode(np.vstack([ROWS, np.full((1, DIMENSION), np.nan, np.float32)])), "no unit vectors"),
        (encode(np.vstack([ROWS, np.full((1, DIMENSION), np.inf, np.float32)])), "no unit vectors"),
    ],
)
def test_what_is_no_windows_is_refused(opened: Callable[[bytes], int], data: bytes, why: str) -> None:
    with pytest.raises(UnreadableWindowsError, match=why):
        read_windows(opened(data), digest_of(data), DIMENSION)


def test_a_flipped_bit_is_seen(opened: Callable[[bytes], int]) -> None:
    data = encode(ROWS)
    damaged = bytes([data[0] ^ 1]) + data[1:]
    with pytest.raises(UnreadableWindowsError, match="digest"):
        read_windows(opened(damaged), digest_of(data), DIMENSION)


def test_a_blob_that_is_cut_short_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mapped into memory it would end the process with SIGBUS."""
    data = encode(ROWS)
    path = tmp_path / "blob"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    measure = os.fstat

    def measure_and_cut(descriptor: int) -> os.stat_result:
        found = measure(descriptor)
        os.truncate(path, 12)
        return found

    monkeypatch.setattr("services.retriever.reference.window_store.os.fstat", measure_and_cut)
    with pytest.raises(UnreadableWindowsError, match="another digest"):
        read_windows(descriptor, digest_of(data), DIMENSION)
    os.close(descriptor)


def test_two_read_one_blob_and_move_nobodys_place(opened: Callable[[bytes], int]) -> None:
    data = encode(ROWS)
    descriptor = opened(data)
    first, second = (read_windows(descriptor, digest_of(data), DIMENSION) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert os.lseek(descriptor, 0, os.SEEK_CUR) == 0


async def test_blobs_of_a_folder_are_read_in_place(tmp_path: Path) -> None:
    blobs = open_blob_store(f"file://{tmp_path}/blobs")
    digest = await blobs.put(encode(ROWS))
    store = WindowStore(blobs, WindowCache(blobs, tmp_path / "cache", 1000, 1000))
    descriptors = await store.open([digest, b"\0" * 32])
    assert descriptors[1] is None
    assert descriptors[0] is not None
    np.testing.assert_allclose(read_windows(descriptors[0], digest, DIMENSION), ROWS, atol=1e-3)
    close(descriptors)
    assert not (tmp_path / "cache").exists()


class Counting(BlobStore):
    """A distant store that counts what is fetched from it."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.fetched: list[bytes] = []

    async def download(self, digest: bytes, path: Path) -> None:
        self.fetched.append(digest)
        await super().download(digest, path)


async def read(cache: WindowCache, digest: bytes) -> bytes:
    descriptor = await cache.open(digest)
    try:
        return os.read(descriptor, 10_000)
    finally:
        os.close(descriptor)


async def test_copies_are_used_again_and_the_folder_stays_within_its_bound(tmp_path: Path) -> None:
    blobs, folder = Counting(), tmp_path / "cache"
    contents = [bytes([number]) * 100 for number in range(5)]
    digests = [await blobs.put(content) for content in contents]
    cache = WindowCache(blobs, folder, 350, 1000)

    def kept() -> set[str]:
        return {path.name for path in folder.iterdir()}

    for number in (0, 1, 2, 0):
        assert await read(cache, digests[number]) == contents[number]
    assert blobs.fetched == digests[:3]
    await read(cache, digests[3])  # 1 was used least recently
    assert kept() == {digests[number].hex() for number in (0, 2, 3)}
    in_use = await cache.open(digests[2])
    await read(cache, digests[0])
    await read(cache, digests[3])
    await read(cache, digests[4])
    assert digests[2].hex() not in kept()
    assert os.read(in_use, 100) == contents[2]
    os.close(in_use)

    blobs.fetched.clear()
    (folder / "left.part").write_bytes(b"half")
    again = WindowCache(blobs, folder, 350, 1000)
    assert await read(again, digests[4]) == contents[4]
    assert blobs.fetched == []
    assert len(kept()) == 3
    again.forget(digests[4])
    again.forget(digests[4])
    assert await read(again, digests[4]) == contents[4]
    assert blobs.fetched == [digests[4]]


async def test_one_who_asks_while_another_fetches_waits_for_it(tmp_path: Path) -> None:
    blobs = Counting()
    digest = await blobs.put(b"sound")
    cache = WindowCache(blobs, tmp_path, 1000, 1000)
    assert await asyncio.gather(*(read(cache, digest) for _ in range(40))) == [b"sound"] * 40
    assert len(blobs.fetched) <= 16
    assert set(os.listdir(tmp_path)) == {digest.hex()}


async def test_a_folder_that_was_emptied_is_filled_again(tmp_path: Path) -> None:
    blobs = Counting()
    digest = await blobs.put(b"sound")
    cache = WindowCache(blobs, tmp_path, 1000, 1000)
    await read(cache, digest)
    (tmp_path / digest.hex()).unlink()
    assert await read(cache, digest) == b"sound"


class Growing(Counting):
    """Sends more than it said."""

    async def size(self, digest: bytes) -> int:
        return 10


async def test_a_copy_that_is_larger_than_was_said_is_not_kept(tmp_path: Path) -> None:
    blobs = Growing()
    large, small = await blobs.put(b"x" * 1001), await blobs.put(b"y" * 400)
    cache = WindowCache(blobs, tmp_path, 500, 1000)
    with pytest.raises(OSError, match="1001 bytes"):
        await cache.open(large)
    assert os.listdir(tmp_path) == []
    await read(cache, small)
    other = await blobs.put(b"z" * 400)
    await read(cache, other)  # both together are beyond the bound, whatever was said
    assert os.listdir(tmp_path) == [other.hex()]


async def test_a_full_disk_leaves_nothing_behind_and_what_is_there_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = Counting()
    there, new = await blobs.put(b"there"), await blobs.put(b"new")
    cache = WindowCache(blobs, tmp_path, 1000, 1000)
    await read(cache, there)

    async def no_room(digest: bytes, path: Path) -> None:
        os.close(os.open(path, os.O_CREAT))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(blobs, "download", no_room)
    store = WindowStore(blobs, cache)
    descriptors = await store.open([there, new])
    assert descriptors[1] is None
    assert descriptors[0] is not None
    close(descriptors)
    assert os.listdir(tmp_path) == [there.hex()]


async def test_they_who_come_while_the_folder_is_looked_through_wait_for_it(tmp_path: Path) -> None:
    blobs = Counting()
    digests = [await blobs.put(bytes([number]) * 100) for number in range(3)]
    before = WindowCache(blobs, tmp_path, 300, 1000)
    for digest in digests:
        await read(before, digest)
    blobs.fetched.clear()
    cache = WindowCache(blobs, tmp_path, 300, 1000)
    assert [len(one) for one in await asyncio.gather(*(read(cache, digest) for digest in digests * 3))] == [100] * 9
    assert blobs.fetched == []


async def test_what_is_too_large_or_missing_is_not_fetched(tmp_path: Path) -> None:
    blobs = Counting()
    digest = await blobs.put(b"x" * 1001)
    cache = WindowCache(blobs, tmp_path / "cache", 5000, 1000)
    with pytest.raises(OSError, match="1001 bytes"):
        await cache.open(digest)
    with pytest.raises(NotFound):
        await cache.open(b"\0" * 32)
    assert blobs.fetched == []
    assert not (tmp_path / "cache").exists()
    store = WindowStore(blobs, cache)
    assert await store.open([digest, b"\0" * 32]) == [None, None]


def open_files(folder: Path) -> int:
    """Count the files of a folder that this process holds open."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the list itself is closed by now
            found += os.readlink(f"/proc/self/fd/{name}").startswith(str(folder))
    return found


async def test_nothing_stays_open_for_a_caller_who_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = open_blob_store(f"file://{tmp_path}/blobs")
    digests = [await blobs.put(bytes([number]) * 12) for number in range(4)]
    store = WindowStore(blobs, WindowCache(blobs, tmp_path / "cache", 0, 0))
    open_one: Callable[[bytes], Awaitable[int | None]] = blobs.open

    async def slowly(digest: bytes) -> int | None:
        descriptor = await open_one(digest)
        if digest == digests[3]:
            await asyncio.sleep(600)
        return descriptor

    monkeypatch.setattr(blobs, "open", slowly)
    asking = asyncio.create_task(store.open(digests[:3] + digests[3:]))
    async with asyncio.timeout(60):
        while open_files(tmp_path) != 4:
            await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait({asking})
    # The slow one's own descriptor is the test's.
    assert open_files(tmp_path) == 1
