"""Whatever moment a process dies at, and whatever write fails, the next start finds a whole state or an older one."""

import errno
import logging
import os
import resource
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from services.chassis.bus import LogPosition
from services.retriever.index import base_file, section_file
from services.retriever.index.bases import IndexChoice
from services.retriever.index.index import TrackIndex
from services.retriever.index.kinds import Kind
from services.retriever.index.merging import merge
from services.retriever.index.section_file import CorruptFileError, read_facts
from services.retriever.live import snapshot, snapshot_folder
from services.retriever.live.snapshot import Snapshot
from services.retriever.live.snapshot_folder import SnapshotFolder
from services.retriever.tracks import Track

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
CHOICE = IndexChoice(Kind.SQ8, narrow=0)
WRITERS = {module.__file__ for module in (base_file, section_file, snapshot, snapshot_folder)}


class Writer:
    """An index in a folder of its own, that changes, is merged and is saved."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = SnapshotFolder(root, "enc", CHOICE)
        self.index = TrackIndex("enc", CHOICE)
        self.sequence = 0

    def change(self) -> None:
        """Add three tracks, remove one of those before."""
        for _ in range(3):
            self.sequence += 1
            vector = np.random.default_rng(self.sequence).standard_normal(16).astype(np.float32)
            self.index.upsert(Track(f"t{self.sequence:03d}", 1), vector)
        self.index.remove(f"t{self.sequence - 3:03d}")

    def merge(self) -> None:
        assert self.index.adopt(merge(self.index.freeze(), CHOICE, self.files.next_base(), lambda: False))

    def save(self) -> None:
        self.files.save(Snapshot.of(self.index.freeze(), LogPosition(BEGUN, self.sequence)))

    def live_through(self, rounds: int = 5) -> None:
        """Do all that there is to do with files, old ones that are dropped included."""
        for number in range(rounds):
            self.change()
            if number % 2 == 0:
                self.merge()
            self.save()


def start(root: Path) -> tuple[int, list[str]]:
    """Return the sequence and the tracks that a process would begin with; 0 where it would begin from nothing."""
    found = SnapshotFolder(root, "enc", CHOICE).load_newest()
    if found is None:
        return 0, []
    index = TrackIndex("enc", CHOICE)
    index.restore(found.stored, found.alive, found.tracks, found.vectors)
    return found.position.sequence, sorted(track.track_id for track in index.tracks)


def expected(sequence: int) -> list[str]:
    """The tracks after so many additions."""
    return [f"t{number:03d}" for number in range(1, sequence + 1) if number % 3 or number == sequence]


def test_a_start_after_a_crash_between_any_two_lines_finds_a_whole_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, crashed = tmp_path / "root", tmp_path / "crashed"
    writer = Writer(root)
    saved: list[int] = []
    seen: set[tuple[tuple[str, int], ...]] = set()
    outcomes: list[tuple[int, int]] = []

    def at_line(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in WRITERS:
            return None
        folder = root / "enc"
        state = tuple(sorted((path.name, path.stat().st_size) for path in folder.iterdir())) if folder.exists() else ()
        if state not in seen:
            seen.add(state)
            sys.settrace(None)
            shutil.rmtree(crashed, ignore_errors=True)
            if folder.exists():
                shutil.copytree(folder, crashed / "enc")
            sequence, tracks = start(crashed)
            assert tracks == (expected(sequence) if sequence else [])
            assert not list(crashed.glob("enc/*.writing")) + list(crashed.glob("enc/*.corrupt"))
            outcomes.append((saved[-1] if saved else 0, sequence))
            # And it goes on from there.
            again = Writer(crashed)
            again.live_through(1)
            assert start(crashed)[0] == again.sequence
            sys.settrace(at_line)
        return at_line

    tracer = sys.gettrace()
    sys.settrace(at_line)
    try:
        for number in range(5):
            writer.change()
            if number % 2 == 0:
                writer.merge()
            writer.save()
            saved.append(writer.sequence)
    finally:
        sys.settrace(tracer)
    # Never less than what was there before, at most what was just being saved.
    assert all(sequence in (before, before + 3) for before, sequence in outcomes)
    assert len(outcomes) > 25
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Let no file become larger: like a full disk, this ends writes, flushes and all, in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_at_any_byte_leaves_what_was_there(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.live_through(3)
    writer.change()
    whole = sorted(path.name for path in (tmp_path / "enc").iterdir())
    before = start(tmp_path)
    refused: list[int | None] = []
    for work in (writer.merge, writer.save):
        for size in range(0, 60_000, 61):
            try:
                with disk_of(size):
                    work()
            except OSError as error:
                refused.append(error.errno)
            else:
                break
            assert sorted(path.name for path in (tmp_path / "enc").iterdir()) == whole
        whole = sorted(path.name for path in (tmp_path / "enc").iterdir())
        if work == writer.merge:
            assert start(tmp_path) == before
    assert len(refused) > 60
    assert set(refused) == {errno.EFBIG}
    assert start(tmp_path) == (writer.sequence, expected(writer.sequence))


def test_what_is_renamed_and_deleted_is_on_the_disk_in_the_right_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(tmp_path)
    writer.live_through(4)
    done: list[str] = []
    fsync, rename, unlink = os.fsync, Path.rename, Path.unlink

    def note_fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        done.append("sync folder" if is_folder else "sync file")
        fsync(descriptor)

    def note_rename(self: Path, target: Path) -> Path:
        done.append(f"rename {target.suffix}")
        return rename(self, target)

    def note_unlink(self: Path, missing_ok: bool = False) -> None:
        if self.suffix != ".writing":
            done.append(f"delete {self.suffix}")
        unlink(self, missing_ok)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", note_rename)
    monkeypatch.setattr(Path, "unlink", note_unlink)
    writer.change()
    writer.merge()
    writer.save()
    assert done[:6] == [
        "sync file",
        "rename .base",
        "sync folder",
        "sync file",
        "rename .snapshot",
        "sync folder",
    ]
    assert set(done[6:]) == {"delete .snapshot", "delete .base"}


def test_a_base_that_no_snapshot_rests_on_yet_is_not_taken_for_an_old_one(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.live_through(4)
    # Taken before the next base is made, written after.
    before = Snapshot.of(writer.index.freeze(), LogPosition(BEGUN, writer.sequence))
    writer.change()
    writer.merge()
    writer.files.save(before)
    writer.save()
    assert start(tmp_path) == (15, expected(15))


def damage(path: Path, section: str) -> None:
    """Turn one bit of a section, which must not be empty."""
    data = bytearray(path.read_bytes())
    data[read_facts(path)["sections"][section]["at"]] ^= 1
    path.write_bytes(data)


def test_every_section_of_every_file_is_missed_when_it_is_damaged(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "root")
    writer.live_through(4)
    snapshots = sorted((tmp_path / "root" / "enc").glob("*.snapshot"))
    base = tmp_path / "root" / "enc" / read_facts(snapshots[-1])["base"]["name"]
    tried = 0
    for path in (snapshots[-1], base):
        for name, section in read_facts(path)["sections"].items():
            if not section["bytes"]:
                continue
            shutil.rmtree(tmp_path / "copy", ignore_errors=True)
            shutil.copytree(tmp_path / "root", tmp_path / "copy")
            damage(tmp_path / "copy" / "enc" / path.name, name)
            sequence, tracks = start(tmp_path / "copy")
            # A damaged base takes both snapshots with it that rest on it.
            assert (sequence, tracks) == ((9, expected(9)) if path == snapshots[-1] else (6, expected(6)))
            tried += 1
    assert tried >= 6


def refuse(self: Path, *_: object, **__: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system", str(self))


def test_a_folder_that_cannot_be_written_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(tmp_path)
    writer.live_through(4)
    newest = max((tmp_path / "enc").glob("*.snapshot"))
    damage(newest, next(name for name, each in read_facts(newest)["sections"].items() if each["bytes"]))
    (tmp_path / "enc" / "00000009.base.writing").write_bytes(b"half")
    with monkeypatch.context() as patched:
        for name in ("rename", "unlink", "mkdir"):
            patched.setattr(Path, name, refuse)
        assert start(tmp_path) == (9, expected(9))
    assert [record.message for record in caplog.records] == ["folder_not_tidied", "snapshot_corrupt", "not_set_aside"]
    assert newest.exists()


def test_what_another_release_wrote_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer(tmp_path)
    writer.live_through(4)
    folder = tmp_path / "enc"
    forms: list[dict[str, Any]] = [{"encoder_id": "enc"}, {"base": {"name": "x", "moon": 1}}, {"base": 7}]
    for number, facts in enumerate(forms):
        with section_file.SectionWriter(folder / f"0000002{number}.snapshot") as file:
            file.finish(facts)
    there = sorted(path.name for path in folder.iterdir())
    assert start(tmp_path) == (12, expected(12))
    assert [record.message for record in caplog.records] == ["snapshot_ignored"] * 3
    assert sorted(path.name for path in folder.iterdir()) == there


def test_an_old_file_that_cannot_be_deleted_does_not_make_the_new_one_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(tmp_path)
    writer.live_through(4)
    writer.change()
    unlink = Path.unlink

    def only_own(self: Path, missing_ok: bool = False) -> None:
        unlink(self, missing_ok) if self.suffix == ".writing" else refuse(self)

    monkeypatch.setattr(Path, "unlink", only_own)
    writer.save()
    assert start(tmp_path) == (15, expected(15))
    assert [record.message for record in caplog.records] == ["old_files_kept"]
    # Somebody else may have deleted them by then.
    monkeypatch.setattr(Path, "unlink", unlink)
    glob = Path.glob

    def with_a_ghost(self: Path, pattern: str) -> Iterator[Path]:
        yield from glob(self, pattern)
        yield self / ("00000000" + pattern[1:])

    monkeypatch.setattr(Path, "glob", with_a_ghost)
    caplog.clear()
    writer.save()
    assert not caplog.records


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "no"), OSError(errno.EIO, "no")])
def test_a_file_that_cannot_be_read_now_is_not_called_corrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, caplog: pytest.LogCaptureFixture
) -> None:
    Writer(tmp_path).live_through(4)
    newest = max((tmp_path / "enc").glob("*.snapshot"))
    read = snapshot.read_snapshot

    def fail(path: Path, choice: IndexChoice) -> Any:
        if path == newest:
            raise error
        return read(path, choice)

    monkeypatch.setattr(snapshot_folder, "read_snapshot", fail)
    assert start(tmp_path) == (9, expected(9))
    assert newest.exists()
    assert [(record.message, record.__dict__["path"]) for record in caplog.records] == [
        ("snapshot_unreadable", str(newest))
    ]


def test_a_snapshot_whose_base_is_gone_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Writer(tmp_path).live_through(4)
    max((tmp_path / "enc").glob("*.base")).unlink()
    assert start(tmp_path) == (6, expected(6))
    assert [record.message for record in caplog.records] == ["snapshot_corrupt"] * 2


def test_a_corrupt_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(CorruptFileError, match="shorter than a header"):
        section_file.SectionFile(tmp_path / "x")
