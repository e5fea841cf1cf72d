"""Bells wake sleepers, and steps go on whatever they raise."""

import asyncio
import logging

import pytest

from services.chassis.errors import Unavailable
from services.social.workers.background import Bells, Nudge, repeat


async def test_ring_while_awake_keeps_from_sleeping() -> None:
    nudge = Nudge()
    nudge.ring()
    async with asyncio.timeout(60):
        await nudge.wait(600)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await nudge.wait(60)


async def test_bell_wakes_everybody_who_listens_for_its_key_and_nobody_else() -> None:
    bells = Bells()
    woken: list[str] = []

    async def listen(name: str, key: str) -> None:
        with bells.listening(key) as nudge:
            await nudge.wait(60)
            woken.append(name)

    tasks = [asyncio.create_task(listen(name, key)) for name, key in (("a", "x"), ("b", "x"), ("c", "y"))]
    await asyncio.sleep(0)
    bells.ring("x")
    bells.ring("nobody")
    await asyncio.wait(tasks[:2])
    assert sorted(woken) == ["a", "b"]
    tasks[2].cancel()
    await asyncio.wait(tasks)


async def test_steps_go_on_whatever_they_raise(caplog: pytest.LogCaptureFixture) -> None:
    raised: list[Exception] = [Unavailable("away"), RuntimeError("a fault")]
    done = asyncio.Event()

    async def step() -> None:
        if raised:
            raise raised.pop(0)
        done.set()

    with caplog.at_level(logging.WARNING):
        task = asyncio.create_task(repeat("step", step, 0.0))
        async with asyncio.timeout(60):
            await done.wait()
        task.cancel()
        await asyncio.wait({task})
    assert [(record.message, record.levelname) for record in caplog.records] == [
        ("step_failed", "WARNING"),
        ("step_failed", "ERROR"),
    ]


async def test_loop_ends_although_what_it_awaits_swallows_the_cancellation() -> None:
    waits = asyncio.Event()

    async def step() -> None:
        waits.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return  # as asyncio.wait_for of Python 3.11 may do

    task = asyncio.create_task(repeat("step", step, 60.0))
    await waits.wait()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=30)
    assert done == {task}
    assert task.cancelled()
