"""What is set aside on a real NATS: why, by whom, and that it can be found, read page by page and taken away."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from nats.js.errors import ServerError

from services.chassis import telemetry
from services.chassis.bus import (
    DEAD_LETTERS,
    SOCIAL_EVENTS,
    Bus,
    DeadLetter,
    Delivery,
    WorkConsumer,
    delete_dead_letter,
    find_dead_letter,
    list_dead_letters,
)
from services.chassis.errors import InvalidArgument, ResourceExhausted, Unavailable
from tests.conftest import NatsServer

SUBJECT = "museed.social.v1.job_progressed"


def letter(number: int, message: str = "") -> DeadLetter:
    return DeadLetter(
        SUBJECT, b"%d" % number, f"event-{number}", SOCIAL_EVENTS, 5, "INTERNAL", "BROKEN", message, datetime.now(UTC)
    )


async def set_aside(bus: Bus, count: int) -> None:
    for number in range(1, count + 1):
        made = letter(number)
        await bus.publish(
            f"museed.dead_letters.{SOCIAL_EVENTS}", made.payload, f"dead-{number}", headers=made.headers()
        )


def consumer(bus: Bus, handler: Callable[[Delivery], Awaitable[None]], max_attempts: int) -> WorkConsumer:
    return WorkConsumer(
        bus, stream=SOCIAL_EVENTS, durable="test", subject=SUBJECT, handler=handler, max_attempts=max_attempts
    )


async def until_set_aside(bus: Bus, running: WorkConsumer) -> DeadLetter:
    """Run a consumer until there is a letter and nothing is in hand."""
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(60):
        while not (found := (await list_dead_letters(bus, None, 1))[0]):
            await asyncio.sleep(0.02)
    running.stop()
    await task
    assert (await bus.jetstream.consumer_info(SOCIAL_EVENTS, "test")).num_ack_pending == 0
    return found[0]


@pytest.mark.parametrize(
    ("error", "code", "reason", "message"),
    [
        (
            InvalidArgument("길이 is 1\n0 s", reason="LENGTH_OUT_OF_RANGE"),
            "INVALID_ARGUMENT",
            "LENGTH_OUT_OF_RANGE",
            "길이 is 1\n0 s",
        ),
        (KeyError("x"), "INTERNAL", "KeyError", "'x'"),
        (RuntimeError("y" * 9_999), "INTERNAL", "RuntimeError", "y" * 500),
    ],
)
async def test_letter_tells_its_last_error_and_keeps_the_payload(
    bus: Bus, error: Exception, code: str, reason: str, message: str
) -> None:
    attempts: list[int] = []

    async def handler(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        raise error if len(attempts) == 2 else RuntimeError("another one")

    telemetry.begin_request("request-1")
    await bus.publish(SUBJECT, b"\xff\x00 payload", "event-1")
    found = await until_set_aside(bus, consumer(bus, handler, max_attempts=2))
    assert attempts == [1, 2]
    assert (found.payload, found.subject, found.event_id) == (b"\xff\x00 payload", SUBJECT, "event-1")
    assert (found.stream, found.attempts, found.request_id) == (SOCIAL_EVENTS, 2, "request-1")
    assert (found.code, found.reason, found.message) == (code, reason, message)
    assert found.set_aside_at.tzinfo is not None
    assert found.letter_id == f"{found.sequence}.event-1"


async def test_message_that_takes_its_process_with_it_says_so(bus: Bus) -> None:
    async def nobody(delivery: Delivery) -> None:
        raise AssertionError("it was given out too often already")

    await bus.publish(SUBJECT, b"killer", "event-1")
    running = consumer(bus, nobody, max_attempts=2)
    await bus.jetstream.add_consumer(SOCIAL_EVENTS, running._config)
    taker = await bus.jetstream.pull_subscribe_bind("test", stream=SOCIAL_EVENTS)
    for _ in range(4):  # as processes that are killed: they never answer
        (message,) = await taker.fetch(1, timeout=30)
        await message.nak()
    await taker.unsubscribe()
    found = await until_set_aside(bus, running)
    assert (found.code, found.reason, found.attempts) == ("UNKNOWN", "HANDLER_LOST", 4)
    assert found.message == "delivered 4 times without an end that was told"


async def test_restarts_during_an_outage_make_no_poison(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.chassis.bus.consume._MAX_RETRY_DELAY_S", 0.01)
    attempts: list[int] = []
    arrived, done = asyncio.Event(), asyncio.Event()

    async def handler(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        arrived.set()
        if delivery.attempt < 4:
            raise Unavailable("the database is away")
        done.set()

    await bus.publish(SUBJECT, b"healthy", "event-1")
    for _ in range(3):  # each is restarted while it waits
        running = consumer(bus, handler, max_attempts=2)
        task = asyncio.create_task(running.run())
        async with asyncio.timeout(60):
            await arrived.wait()
        running.stop()
        await task
        arrived.clear()
    running = consumer(bus, handler, max_attempts=2)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(60):
        await done.wait()
    running.stop()
    await task
    assert sorted(set(attempts)) == [1, 2, 3, 4]
    assert (await list_dead_letters(bus, None, 10)).letters == []


async def test_letter_keeps_its_reason_where_it_cannot_be_told_at_once(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.bus.consume._FIRST_RETRY_DELAY_S", 0.01)
    attempts: list[int] = []
    told: list[str] = []
    published: list[str] = []
    publish = bus.publish

    async def handler(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        raise KeyError("x")

    async def on_dead_letter(letter: DeadLetter) -> None:
        told.append(letter.reason)
        if len(told) < 3:
            raise Unavailable("NATS is away")

    async def publish_at_last(subject: str, payload: bytes, event_id: str, *, headers: dict[str, str]) -> object:
        published.append(event_id)
        if len(published) < 3:
            raise Unavailable("NATS is away")
        return await publish(subject, payload, event_id, headers=headers)

    await bus.publish(SUBJECT, b"poison", "event-1")
    monkeypatch.setattr(bus, "publish", publish_at_last)
    running = consumer(bus, handler, max_attempts=1)
    running._on_dead_letter = on_dead_letter
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(60):
        while len(told) < 3:
            await asyncio.sleep(0.02)
    running.stop()
    await task
    ((found,), _, total) = await list_dead_letters(bus, None, 10)
    assert attempts == [1]
    assert told == ["KeyError"] * 3
    assert len(published) == 3
    assert (found.reason, found.attempts, total) == ("KeyError", 1, 1)
    assert (await bus.jetstream.consumer_info(SOCIAL_EVENTS, "test")).num_ack_pending == 0


async def test_handler_that_is_full_makes_no_poison(bus: Bus) -> None:
    attempts: list[int] = []
    done = asyncio.Event()

    async def handler(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if len(attempts) < 3:
            raise ResourceExhausted("16 files wait for a decoder, limit is 16", retry_after_ms=1)
        done.set()

    await bus.publish(SUBJECT, b"healthy", "event-1")
    running = consumer(bus, handler, max_attempts=1)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(60):
        await done.wait()
    running.stop()
    await task
    assert attempts == [1, 1, 1]
    assert await list_dead_letters(bus, None, 10) == ([], None, 0)


async def test_letters_are_read_newest_first_past_those_that_are_gone(bus: Bus) -> None:
    await set_aside(bus, 7)
    for sequence in (6, 4, 3):
        await bus.jetstream.delete_msg(DEAD_LETTERS, sequence)
    pages: list[list[int]] = []
    before: int | None = None
    while len(pages) < 4:
        page, before, total = await list_dead_letters(bus, before, 2)
        pages.append([one.sequence for one in page])
        assert total == 4
        if before is None:
            break
    assert pages == [[7, 5], [2, 1]]
    assert await list_dead_letters(bus, 1, 2) == ([], None, 4)


async def test_letter_is_found_by_its_own_name_only_and_taken_away_once(bus: Bus) -> None:
    await set_aside(bus, 2)
    found = await find_dead_letter(bus, "1.event-1")
    assert found is not None
    assert found.payload == b"1"
    malformed = ("", "x.event-1", "-1.event-1", "0.event-1", "²", "\u0661.event-1", "9" * 5_000, "9" * 19)
    for wrong in ("1.event-2", "3.event-3", "1", *malformed):
        assert await find_dead_letter(bus, wrong) is None
    await delete_dead_letter(bus, found)
    await delete_dead_letter(bus, found)
    assert await find_dead_letter(bus, "1.event-1") is None
    assert (await bus.jetstream.stream_info(DEAD_LETTERS)).state.messages == 1


async def test_letter_that_nats_does_not_take_away_is_no_letter_that_is_gone(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_aside(bus, 1)
    found = await find_dead_letter(bus, "1.event-1")
    assert found is not None

    async def fail(stream: str, sequence: int) -> bool:
        raise ServerError(code=500, err_code=10057, description="disk failed")

    with monkeypatch.context() as broken:
        broken.setattr(bus.jetstream, "delete_msg", fail)
        with pytest.raises(Unavailable, match="disk failed"):
            await delete_dead_letter(bus, found)
    await delete_dead_letter(bus, found)
    assert (await list_dead_letters(bus, None, 5)).total == 0


async def test_letter_of_an_earlier_version_is_read_as_far_as_it_goes(bus: Bus) -> None:
    await bus.publish(f"museed.dead_letters.{SOCIAL_EVENTS}", b"old", "dead-old")
    ((found,), _, _) = await list_dead_letters(bus, None, 5)
    assert (found.payload, found.stream, found.subject, found.attempts) == (b"old", SOCIAL_EVENTS, "", 0)
    assert (found.code, found.reason) == ("UNKNOWN", "")
    assert await find_dead_letter(bus, found.letter_id) == found


async def test_two_replicas_share_a_queue_evenly(nats_server: NatsServer, bus: Bus) -> None:
    """Eight messages for two replicas of four hands: were one to hold more than it works on, they would never meet."""
    in_hand: dict[str, list[bytes]] = {"first": [], "second": []}
    all_taken = asyncio.Event()
    release = asyncio.Event()

    def handler_of(name: str) -> Callable[[Delivery], Awaitable[None]]:
        async def handler(delivery: Delivery) -> None:
            in_hand[name].append(delivery.payload)
            if sum(map(len, in_hand.values())) == 8:
                all_taken.set()
            await release.wait()

        return handler

    for number in range(12):
        await bus.publish(SUBJECT, b"%d" % number, f"event-{number}")
    replicas, tasks, connections = [], [], []
    for name in in_hand:
        connection = await Bus.connect(nats_server.settings("social"), "social")
        replica = WorkConsumer(
            connection, stream=SOCIAL_EVENTS, durable="test", subject=SUBJECT, handler=handler_of(name), concurrency=4
        )
        replicas.append(replica)
        connections.append(connection)
        tasks.append(asyncio.create_task(replica.run()))
    async with asyncio.timeout(60):
        await all_taken.wait()
    assert {name: len(payloads) for name, payloads in in_hand.items()} == {"first": 4, "second": 4}
    info = await bus.jetstream.consumer_info(SOCIAL_EVENTS, "test")
    assert (info.num_ack_pending, info.num_pending) == (8, 4)
    release.set()
    async with asyncio.timeout(60):
        while sum(map(len, in_hand.values())) < 12:
            await asyncio.sleep(0.01)
    for replica in replicas:
        replica.stop()
    await asyncio.gather(*tasks)
    for connection in connections:
        await connection.close()
