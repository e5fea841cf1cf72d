"""The bus against a real nats-server: confirmed, deduplicated, retried, dead-lettered, replayed."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from services.chassis.bus import (
    DEAD_LETTERS,
    SOCIAL_EVENTS,
    STREAMS,
    VECTORS,
    Bus,
    DeadLetter,
    Delivery,
    LogBatch,
    WorkConsumer,
    read_log,
    vector_subject,
)
from services.chassis.errors import Unavailable
from tests.conftest import NatsServer

SUBJECT = "museed.social.v1.job_progressed"


async def provisioned_again(bus: Bus) -> dict[str, datetime]:
    while True:
        with contextlib.suppress(Unavailable):
            return await bus.ensure_streams()
        await asyncio.sleep(0.05)


async def test_streams_are_provisioned_once_and_read_back(bus: Bus) -> None:
    first = await bus.ensure_streams()
    second = await bus.ensure_streams()
    assert first == second
    assert set(first) == set(STREAMS)


async def test_publish_with_the_same_id_is_stored_once(bus: Bus) -> None:
    first = await bus.publish(SUBJECT, b"one", "event-1")
    second = await bus.publish(SUBJECT, b"one", "event-1")
    third = await bus.publish(SUBJECT, b"two", "event-2")
    assert (first.duplicate, second.duplicate) == (False, True)
    assert second.sequence == first.sequence
    assert third.sequence == first.sequence + 1


@contextlib.asynccontextmanager
async def running(consumer: WorkConsumer) -> AsyncIterator[None]:
    task = asyncio.create_task(consumer.run())
    try:
        yield
    finally:
        consumer.stop()
        await asyncio.wait_for(task, 15)


async def test_poison_is_set_aside_and_the_rest_is_worked_off(bus: Bus) -> None:
    done: list[bytes] = []
    dead: list[bytes] = []

    async def handler(delivery: Delivery) -> None:
        if delivery.payload == b"poison":
            raise RuntimeError("cannot be digested")
        done.append(delivery.payload)

    async def on_dead_letter(letter: DeadLetter) -> None:
        dead.append(letter.payload)

    consumer = WorkConsumer(
        bus,
        stream=SOCIAL_EVENTS,
        durable="test",
        subject=SUBJECT,
        handler=handler,
        max_attempts=1,
        on_dead_letter=on_dead_letter,
    )
    for number, payload in enumerate([b"a", b"poison", b"b"]):
        await bus.publish(SUBJECT, payload, f"event-{number}")
    async with running(consumer), asyncio.timeout(20):
        while len(done) + len(dead) < 3:
            await asyncio.sleep(0.05)
    assert (sorted(done), dead) == ([b"a", b"b"], [b"poison"])
    letters = await bus.jetstream.stream_info(DEAD_LETTERS)
    assert letters.state.messages == 1


async def test_consumer_goes_on_after_the_server_lost_its_store(bus: Bus, nats_server: NatsServer) -> None:
    done: list[bytes] = []

    async def handler(delivery: Delivery) -> None:
        done.append(delivery.payload)

    consumer = WorkConsumer(bus, stream=SOCIAL_EVENTS, durable="test", subject=SUBJECT, handler=handler, concurrency=2)
    before = await bus.ensure_streams()
    await bus.publish(SUBJECT, b"before", "event-1")
    async with running(consumer), asyncio.timeout(40):
        while done != [b"before"]:
            await asyncio.sleep(0.05)
        nats_server.kill()
        shutil.rmtree(nats_server.store)
        nats_server.start()
        after = await provisioned_again(bus)
        assert after[SOCIAL_EVENTS] != before[SOCIAL_EVENTS]
        await bus.publish(SUBJECT, b"after", "event-2")
        while done != [b"before", b"after"]:
            await asyncio.sleep(0.05)


async def until_caught_up(batches: AsyncIterator[LogBatch], state: dict[str, bytes]) -> LogBatch:
    async for batch in batches:
        if batch.is_reset:
            state.clear()
        for entry in batch.entries:
            state[entry.subject.rsplit(".", 1)[1]] = entry.payload
        if batch.is_caught_up:
            return batch
    raise AssertionError("the log ended")


async def test_log_is_replayed_compacted_then_followed_then_begun_anew(bus: Bus, nats_server: NatsServer) -> None:
    for number in range(300):
        await bus.publish(vector_subject("enc", f"t{number % 100}"), b"%d" % number, f"event-{number}")
    state: dict[str, bytes] = {}
    batches = read_log(bus, VECTORS, vector_subject("enc", ">"), None)
    async with asyncio.timeout(60):
        first = await anext(batches)
        assert (first.is_reset, first.entries, first.is_caught_up) == (True, [], False)
        batch = await until_caught_up(batches, state)
        assert state == {f"t{number % 100}": b"%d" % number for number in range(200, 300)}
        assert batch.position.sequence == 300

        await bus.publish(vector_subject("enc", "t0"), b"", "event-tombstone")
        batch = await anext(batches)
        assert [(entry.sequence, entry.payload) for entry in batch.entries] == [(301, b"")]

        nats_server.kill()
        shutil.rmtree(nats_server.store)
        nats_server.start()
        await provisioned_again(bus)
        await bus.publish(vector_subject("enc", "new"), b"new", "event-new")
        while True:
            batch = await until_caught_up(batches, state)
            if state:
                break
        assert state == {"new": b"new"}
    await batches.aclose()


@pytest.mark.parametrize("from_sequence", [0, 5, 10])
async def test_log_goes_on_after_a_position(bus: Bus, from_sequence: int) -> None:
    for number in range(1, 11):
        await bus.publish(vector_subject("enc", f"t{number}"), b"x", f"event-{number}")
    whole = read_log(bus, VECTORS, vector_subject("enc", ">"), None)
    start = (await anext(whole)).position
    await whole.aclose()
    position = type(start)(start.created_at, from_sequence)
    batches = read_log(bus, VECTORS, vector_subject("enc", ">"), position)
    state: dict[str, bytes] = {}
    async with asyncio.timeout(10):
        first = await anext(batches)
        assert (first.is_reset, first.is_caught_up) == (False, from_sequence == 10)
        if not first.is_caught_up:
            await until_caught_up(batches, state)
    assert set(state) == {f"t{number}" for number in range(from_sequence + 1, 11)}
    await batches.aclose()
