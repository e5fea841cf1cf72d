"""Supervised children: restarted when killed, stopped in time, and gone when their supervisor is."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.local.process import Spec, StartError, SupervisedProcess


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


def sleeper(script: str = "import time; time.sleep(60)") -> list[str]:
    return [sys.executable, "-c", script]


async def test_killed_child_is_started_again(tmp_path: Path) -> None:
    said: list[str] = []
    process = SupervisedProcess(Spec("social", sleeper(), yes), tmp_path, said.append)
    await process.start()
    watching = asyncio.create_task(process.watch())
    first = process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(60):
        while process.pid in (None, first) or "social is back" not in said:
            await asyncio.sleep(0.01)
    await process.stop()
    await watching
    assert said[0].startswith("social ended (signal SIGKILL)")
    assert process.pid is None


async def test_child_that_ends_at_its_start_is_told_with_its_log(tmp_path: Path) -> None:
    process = SupervisedProcess(Spec("social", sleeper("raise SystemExit('no such database')"), no), tmp_path, print)
    with pytest.raises(StartError, match=r"social ended at its start\.\nno such database"):
        await process.start()


async def test_child_that_never_is_ready_is_stopped(tmp_path: Path) -> None:
    process = SupervisedProcess(Spec("social", sleeper(), no, start_timeout_s=0.3), tmp_path, print)
    with pytest.raises(StartError, match=r"not ready in 0 s"):
        await process.start()
    assert process.pid is None


async def test_child_that_came_back_too_slowly_is_started_yet_again(tmp_path: Path) -> None:
    answers = [True]

    async def is_ready() -> bool:
        return answers[0]

    said: list[str] = []
    spec = Spec("social", sleeper(), is_ready, start_timeout_s=0.3)
    process = SupervisedProcess(spec, tmp_path, said.append)
    await process.start()
    watching = asyncio.create_task(process.watch())
    answers[0] = False
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while not any("was not ready" in text for text in said):
            await asyncio.sleep(0.01)
        answers[0] = True
        while "social is back" not in said:
            await asyncio.sleep(0.01)
    await process.stop()
    await watching


async def test_child_that_has_died_and_is_stopped_before_it_is_back_does_not_come_back(tmp_path: Path) -> None:
    said: list[str] = []
    process = SupervisedProcess(Spec("social", sleeper(), yes), tmp_path, said.append)
    await process.start()
    watching = asyncio.create_task(process.watch())
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while not said:
            await asyncio.sleep(0)
    await process.stop()
    await watching
    is_back = process.pid is not None
    await process._end(grace_s=20.0)
    assert not is_back
    assert len(said) == 1


async def test_deaf_child_is_killed_after_the_grace(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    deaf = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    )

    async def is_ready() -> bool:
        return ready.exists()

    process = SupervisedProcess(Spec("social", sleeper(deaf), is_ready), tmp_path, print)
    await process.start()
    async with asyncio.timeout(60):
        await process.stop(grace_s=0.2)
    assert process.pid is None


def test_children_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    script = f"""
import asyncio, pathlib
from deploy.local.process import Spec, SupervisedProcess
async def yes(): return True
async def main():
    process = SupervisedProcess(Spec("child", {sleeper()!r}, yes), pathlib.Path({str(tmp_path)!r}), print)
    await process.start()
    print(process.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    supervisor = subprocess.Popen(sleeper(script), stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    child = psutil.Process(int(supervisor.stdout.readline()))
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    child.wait(60)
    assert not child.is_running()


async def test_restarted_child_is_started_again_at_once_and_without_a_word(tmp_path: Path) -> None:
    said: list[str] = []
    process = SupervisedProcess(Spec("social", sleeper(), yes), tmp_path, said.append)
    await process.start()
    watching = asyncio.create_task(process.watch())
    first = process.pid
    async with asyncio.timeout(60):
        await process.restart()
    assert process.pid not in (None, first)
    assert said == ["social is back"]
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)  # watched as before
    async with asyncio.timeout(60):
        while said.count("social is back") < 2:
            await asyncio.sleep(0.01)
    await process.stop()
    await watching


async def test_restart_that_fails_is_told_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "works").touch()
    script = f"import pathlib, time; pathlib.Path({str(tmp_path / 'works')!r}).stat(); time.sleep(60)"

    async def is_ready() -> bool:
        return (tmp_path / "works").exists()

    said: list[str] = []
    process = SupervisedProcess(Spec("social", sleeper(script), is_ready), tmp_path, said.append)
    await process.start()
    watching = asyncio.create_task(process.watch())
    (tmp_path / "works").unlink()
    async with asyncio.timeout(60):
        with pytest.raises(StartError, match="social did not start again"):
            await process.restart()
    (tmp_path / "works").touch()
    async with asyncio.timeout(60):
        while "social is back" not in said:
            await asyncio.sleep(0.01)
    await process.stop()
    await watching
