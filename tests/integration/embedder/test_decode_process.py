"""What a decoding process may do, and what callers get when it is killed, will not start or loses its mind."""

import asyncio
import errno
import os
import random
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from services.embedder import decode_supply
from services.embedder.decoder import DecodeLimits, DecoderPool
from services.embedder.errors import AudioCorrupt, DecoderLost
from tests.integration.embedder import audio_files
from tests.integration.embedder.conftest import SPEC, decode, opened

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return audio_files.write(tmp_path_factory.mktemp("audio") / "song.ogg", audio_files.music(12))


@pytest.fixture
async def pool() -> AsyncIterator[DecoderPool]:
    """A pool that starts its one process when it is asked to decode."""
    one = DecoderPool(1, DecodeLimits(), max_waiting=4)
    yield one
    await one.close()


def children() -> set[int]:
    """Return the decoding processes of this process, those that are being started too."""
    found = set()
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if "services.embedder.decode_child" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.add(child.pid)
    return found


def told_by_kernel(process_id: int, name: str) -> str:
    return Path(f"/proc/{process_id}/{name}").read_text()


async def until_a_child_beside(known: set[int]) -> int:
    while not (new := children() - known):
        await asyncio.sleep(0.001)
    return new.pop()


async def test_process_is_limited_in_all_that_it_does_not_need() -> None:
    pool = DecoderPool(1, DecodeLimits(memory_mib=100, niceness=7), max_waiting=4)
    await pool.start()
    (process_id,) = pool.process_ids
    process = psutil.Process(process_id)
    assert process.nice() == min(19, os.nice(0) + 7)
    for kind, limit in ((psutil.RLIMIT_FSIZE, 0), (psutil.RLIMIT_CORE, 0), (psutil.RLIMIT_NPROC, 0)):
        assert process.rlimit(kind) == (limit, limit)
    assert process.rlimit(psutil.RLIMIT_NOFILE) == (32, 32)
    room = process.rlimit(psutil.RLIMIT_AS)[1] - process.memory_info().vms
    assert 90 * MIB < room <= 100 * MIB
    status = dict(line.split(":\t", 1) for line in told_by_kernel(process_id, "status").splitlines())
    assert (status["NoNewPrivs"], status["Threads"]) == ("1", "1")
    assert told_by_kernel(process_id, "oom_score_adj").strip() == "500"
    libraries = {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
    assert set(process.environ()) == {"PYTHONPATH", *libraries}
    files = {int(name): os.stat(f"/proc/{process_id}/fd/{name}") for name in os.listdir(f"/proc/{process_id}/fd")}
    assert {number for number in files if number > 2} == {max(files)}
    assert stat.S_ISSOCK(files[max(files)].st_mode)
    assert all(files[number].st_rdev == os.stat("/dev/null").st_rdev for number in (0, 1, 2))
    await pool.close()


async def test_process_gives_way_to_nobody_unless_told(pool: DecoderPool, song: Path) -> None:
    await decode(pool, song)
    assert psutil.Process(pool.process_ids[0]).nice() == os.nice(0)


async def test_process_killed_while_it_starts_is_coded_and_the_next_one_starts(pool: DecoderPool, song: Path) -> None:
    before = children()
    starting = asyncio.create_task(decode(pool, song))
    os.kill(await until_a_child_beside(before), signal.SIGKILL)
    with pytest.raises(DecoderLost) as caught:
        await starting
    assert caught.value.retry_after_ms == 1000
    assert (await decode(pool, song))[1].seconds == 12.0


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)), "Resource temporarily unavailable"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "Cannot allocate memory"),
    ],
)
async def test_machine_without_room_for_a_process_is_coded_and_recovers(
    pool: DecoderPool, song: Path, monkeypatch: pytest.MonkeyPatch, failure: OSError, words: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", refuse)
        for _ in range(6):  # more than the pool has places
            with pytest.raises(DecoderLost, match=words):
                await decode(pool, song)
    assert (await decode(pool, song))[1].seconds == 12.0


async def test_interpreter_that_is_not_there_is_coded(
    pool: DecoderPool, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(DecoderLost, match="No such file"):
        await decode(pool, song)
    monkeypatch.undo()
    assert (await decode(pool, song))[1].seconds == 12.0


async def test_caller_that_leaves_while_a_process_starts_leaves_none_behind(pool: DecoderPool, song: Path) -> None:
    before = children()
    for _ in range(3):
        starting = asyncio.create_task(decode(pool, song))
        await until_a_child_beside(before)
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
        async with asyncio.timeout(60):
            while children() - before:
                await asyncio.sleep(0.001)
    assert (await decode(pool, song))[1].seconds == 12.0


async def until_idle(pool: DecoderPool, count: int, but: Collection[int] = ()) -> list[int]:
    """Wait until so many processes are idle, none of them one of `but`."""
    async with asyncio.timeout(60):
        while len(found := pool.process_ids) != count or set(found) & set(but):
            await asyncio.sleep(0.005)
    return found


async def test_process_that_dies_while_it_is_idle_is_reaped_and_replaced_before_anybody_asks() -> None:
    pool = DecoderPool(2, DecodeLimits(), max_waiting=4)
    await pool.start()
    victim, other = pool.process_ids
    os.kill(victim, signal.SIGKILL)
    new = await until_idle(pool, 2, but={victim})
    assert other in new
    async with asyncio.timeout(60):
        while psutil.pid_exists(victim):  # as it would, for a zombie
            await asyncio.sleep(0.005)
    await pool.close()
    assert not set(new) & children()


async def test_process_whose_caller_left_is_replaced_before_the_next_comes(pool: DecoderPool, song: Path) -> None:
    await pool.start()
    (first,) = pool.process_ids
    with opened(song) as descriptor:
        async with pool.decode(descriptor, SPEC):
            pass
    assert pool.process_ids == []
    (second,) = await until_idle(pool, 1)
    assert second != first
    await decode(pool, song)
    assert pool.process_ids == [second]


async def test_pool_that_closes_while_a_process_is_replaced_leaves_none_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decode_supply, "_REPLACE_AFTER_S", 0)
    before = children()
    pool = DecoderPool(1, DecodeLimits(), max_waiting=4)
    await pool.start()
    (victim,) = pool.process_ids
    os.kill(victim, signal.SIGKILL)
    await until_a_child_beside({*before, victim})
    await pool.close()
    assert children() == before
    assert pool.process_ids == []


async def test_process_that_cannot_be_replaced_is_started_for_the_next_caller(
    pool: DecoderPool, song: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(decode_supply, "_REPLACE_AFTER_S", 0)
    await pool.start()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/nowhere/python")
        os.kill(pool.process_ids[0], signal.SIGKILL)
        async with asyncio.timeout(60):
            while "decoder_not_replaced" not in caplog.messages:
                await asyncio.sleep(0.005)
    assert pool.process_ids == []
    assert (await decode(pool, song))[1].seconds == 12.0


async def test_process_that_has_grown_too_large_is_not_kept(
    pool: DecoderPool, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await decode(pool, song)
    (first,) = pool.process_ids
    await decode(pool, song)
    assert pool.process_ids == [first]
    monkeypatch.setattr(decode_supply, "_MAX_GROWTH_BYTES", 1 * MIB)  # less than the code of the libraries
    assert (await decode(pool, song))[1].seconds == 12.0
    assert first not in pool.process_ids


async def test_rates_that_no_music_has_leave_no_large_process_behind(pool: DecoderPool, tmp_path: Path) -> None:
    silence = np.zeros((20 * 655_350, 8), np.int16)
    await asyncio.to_thread(soundfile.write, tmp_path / "silence.flac", silence, 655_350)
    await pool.start()
    (process_id,) = pool.process_ids
    before = psutil.Process(process_id).memory_info().rss
    await decode(pool, tmp_path / "silence.flac")
    assert pool.process_ids == [process_id]
    assert psutil.Process(process_id).memory_info().rss - before < 96 * MIB


GARBLERS = {
    "a block longer than asked for": "send(b'S', b'0' * 640_004)",
    "half a sample": "send(b'S', b'0' * 1_002)",
    "more sound than asked for": "[send(b'S', bytes(640_000)) for _ in range(3)]; sys.exit()",
    "a text without end": "channel.sendall(FRAME_HEADER.pack(b'E', 0xFFFFFFFF))",
    "no json": "send(b'E', b'hello')",
    "json of something else": "send(b'E', b'[]')",
    "json in json": "send(b'E', b'[' * 60_000)",
    "a refusal without reason": "send(b'X', b'{}')",
    "a reason that nobody knows": """send(b'X', b'{"reason": "OH_NO", "message": "oh no"}')""",
}


@pytest.mark.parametrize("kind", GARBLERS)
async def test_process_that_has_lost_its_mind_is_coded_and_replaced(
    pool: DecoderPool, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    program = tmp_path / "garbler.py"
    program.write_text(
        f"import socket, sys, time\n"
        f"from services.embedder.decode_child import FRAME_HEADER\n"
        f"channel = socket.socket(fileno=int(sys.argv[3]))\n"
        f"def send(kind, data):\n"
        f"    channel.sendall(FRAME_HEADER.pack(kind, len(data)) + data)\n"
        f"send(b'R', b'')\n"
        f"channel.recv(1000)\n"
        f"{GARBLERS[kind]}\n"
        f"time.sleep(60)\n"
    )
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
    interpreter.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(interpreter))
        with pytest.raises(AudioCorrupt):
            await decode(pool, song, replace(SPEC, max_seconds=25))
    if kind == "a reason that nobody knows":  # a refusal like any other
        return
    assert pool.process_ids == []
    assert (await decode(pool, song))[1].seconds == 12.0


async def test_processes_killed_at_random_cost_a_retry_and_nothing_else(song: Path) -> None:
    before = children()
    pool = DecoderPool(2, DecodeLimits(), max_waiting=20)
    await pool.start()
    wanted = np.concatenate((await decode(pool, song))[0])
    choose = random.Random(0)
    lost = 0

    async def decode_in_the_end() -> None:
        nonlocal lost
        while True:
            try:
                blocks, _ = await decode(pool, song)
            except DecoderLost:
                lost += 1
                continue
            np.testing.assert_array_equal(np.concatenate(blocks), wanted)
            return

    async def kill_now_and_then() -> None:
        for _ in range(12):  # a busy machine starts them slower than this kills
            await asyncio.sleep(choose.uniform(0.02, 0.2))
            if living := sorted(children() - before):
                with suppress(ProcessLookupError):
                    os.kill(choose.choice(living), signal.SIGKILL)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kill_now_and_then())
        for _ in range(12):
            tasks.create_task(decode_in_the_end())
    assert lost <= 12  # each kill costs one try at most
    assert np.array_equal(np.concatenate((await decode(pool, song))[0]), wanted)
    await pool.close()
    assert children() == before
