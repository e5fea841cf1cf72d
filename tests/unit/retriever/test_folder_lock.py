"""One process a folder."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.retriever.live.folder_lock import FolderLock

_HOLDER = """
import sys
from pathlib import Path
from services.retriever.live.folder_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]), "THE_FOLDER")
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_kept_out_until_the_first_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "snapshots"
    command = [sys.executable, "-c", _HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(SystemExit, match=f"{folder} is used by another process"):
            FolderLock(folder, "THE_FOLDER")
        holder.kill()
    FolderLock(folder, "THE_FOLDER").close()
    assert os.listdir(folder) == []


def test_a_folder_that_cannot_be_made_or_written_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, why in ((tmp_path / "file" / "snapshots", "Not a directory"), (tmp_path / "file", "File exists")):
        with pytest.raises(SystemExit, match=f"THE_FOLDER: {path} cannot be used: {why}"):
            FolderLock(path, "THE_FOLDER")
    with pytest.raises(SystemExit, match="THE_FOLDER: /proc/self cannot be written"):
        FolderLock(Path("/proc/self"), "THE_FOLDER")


def test_a_folder_that_cannot_be_locked_is_named_and_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOTSUP, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    FolderLock(tmp_path, "THE_FOLDER").close()
    assert [record.message for record in caplog.records] == ["folder_not_locked"]
