import asyncio
from datetime import UTC, datetime
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from services.chassis.bus import LogPosition, read_log
from services.chassis.bus.cancellation import raise_if_cancelled


async def lose_cancellation() -> None:
    """Wait like asyncio.wait_for before Python 3.12 when its result comes together with the cancellation."""
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        return


async def test_a_lost_cancellation_is_found_again() -> None:
    async def loop() -> None:
        while True:
            raise_if_cancelled()
            await lose_cancellation()

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 60)


async def test_a_timeout_that_was_handled_is_no_cancellation() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.sleep(3600)
    raise_if_cancelled()


class ForgetfulJetStream:
    """A JetStream of which every request loses the cancellation of who asked."""

    async def stream_info(self, name: str) -> Any:
        await lose_cancellation()
        return SimpleNamespace(created=datetime(2026, 1, 1, tzinfo=UTC), state=SimpleNamespace(last_seq=0))

    async def add_consumer(self, stream: str, config: Any) -> Any:
        await asyncio.sleep(0)
        raise TimeoutError


class SilentClient:
    """A connection on which nothing comes."""

    stats = MappingProxyType({"reconnects": 0})

    def new_inbox(self) -> str:
        return "_INBOX.1"

    async def subscribe(self, subject: str, **options: Any) -> Any:
        await asyncio.sleep(0)
        return self

    async def unsubscribe(self) -> None:
        await asyncio.sleep(0)


async def test_a_reader_of_the_log_ends_though_its_cancellation_was_lost() -> None:
    bus: Any = SimpleNamespace(jetstream=ForgetfulJetStream(), client=SilentClient())

    async def follow() -> None:
        async for _ in read_log(
            bus, "VECTORS", "museed.vectors.enc.>", LogPosition(datetime(2026, 1, 1, tzinfo=UTC), 0)
        ):
            pass

    task = asyncio.create_task(follow())
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=30)
    assert done == {task}
    assert task.cancelled()
