"""The bus against a real nats-server: confirmed, deduplicated, retried, dead-lettered, replayed."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from nats.aio.msg import Msg

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
    log,
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
        await asyncio.wait_for(task, 60)


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
    async with running(consumer), asyncio.timeout(60):
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
    async with running(consumer), asyncio.timeout(60):
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
    async with asyncio.timeout(60):
        first = await anext(batches)
        assert (first.is_reset, first.is_caught_up) == (False, from_sequence == 10)
        if not first.is_caught_up:
            await until_caught_up(batches, state)
    assert set(state) == {f"t{number}" for number in range(from_sequence + 1, 11)}
    await batches.aclose()


async def until_still(bus: Bus) -> int:
    """Return how many bytes a connection has received, once it receives no more."""
    before = -1
    async with asyncio.timeout(60):
        while (received := int(bus.client.stats["in_bytes"])) != before:
            before = received
            await asyncio.sleep(0.3)
    return before


async def test_a_reader_slower_than_the_server_misses_nothing_and_holds_little(
    bus: Bus, nats_server: NatsServer
) -> None:
    count = 320  # of 900 KB: more than nats-py lets wait
    for first in range(0, count, 16):
        publishing = [
            bus.publish(vector_subject("enc", f"t{number}"), bytes(900_000), f"event-{number}")
            for number in range(first, first + 16)
        ]
        await asyncio.gather(*publishing)
    reader = await Bus.connect(nats_server.settings("retriever"), "retriever")
    batches = read_log(reader, VECTORS, vector_subject("enc", ">"), None)
    async with asyncio.timeout(60), contextlib.aclosing(batches):
        sequences: list[int] = []
        while not sequences:
            sequences += [entry.sequence for entry in (await anext(batches)).entries]
        assert await until_still(reader) < 100_000_000
        async for batch in batches:
            sequences += [entry.sequence for entry in batch.entries]
            if batch.is_caught_up:
                break
    assert sequences == list(range(1, count + 1))
    await reader.close()


async def test_a_log_whose_end_is_of_other_subjects_is_caught_up_at_once(bus: Bus) -> None:
    await bus.publish(vector_subject("enc", "t"), b"x", "event-1")
    await bus.publish(vector_subject("other", "t"), b"x", "event-2")
    async with (
        asyncio.timeout(60),
        contextlib.aclosing(read_log(bus, VECTORS, vector_subject("enc", ">"), None)) as batches,
    ):
        first, second = await anext(batches), await anext(batches)
        assert (first.pending_count, first.is_caught_up) == (1, False)
        assert ([entry.sequence for entry in second.entries], second.is_caught_up) == ([1], True)
        async for batch in batches:  # so that a point there is reached, too
            if batch.position.sequence == 2:
                break
        assert (batch.is_reset, batch.is_caught_up, batch.pending_count) == (False, True, 0)
    nobody = read_log(bus, VECTORS, vector_subject("nobody", ">"), None)
    async with asyncio.timeout(60), contextlib.aclosing(nobody):
        first = await anext(nobody)
    assert (first.position.sequence, first.is_reset, first.is_caught_up) == (2, True, True)


async def test_a_log_whose_consumer_is_deleted_is_read_on(bus: Bus, nats_server: NatsServer) -> None:
    await bus.publish(vector_subject("enc", "a"), b"x", "event-1")
    reader = await Bus.connect(nats_server.settings("retriever"), "retriever")
    async with (
        asyncio.timeout(60),
        contextlib.aclosing(read_log(reader, VECTORS, vector_subject("enc", ">"), None)) as batches,
    ):
        await until_caught_up(batches, {})
        for consumer in await bus.jetstream.consumers_info(VECTORS):
            await bus.jetstream.delete_consumer(VECTORS, consumer.name)
        await bus.publish(vector_subject("enc", "b"), b"y", "event-2")
        async for batch in batches:
            assert not batch.is_reset
            if batch.entries:
                break
        assert [(entry.sequence, entry.payload) for entry in batch.entries] == [(2, b"y")]
    await reader.close()


async def test_a_message_that_got_lost_on_the_way_is_asked_for_again(
    bus: Bus, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        await bus.publish(vector_subject("enc", f"t{number}"), b"x", f"event-{number}")
    put = log._Consumer.put
    lost: list[int] = []

    async def put_but_one(self: log._Consumer, message: Msg) -> None:
        if message.subject.endswith(".t3") and not lost:
            lost.append(message.metadata.sequence.stream)
            return
        await put(self, message)

    monkeypatch.setattr(log._Consumer, "put", put_but_one)
    reader = await Bus.connect(nats_server.settings("retriever"), "retriever")
    found: list[int] = []
    async with (
        asyncio.timeout(60),
        contextlib.aclosing(read_log(reader, VECTORS, vector_subject("enc", ">"), None)) as batches,
    ):
        async for batch in batches:
            found += [entry.sequence for entry in batch.entries]
            if batch.is_caught_up:
                break
    assert (found, lost) == ([1, 2, 3, 4, 5, 6], [4])
    await reader.close()
