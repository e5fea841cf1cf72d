"""Snapshots come back as they were written, or not at all."""

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from services.chassis.bus import LogPosition
from services.retriever.index.bases import IndexChoice
from services.retriever.index.index import TrackIndex
from services.retriever.index.kinds import Kind
from services.retriever.index.section_file import CorruptFileError, read_facts
from services.retriever.live.live import LiveIndex
from services.retriever.live.snapshot import Snapshot, read_snapshot, write_snapshot
from services.retriever.live.snapshot_folder import SnapshotFolder, drop_retired
from services.retriever.live.snapshots import SnapshotKeeper
from services.retriever.tracks import Track

BEGUN = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
TRACKS = [
    Track("a", 3, "좋은 날", "IU", "Real\nLive", "k/p", "Pop", 2010, 233.5, b"\xff" * 32, ("pop", "female vocal")),
    Track("b", 1),
]


CHOICE = IndexChoice(Kind.IVF_SQ8, narrow=0)
NO_BASE = np.zeros(0, np.bool_)


def a_snapshot(sequence: int = 7, encoder_id: str = "enc") -> Snapshot:
    vectors = np.eye(4, dtype=np.float32)[:2]
    return Snapshot(encoder_id, LogPosition(BEGUN, sequence), None, NO_BASE, TRACKS, vectors)


def test_a_snapshot_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "s", a_snapshot())
    found = read_snapshot(tmp_path / "s", CHOICE)
    assert (found.encoder_id, found.position, list(found.tracks)) == ("enc", LogPosition(BEGUN, 7), TRACKS)
    assert (found.stored, found.track_count) == (None, 2)
    assert np.array_equal(found.vectors, np.eye(4, dtype=np.float32)[:2])


def test_an_empty_index_has_a_snapshot_too(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "s", Snapshot.of(TrackIndex("enc").freeze(), LogPosition(BEGUN, 0)))
    found = read_snapshot(tmp_path / "s", CHOICE)
    assert (found.track_count, found.vectors.size) == (0, 0)


def test_no_byte_can_change_or_go_missing_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    write_snapshot(path, a_snapshot())
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CorruptFileError):
            read_snapshot(path, CHOICE)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptFileError):
            read_snapshot(path, CHOICE)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CorruptFileError):
        read_snapshot(path, CHOICE)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "enc").iterdir())


def test_the_newest_two_are_kept_and_the_newest_is_loaded(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, "enc")
    assert folder.load_newest() is None
    for sequence in (1, 2, 3):
        folder.save(a_snapshot(sequence))
    assert names(tmp_path) == ["00000002.snapshot", "00000003.snapshot"]
    found = SnapshotFolder(tmp_path, "enc").load_newest()
    assert found is not None
    assert found.position.sequence == 3


@pytest.mark.parametrize("section", ["magic", "header", "vectors", "tracks"])
def test_a_damaged_one_is_named_and_set_aside_and_the_older_one_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, section: str
) -> None:
    folder = SnapshotFolder(tmp_path, "enc")
    folder.save(a_snapshot(1))
    newest = folder.save(a_snapshot(2))
    data = bytearray(newest.read_bytes())
    places = {name: each["at"] for name, each in read_facts(newest)["sections"].items()}
    data[{"magic": 0, "header": 60, **places}[section]] ^= 0x80
    newest.write_bytes(data)
    found = folder.load_newest()
    assert found is not None
    assert found.position.sequence == 1
    assert names(tmp_path) == ["00000001.snapshot", "00000002.corrupt"]
    record = next(record for record in caplog.records if record.message == "snapshot_corrupt")
    assert (record.levelno, record.__dict__["path"]) == (logging.ERROR, str(newest))
    # The number is not used again, so that newer stays newer.
    assert folder.save(a_snapshot(3)).name == "00000003.snapshot"


def test_when_all_are_truncated_nothing_is_loaded(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, "enc")
    for sequence in (1, 2):
        path = folder.save(a_snapshot(sequence))
        path.write_bytes(path.read_bytes()[:-64])
    assert folder.load_newest() is None
    assert names(tmp_path) == ["00000001.corrupt", "00000002.corrupt"]


