"""Listening on a real nats-server: from now on, through lost servers and lost stores, and never more than is held."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator

from nats.js.errors import NotFoundError

from services.chassis.bus import SOCIAL_EVENTS, Bus, LogEntry
from services.chassis.bus.listen import listen
from services.chassis.errors import Unavailable
from tests.conftest import NatsServer

SUBJECT = "museed.social.v1.job_progressed"
OTHER = "museed.social.v1.playlist_created"


async def until_listening(bus: Bus, count: int = 1) -> None:
    """Wait until the stream has so many consumers."""
    while True:
        with contextlib.suppress(NotFoundError, TimeoutError):
            if (await bus.jetstream.stream_info(SOCIAL_EVENTS)).state.consumer_count == count:
                return
        await asyncio.sleep(0.02)


def start(bus: Bus) -> tuple[asyncio.Queue[bytes], asyncio.Task[None]]:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def follow() -> None:
        entries: AsyncGenerator[LogEntry, None] = listen(bus, SOCIAL_EVENTS, SUBJECT)
        async with contextlib.aclosing(entries):
            async for entry in entries:
                heard.put_nowait(entry.payload)

    return heard, asyncio.create_task(follow())


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_only_what_comes_from_now_on_is_heard_in_order(bus: Bus, nats_server: NatsServer) -> None:
    await bus.publish(SUBJECT, b"before", "event-0")
    gateway = await Bus.connect(nats_server.settings("gateway"), "gateway")
    heard, task = start(gateway)
    async with asyncio.timeout(60):
        await until_listening(bus)
        await bus.publish(OTHER, b"other", "event-1")
        for number in range(50):
            await bus.publish(SUBJECT, b"%d" % number, f"event-n{number}")
        assert [await heard.get() for _ in range(50)] == [b"%d" % number for number in range(50)]
    assert heard.empty()
    await stop(task)
    async with asyncio.timeout(60):
        await until_listening(bus, 0)
    await gateway.close()


async def test_two_processes_hear_the_same(bus: Bus) -> None:
    first, first_task = start(bus)
    second, second_task = start(bus)
    async with asyncio.timeout(60):
        await until_listening(bus, 2)
        await bus.publish(SUBJECT, b"x", "event-1")
        assert (await first.get(), await second.get()) == (b"x", b"x")
    await stop(first_task)
    await stop(second_task)


async def test_it_goes_on_after_the_server_lost_its_store(bus: Bus, nats_server: NatsServer) -> None:
    heard, task = start(bus)
    async with asyncio.timeout(60):
        await until_listening(bus)
        await bus.publish(SUBJECT, b"before", "event-1")
        assert await heard.get() == b"before"
        nats_server.kill()
        shutil.rmtree(nats_server.store)
        nats_server.start()
        while True:
            with contextlib.suppress(Unavailable):
                await bus.ensure_streams()
                break
            await asyncio.sleep(0.05)
        await until_listening(bus)
        await bus.publish(SUBJECT, b"after", "event-2")
        assert await heard.get() == b"after"
    await stop(task)


async def test_it_waits_for_a_stream_that_is_not_there_yet(nats_server: NatsServer) -> None:
    gateway = await Bus.connect(nats_server.settings("gateway"), "gateway")
    heard, task = start(gateway)
    social = await Bus.connect(nats_server.settings("social"), "social")
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await social.ensure_streams()
        await until_listening(social)
        await social.publish(SUBJECT, b"first", "event-1")
        assert await heard.get() == b"first"
    await stop(task)
    await gateway.close()
    await social.close()
