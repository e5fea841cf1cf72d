"""The folder of transcoded files: bounded, private ones short-lived, shared by processes."""

import os
from pathlib import Path

from services.gateway.transcoding.cache import TranscodeCache


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def fill(cache: TranscodeCache, key: str, size: int, *, is_private: bool = False) -> None:
    path, descriptor = cache.begin()
    os.write(descriptor, bytes(size))
    os.close(descriptor)
    cache.keep(path, key, is_private=is_private)


def has(cache: TranscodeCache, key: str, *, is_private: bool = False) -> bool:
    descriptor = cache.open(key, is_private=is_private)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def test_what_was_not_asked_for_longest_goes_first(tmp_path: Path) -> None:
    clock = Clock()
    cache = TranscodeCache(tmp_path / "made", 250, clock)
    for key in ("a", "b"):
        fill(cache, key, 100)
        clock.now += 1
    assert has(cache, "a")
    clock.now += 1
    fill(cache, "c", 100)
    assert [has(cache, key) for key in "abc"] == [True, False, True]
    fill(cache, "large", 251)
    assert not has(cache, "large")
    assert list((tmp_path / "made").iterdir()) == []


def test_file_that_goes_is_read_to_its_end(tmp_path: Path) -> None:
    cache = TranscodeCache(tmp_path, 100, Clock())
    fill(cache, "a", 100)
    descriptor = cache.open("a", is_private=False)
    assert descriptor is not None
    fill(cache, "b", 100)
    assert os.pread(descriptor, 200, 0) == bytes(100)
    os.close(descriptor)


def test_private_files_go_fifteen_minutes_after_they_were_made(tmp_path: Path) -> None:
    clock = Clock()
    cache = TranscodeCache(tmp_path, 1000, clock)
    fill(cache, "a", 10, is_private=True)
    fill(cache, "a", 10)
    clock.now += 900
    assert has(cache, "a", is_private=True)
    clock.now += 1
    assert not has(cache, "a", is_private=True)
    cache.trim()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_a_killed_process_left_goes_after_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    cache = TranscodeCache(tmp_path, 1000, clock)
    path, descriptor = cache.begin()
    os.close(descriptor)
    os.utime(path, (clock.now, clock.now))
    clock.now += 3600
    cache.trim()
    assert path.exists()
    clock.now += 1
    cache.trim()
    assert not path.exists()
    TranscodeCache(tmp_path / "nothing", 10, clock).trim()
