"""What an upload's file does where the disk takes it only in parts."""

import errno
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from services.chassis.settings import SettingsError
from services.embedder.errors import SpoolUnavailable
from services.embedder.spool import Spool, SpooledFile


class FillingDisk(io.FileIO):
    """Takes at most 1000 bytes at a time, and is full at some size. Raises only when nothing fits: see write(2)."""

    def __init__(self, path: Path, room_bytes: int) -> None:
        super().__init__(path, "w+")
        self._room_bytes = room_bytes

    def write(self, data: Any) -> int:
        if self._room_bytes == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(len(data), self._room_bytes, 1000)
        self._room_bytes -= taken
        written = super().write(data[:taken])
        assert written == taken
        return taken


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as one:
        yield one


async def test_file_holds_every_byte_where_writes_are_short(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    with FillingDisk(tmp_path / "file", room_bytes=10_000) as disk:
        file = SpooledFile(disk, executor)
        for chunk in (b"a" * 2_500, b"", b"b" * 7_500):
            await file.write(chunk)
        assert file.size_bytes == 10_000
        assert os.read(file.rewind(), 20_000) == b"a" * 2_500 + b"b" * 7_500


async def test_disk_that_is_full_within_a_chunk_is_coded(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    with FillingDisk(tmp_path / "file", room_bytes=2_100) as disk:
        file = SpooledFile(disk, executor)
        await file.write(b"a" * 2_000)
        with pytest.raises(SpoolUnavailable, match="No space left on device") as caught:
            await file.write(b"b" * 200)
        assert caught.value.retry_after_ms == 1000
        assert file.size_bytes == 2_000


def test_folder_that_cannot_be_made_is_told_by_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        SettingsError, match=f"EMBEDDER_SPOOL_FOLDER: no folder can be made at {tmp_path}/file: File ex"
    ):
        Spool(tmp_path / "file")


async def test_folder_that_takes_no_file_is_coded(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    (tmp_path / "spool").rmdir()
    with pytest.raises(SpoolUnavailable, match="No such file") as caught:
        async with spool.open():
            pass
    assert caught.value.retry_after_ms == 1000
    spool.close()