def test_one_of_another_encoder_is_ignored_and_left_alone(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, "enc")
    folder.save(a_snapshot(1))
    folder.save(a_snapshot(2, encoder_id="other"))
    found = folder.load_newest()
    assert found is not None
    assert (found.encoder_id, found.position.sequence) == ("enc", 1)
    assert names(tmp_path) == ["00000001.snapshot", "00000002.snapshot"]
    assert SnapshotFolder(tmp_path, "another").load_newest() is None


def test_what_a_crash_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, "enc")
    folder.save(a_snapshot(1))
    (tmp_path / "enc" / "00000002.writing").write_bytes(b"MUSEEDS1")
    found = folder.load_newest()
    assert found is not None
    assert names(tmp_path) == ["00000001.snapshot"]


def test_of_encoders_that_are_not_kept_only_the_last_one_stays(tmp_path: Path) -> None:
    for age, encoder_id in enumerate(["old", "older", "kept", "newest"]):
        path = SnapshotFolder(tmp_path, encoder_id).save(a_snapshot(1, encoder_id))
        os.utime(path, (1e9 - age if encoder_id != "newest" else 2e9,) * 2)
    (tmp_path / "older" / "00000002.base.writing").touch()
    (tmp_path / "older" / "notes.txt").touch()
    (tmp_path / ".windows").mkdir()
    (tmp_path / ".windows" / ("0" * 64)).touch()
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "00000001.flac").touch()
    drop_retired(tmp_path, {"kept"})
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == [
        f".windows/{'0' * 64}",
        "kept/00000001.snapshot",
        "music/00000001.flac",
        "newest/00000001.snapshot",
        "older/notes.txt",
    ]
    assert not (tmp_path / "old").exists()
    drop_retired(tmp_path / "missing", set())


@pytest.fixture
async def live() -> AsyncIterator[LiveIndex]:
    index = LiveIndex(TrackIndex("enc"))
    yield index
    index.close()


async def add(live: LiveIndex, sequence: int) -> None:
    def work(index: TrackIndex) -> int:
        return index.upsert(Track(f"t{sequence}", 1), np.eye(64, dtype=np.float32)[sequence])

    await live.advance(work, LogPosition(BEGUN, sequence), is_caught_up=True)


def saved_sequence(folder: SnapshotFolder, path: Path) -> int | None:
    # A look into the folder of another clears away what that one is just writing.
    if not list((path / "enc").glob("*.snapshot")):
        return None
    found = folder.load_newest()
    return None if found is None else found.position.sequence


async def test_keeper_saves_after_so_many_changes(live: LiveIndex, tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, "enc")
    keeper = SnapshotKeeper(live, folder, after_changes=3, interval_s=3600)
    task = asyncio.create_task(keeper.run())
    for sequence in (1, 2):
        await add(live, sequence)
    assert saved_sequence(folder, tmp_path) is None
    await add(live, 3)
    async with asyncio.timeout(60):
        while saved_sequence(folder, tmp_path) is None:
            await asyncio.sleep(0.01)
    assert saved_sequence(folder, tmp_path) == 3
    task.cancel()
    keeper.close()


async def test_keeper_saves_after_some_time_if_anything_changed(live: LiveIndex, tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, "enc")
    keeper = SnapshotKeeper(live, folder, after_changes=100, interval_s=0.05)
    task = asyncio.create_task(keeper.run())
    await add(live, 1)
    async with asyncio.timeout(60):
        while saved_sequence(folder, tmp_path) is None:
            await asyncio.sleep(0.01)
    task.cancel()
    keeper.close()


