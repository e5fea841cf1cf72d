"""What an inflictor does to processes and files, and what it says of it."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from clients.python.errors import ClientError
from tests.faults import inflict
from tests.faults.files import tear, tearable
from tests.faults.inflict import Inflictor
from tests.faults.mesh import FaultyMesh
from tests.faults.plan import Fault, Kind

_ALONE = "import time; time.sleep(600)"
# It goes on when its child is dead.
_PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{_ALONE}']); {_ALONE}"


class Mesh:
    """Processes of this test in the place of a mesh."""

    def __init__(self, folder: Path) -> None:
        self.state = folder
        self.nats_store = folder / "nats"
        self.links: dict[str, Any] = {}
        self.running: dict[str, psutil.Popen] = {}
        self.has_stand_in = True
        self.is_refused = False

    def start(self, name: str, code: str) -> psutil.Process:
        self.running[name] = psutil.Popen([sys.executable, "-c", code])
        return self.running[name]

    def whole(self, name: str) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess, KeyError):
            top = self.running[name]
            return [top, *top.children(recursive=True)]
        return []

    @contextlib.asynccontextmanager
    async def standing_in(self, name: str) -> AsyncIterator[bool]:
        yield self.has_stand_in

    async def ask_for_restart(self, name: str) -> None:
        if self.is_refused:
            raise ClientError("nothing was ended", "RESTART_FAILED")


@pytest.fixture
def mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mesh]:
    monkeypatch.setattr(inflict, "_OCCASION_S", 0.5)
    made = Mesh(tmp_path)
    yield made
    for process in [one for name in made.running for one in made.whole(name)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    for started in made.running.values():
        started.wait()


def fault(kind: Kind, target: str, lasts_s: float = 0.0, amount: float = 0.5) -> Fault:
    return Fault(0, kind, target, 0.0, lasts_s, amount)


def inflictor(mesh: Mesh) -> Inflictor:
    return Inflictor(cast("FaultyMesh", mesh), 1)


async def has_child(process: psutil.Process) -> psutil.Process:
    async with asyncio.timeout(60):
        while not (children := process.children()):  # processes tell nobody
            await asyncio.sleep(0.01)
    return children[0]


def is_dead(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_child_is_killed_and_its_parent_is_not(mesh: Mesh) -> None:
    parent = mesh.start("embedder", _PARENT)
    child = await has_child(parent)
    by = inflictor(mesh)
    await by.inflict(fault(Kind.KILL_CHILD, "embedder"))
    assert [one.kind for one in by.done] == [Kind.KILL_CHILD]
    psutil.wait_procs([child], timeout=20)
    assert is_dead(child)
    assert not is_dead(parent)


async def test_what_finds_no_occasion_is_noted_as_the_kill_that_it_was(mesh: Mesh) -> None:
    for kind, name in ((Kind.KILL_CHILD, "postgres"), (Kind.TEAR, "gateway")):
        process = mesh.start(name, _ALONE)
        by = inflictor(mesh)
        await by.inflict(fault(kind, name))
        assert [(one.kind, one.target) for one in by.done] == [(Kind.KILL, name)]
        psutil.wait_procs([process], timeout=20)
        assert is_dead(process)


async def test_upload_that_is_coming_is_torn_after_its_process_died(mesh: Mesh) -> None:
    coming = mesh.state / "blobs" / "incoming" / "upload"
    coming.parent.mkdir(parents=True)
    left = coming.with_name("of an earlier death")
    left.write_bytes(bytes(1_000))
    os.utime(left, (1.0, 1.0))
    process = mesh.start("gateway", _ALONE)

    async def send() -> None:
        await asyncio.sleep(0.1)
        coming.write_bytes(bytes(1_000))

    by = inflictor(mesh)
    await asyncio.gather(by.inflict(fault(Kind.TEAR, "gateway", amount=0.25)), send())
    assert [one.kind for one in by.done] == [Kind.TEAR]
    assert (coming.stat().st_size, left.stat().st_size) == (250, 1_000)
    assert is_dead(process)


async def test_pause_ends_and_faults_of_one_process_overlap(mesh: Mesh) -> None:
    process = mesh.start("social", _ALONE)
    by = inflictor(mesh)
    first = asyncio.create_task(by.inflict(fault(Kind.PAUSE, "social", lasts_s=0.3)))
    await asyncio.sleep(0.1)
    assert process.status() == psutil.STATUS_STOPPED
    await by.inflict(fault(Kind.PAUSE, "retriever"))
    assert by.overlapping == 0
    await by.inflict(fault(Kind.KILL, "nats"))
    assert by.overlapping == 0
    await by.inflict(fault(Kind.PAUSE, "social"))
    assert by.overlapping == 1
    await first
    assert process.status() != psutil.STATUS_STOPPED
    await by.inflict(fault(Kind.PAUSE, "social"))
    assert by.overlapping == 1
    process.send_signal(signal.SIGKILL)


async def test_who_is_woken_or_killed_before_its_time_has_not_overslept(mesh: Mesh) -> None:
    process = mesh.start("social", _ALONE)
    by = inflictor(mesh)
    sleeping = asyncio.create_task(by.inflict(fault(Kind.OVERSLEEP, "social", lasts_s=0.6)))
    await asyncio.sleep(0.1)
    await by.inflict(fault(Kind.PAUSE, "social", lasts_s=0.1))  # its end wakes nobody who oversleeps
    assert process.status() == psutil.STATUS_STOPPED
    await sleeping
    assert process.status() != psutil.STATUS_STOPPED
    mesh.has_stand_in = False
    await by.inflict(fault(Kind.OVERSLEEP, "social", lasts_s=0.1))
    mesh.has_stand_in = True
    sleeping = asyncio.create_task(by.inflict(fault(Kind.OVERSLEEP, "social", lasts_s=0.6)))
    await asyncio.sleep(0.1)
    await by.inflict(fault(Kind.KILL, "social"))
    process.wait()
    await sleeping
    assert [one.kind for one in by.done] == [Kind.OVERSLEEP, Kind.PAUSE, Kind.KILL, Kind.PAUSE]
    assert [one.kind for one in by.missed] == [Kind.PAUSE]


async def test_what_was_refused_or_found_nobody_is_not_counted(mesh: Mesh) -> None:
    by = inflictor(mesh)
    await by.inflict(fault(Kind.REPLACE, "social"))
    mesh.is_refused = True
    await by.inflict(fault(Kind.REPLACE, "social"))
    for kind in (Kind.KILL, Kind.PAUSE, Kind.OVERSLEEP, Kind.FULL, Kind.KILL_CHILD):
        await by.inflict(fault(kind, "retriever"))
    assert [one.kind for one in by.done] == [Kind.REPLACE]
    assert len(by.missed) == 6


def test_torn_message_lies_behind_the_last_one(tmp_path: Path) -> None:
    mesh = cast("FaultyMesh", SimpleNamespace(nats_store=tmp_path, state=tmp_path))
    block, index, empty = tmp_path / "1.blk", tmp_path / "index.db", tmp_path / "2.blk"
    block.write_bytes(b"m" * 500)
    index.write_bytes(b"i" * 500)
    empty.touch()
    assert tearable(mesh, "nats") == [block, index]
    torn: set[Path] = set()
    for seed in range(20):
        block.write_bytes(b"m" * 500)
        index.write_bytes(b"i" * 500)
        found = tear(tearable(mesh, "nats"), 0.5, random.Random(seed))
        assert found
        assert block.stat().st_size == (600 if block in found else 500)
        assert index.stat().st_size == (250 if index in found else 500)
        torn |= {*found}
    assert torn == {block, index}
    assert tear([], 0.5, random.Random(1)) == []


@pytest.mark.parametrize(
    ("process", "folder"), [("nats", "."), ("retriever", "snapshots"), ("gateway", "blobs/incoming")]
)
def test_folder_that_goes_while_it_is_looked_through_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, process: str, folder: str
) -> None:
    mesh = cast("FaultyMesh", SimpleNamespace(nats_store=tmp_path, state=tmp_path))
    going, staying = tmp_path / folder / "a", tmp_path / folder / "b" / "1.blk"
    going.mkdir(parents=True)
    staying.parent.mkdir()
    staying.write_bytes(b"m" * 500)
    scan = os.scandir

    def scandir(path: str) -> Any:
        if Path(path) == going:
            raise FileNotFoundError(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert tearable(mesh, process) == [staying]
