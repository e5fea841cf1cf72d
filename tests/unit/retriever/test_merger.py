"""The next base is made beside the index: reads and writes go on, and nothing that happened meanwhile is lost."""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.chassis.bus import LogPosition
from services.retriever.index import base_file, merging
from services.retriever.index.base_file import Ingredients, StoredBase
from services.retriever.index.bases import BuildStoppedError, IndexChoice
from services.retriever.index.index import TrackIndex
from services.retriever.index.kinds import Kind
from services.retriever.live.live import LiveIndex
from services.retriever.live.merger import Merger
from services.retriever.live.snapshot_folder import SnapshotFolder
from services.retriever.live.snapshots import SnapshotKeeper
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
DIMENSION = 16
CHOICE = IndexChoice(Kind.IVF_SQ8, merge_after=10, narrow=0)


def unit(seed: int) -> Float32Array:
    vector = np.random.default_rng(seed).standard_normal(DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture
async def live() -> AsyncIterator[LiveIndex]:
    index = LiveIndex(TrackIndex("enc", CHOICE))
    yield index
    index.close()


@pytest.fixture
def files(tmp_path: Path) -> SnapshotFolder:
    return SnapshotFolder(tmp_path, "enc", CHOICE)


async def add(live: LiveIndex, *numbers: int, version: int = 1, is_caught_up: bool = True) -> None:
    def work(index: TrackIndex) -> int:
        return sum(index.upsert(Track(f"t{number:02d}", version), unit(number + 100 * version)) for number in numbers)

    await live.advance(work, LogPosition(BEGUN, live.change_count + 1), is_caught_up=is_caught_up)


async def names_near(live: LiveIndex, seed: int, count: int = 3) -> list[str]:
    nearest = await live.read(lambda index: index.nearest(unit(seed), count), None, 1.0)
    return [track.track_id for track in nearest.tracks]


class Gate:
    """Holds the making of a base until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self.thread = ""
        write = base_file.write_base

        def wait(path: Path, of: Ingredients, choice: IndexChoice, is_stopped: object) -> StoredBase:
            self.thread = threading.current_thread().name
            self.reached.set()
            while not self.opened.wait(0.01):
                if is_stopped():  # type: ignore[operator]  # it is a function
                    raise BuildStoppedError
            return write(path, of, choice, is_stopped)  # type: ignore[arg-type]  # it is a function

        monkeypatch.setattr(merging, "write_base", wait)


async def test_reads_and_writes_go_on_while_a_base_is_made(
    live: LiveIndex, files: SnapshotFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    merger = Merger(live, files, CHOICE)
    await add(live, *range(20))
    merging_task = asyncio.create_task(merger.merge())
    await asyncio.to_thread(gate.reached.wait, 10)
    assert (live.is_merging, gate.thread) == (True, "retriever-merge_0")
    # Found at once, changed, removed, all without the base.
    await add(live, 77)
    assert await names_near(live, 177, 1) == ["t77"]
    await add(live, 3, version=2)
    assert await names_near(live, 203, 1) == ["t03"]
    await live.advance(lambda index: index.remove("t04"), LogPosition(BEGUN, 99), is_caught_up=True)
    assert "t04" not in await names_near(live, 104, 21)
    before = [await names_near(live, seed, 30) for seed in range(5)]
    gate.opened.set()
    assert await merging_task is True
    assert (live.is_merging, live.merge_count) == (False, 1)
    assert [await names_near(live, seed, 30) for seed in range(5)] == before
    kind, mapped, delta, gone = await live.run(
        lambda index: (index.kind, index.mapped_bytes, index.delta_count, index.tombstone_count)
    )
    assert (kind, mapped, delta, gone) == ("ivf-sq8", 20 * DIMENSION * 2, 2, 2)
    merger.close()


async def test_a_merge_begins_when_enough_has_changed_and_the_log_was_read(
    live: LiveIndex, files: SnapshotFolder
) -> None:
    merger = Merger(live, files, CHOICE)
    task = asyncio.create_task(merger.run())
    await add(live, *range(9))
    assert not live.is_merge_due
    await add(live, *range(9, 30), is_caught_up=False)
    assert not live.is_merge_due
    await add(live, is_caught_up=True)
    assert await live.wait_until(lambda: live.merge_count == 1, 10)
    assert not live.is_merge_due
    assert await live.run(lambda index: index.delta_count) == 0
    task.cancel()
    merger.close()


async def test_a_base_of_an_index_that_was_emptied_is_thrown_away(
    live: LiveIndex, files: SnapshotFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gate = Gate(monkeypatch)
    merger = Merger(live, files, CHOICE)
    await add(live, *range(20))
    merging_task = asyncio.create_task(merger.merge())
    await asyncio.to_thread(gate.reached.wait, 10)

    def begin_anew(index: TrackIndex) -> int:
        index.clear()
        return index.upsert(Track("new", 1), unit(1))

    await live.advance(begin_anew, LogPosition(BEGUN, 1), is_caught_up=True)
    gate.opened.set()
    await merging_task
    assert await names_near(live, 1) == ["new"]
    assert "merge_in_vain" in [record.message for record in caplog.records]
    merger.close()


async def test_closing_ends_a_merge_soon_and_leaves_nothing(
    live: LiveIndex, files: SnapshotFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    merger = Merger(live, files, CHOICE)
    await add(live, *range(20))
    merging_task = asyncio.create_task(merger.merge())
    await asyncio.to_thread(gate.reached.wait, 10)
    merger.close()
    assert await asyncio.wait_for(merging_task, 60) is False
    assert os.listdir(tmp_path) == []


async def test_a_full_disk_only_lets_the_delta_grow(
    live: LiveIndex, files: SnapshotFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "enc").write_text("a file where the folder should be")
    merger = Merger(live, files, CHOICE)
    await add(live, *range(20))
    assert await merger.merge() is False
    assert [record.message for record in caplog.records] == ["merge_failed"]
    assert await names_near(live, 105, 1) == ["t05"]
    (tmp_path / "enc").unlink()
    assert await merger.merge() is True
    assert await live.run(lambda index: index.delta_count) == 0
    merger.close()


async def test_a_base_is_saved_with_a_snapshot_and_not_made_again_at_the_next_start(
    live: LiveIndex, files: SnapshotFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merger = Merger(live, files, CHOICE)
    keeper = SnapshotKeeper(live, files, after_changes=1000, interval_s=3600)
    saving = asyncio.create_task(keeper.run())
    await add(live, *range(20))
    await merger.merge()
    async with asyncio.timeout(60):
        while not list((tmp_path / "enc").glob("*.snapshot")):
            await asyncio.sleep(0.01)
    saving.cancel()
    await add(live, 50)
    await add(live, 7, version=2)
    assert await keeper.save()
    assert sorted(path.name for path in (tmp_path / "enc").iterdir()) == [
        "00000001.base",
        "00000001.snapshot",
        "00000002.snapshot",
    ]
    before = [await names_near(live, seed, 30) for seed in range(5)]
    again = LiveIndex(TrackIndex("enc", CHOICE))
    restarted = SnapshotKeeper(again, files, after_changes=1000, interval_s=3600)
    with monkeypatch.context() as patched:
        patched.setattr("services.retriever.index.bases.build", lambda *_: pytest.fail("it was built"))
        await restarted.restore()
    assert (again.position, again.is_caught_up) == (live.position, False)
    await again.advance(lambda _: 0, again.position, is_caught_up=True)
    assert [await names_near(again, seed, 30) for seed in range(5)] == before
    # A new base alone is worth a snapshot.
    assert await keeper.save()
    await merger.merge()
    assert await keeper.save()
    assert "00000003.snapshot" in os.listdir(tmp_path / "enc")
    for either in (keeper, restarted, merger):
        either.close()
    again.close()


async def test_no_single_damaged_file_makes_all_snapshots_worthless(
    live: LiveIndex, files: SnapshotFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    merger = Merger(live, files, CHOICE)
    keeper = SnapshotKeeper(live, files, after_changes=1, interval_s=3600)
    for number in range(6):
        await add(live, *range(number * 10, number * 10 + 10))
        if number % 2 == 0:
            await merger.merge()
        assert await keeper.save()
    folder = tmp_path / "enc"
    # The newest two, both on the third base, and the newest one of the base before.
    assert sorted(path.name for path in folder.iterdir()) == [
        "00000002.base",
        "00000003.base",
        "00000004.snapshot",
        "00000005.snapshot",
        "00000006.snapshot",
    ]
    data = bytearray((folder / "00000003.base").read_bytes())
    data[5000] ^= 1
    (folder / "00000003.base").write_bytes(data)
    found = files.load_newest()
    assert found is not None
    assert found.track_count == 40
    told = [record.__dict__["error"] for record in caplog.records if record.message == "snapshot_corrupt"]
    assert told == ["its base 00000003.base: the section vectors is damaged"] * 2
    assert sorted(path.name for path in folder.glob("*.corrupt")) == ["00000005.corrupt", "00000006.corrupt"]
    keeper.close()
    merger.close()


async def test_a_merge_that_fails_for_any_reason_is_told_and_tried_again(
    live: LiveIndex, files: SnapshotFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, attempts = base_file.write_base, 0

    def fail_once(*arguments: Any) -> StoredBase:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise RuntimeError("FAISS does not like it")
        return write(*arguments)

    monkeypatch.setattr(merging, "write_base", fail_once)
    merger = Merger(live, files, CHOICE, retry_s=0.01)
    task = asyncio.create_task(merger.run())
    await add(live, *range(20))
    assert await live.wait_until(lambda: live.merge_count == 1, 10)
    assert (attempts, live.is_merging, task.done()) == (2, False, False)
    assert merger.failed_count == 1
    failed = next(record for record in caplog.records if record.message == "merge_failed")
    assert failed.exc_info is not None
    task.cancel()
    merger.close()


async def test_a_snapshot_that_fails_for_any_reason_is_told_and_tried_again(
    live: LiveIndex, files: SnapshotFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = SnapshotKeeper(live, files, after_changes=1, interval_s=3600)
    await add(live, 1)
    with monkeypatch.context() as patched:
        patched.setattr(files, "save", lambda _: 1 / 0)
        assert await keeper.save() is False
    failed = next(record for record in caplog.records if record.message == "snapshot_failed")
    assert failed.exc_info is not None
    assert (keeper.failed_count, keeper.saved_at) == (1, None)
    assert await keeper.save() is True
    assert keeper.failed_count == 1
    assert keeper.saved_at is not None
    found = files.load_newest()
    assert found is not None
    assert found.track_count == 1
    keeper.close()