async def test_keeper_saves_nothing_twice_and_nothing_incomplete(live: LiveIndex, tmp_path: Path) -> None:
    keeper = SnapshotKeeper(live, SnapshotFolder(tmp_path, "enc"), after_changes=1, interval_s=3600)
    await live.advance(lambda index: index.upsert(TRACKS[0], np.eye(4, dtype=np.float32)[0]), None, is_caught_up=False)
    assert await keeper.save()
    assert not (tmp_path / "enc").exists()
    await add_one_of_four(live)
    for _ in range(3):
        assert await keeper.save()
    assert names(tmp_path) == ["00000001.snapshot"]
    keeper.close()


async def add_one_of_four(live: LiveIndex) -> None:
    await live.advance(
        lambda index: index.upsert(TRACKS[1], np.eye(4, dtype=np.float32)[1]), LogPosition(BEGUN, 2), is_caught_up=True
    )


async def test_keeper_restores_the_index_and_its_position(live: LiveIndex, tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, "enc")
    folder.save(a_snapshot(9))
    keeper = SnapshotKeeper(live, folder, after_changes=1, interval_s=3600)
    await keeper.restore()
    assert (live.position, live.is_caught_up) == (LogPosition(BEGUN, 9), False)
    assert await live.run(lambda index: index.tracks) == TRACKS
    assert await keeper.save()
    assert names(tmp_path) == ["00000001.snapshot"]
    keeper.close()


async def test_a_snapshot_that_the_index_does_not_take_leaves_it_to_the_log(
    live: LiveIndex, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SnapshotFolder(tmp_path, "enc")
    folder.save(a_snapshot(9))

    def half(index: TrackIndex, *_: object) -> None:
        index.upsert(TRACKS[0], np.eye(4, dtype=np.float32)[0])
        raise ValueError("two vectors and one track")

    monkeypatch.setattr(TrackIndex, "restore", half)
    keeper = SnapshotKeeper(live, folder, after_changes=1, interval_s=3600)
    await keeper.restore()
    assert (live.position, await live.run(len)) == (None, 0)
    assert [record.message for record in caplog.records] == ["snapshot_not_restored"]
    keeper.close()


async def test_a_full_disk_does_no_harm(live: LiveIndex, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "enc").write_text("a file where the folder should be")
    keeper = SnapshotKeeper(live, SnapshotFolder(tmp_path, "enc"), after_changes=1, interval_s=3600)
    await add(live, 1)
    assert not await keeper.save()
    assert [record.message for record in caplog.records] == ["snapshot_failed"]
    keeper.close()


_WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from services.chassis.bus import LogPosition
from services.retriever.index.bases import IndexChoice
from services.retriever.index.index import TrackIndex
from services.retriever.index.kinds import Kind
from services.retriever.index.merging import merge
from services.retriever.live.snapshot import Snapshot
from services.retriever.live.snapshot_folder import SnapshotFolder, drop_retired
from services.retriever.tracks import Track

choice = IndexChoice(Kind.SQ8)
files = SnapshotFolder(Path(sys.argv[1]), "enc", choice)
index = TrackIndex("enc", choice)
for number, vector in enumerate(np.random.default_rng(0).standard_normal((2000, 64)).astype(np.float32)):
    index.upsert(Track(f"t{number}", 1), vector)
sequence = 0
while True:
    index.adopt(merge(index.freeze(), choice, files.next_base(), lambda: False))
    sequence += 1
    files.save(Snapshot.of(index.freeze(), LogPosition(datetime(2026, 1, 1, tzinfo=UTC), sequence)))
    print(sequence, flush=True)
"""


def test_a_writer_that_is_killed_leaves_all_that_it_had_finished(tmp_path: Path) -> None:
    for delay_s in (0.0, 0.005):
        with subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            finished = [int(writer.stdout.readline()) for _ in range(3)][-1]
            time.sleep(delay_s)  # somewhere within the writing of the next base or snapshot
            writer.kill()
        found = SnapshotFolder(tmp_path, "enc", IndexChoice(Kind.SQ8)).load_newest()
        assert found is not None
        assert found.position.sequence >= finished
        assert found.track_count == 2000
        assert not list((tmp_path / "enc").glob("*.writing")) + list((tmp_path / "enc").glob("*.corrupt"))
