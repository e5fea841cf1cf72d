"""An outage of what a handler needs makes no poison of healthy messages."""

import asyncio

from services.chassis.bus import DEAD_LETTERS, SOCIAL_EVENTS, Bus, Delivery, WorkConsumer
from services.chassis.errors import Unavailable

SUBJECT = "museed.social.v1.job_progressed"


async def test_message_waits_for_its_handlers_database(bus: Bus) -> None:
    attempts: list[int] = []
    done = asyncio.Event()

    async def handler(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if len(attempts) < 4:
            raise Unavailable("the database is away")
        done.set()

    consumer = WorkConsumer(
        bus, stream=SOCIAL_EVENTS, durable="test", subject=SUBJECT, handler=handler, max_attempts=1, ack_wait_s=1.0
    )
    await bus.publish(SUBJECT, b"healthy", "event-1")
    task = asyncio.create_task(consumer.run())
    async with asyncio.timeout(60):
        await done.wait()
    consumer.stop()
    await task
    assert attempts == [1, 1, 1, 1]
    assert (await bus.jetstream.stream_info(DEAD_LETTERS)).state.messages == 0
    assert (await bus.jetstream.consumer_info(SOCIAL_EVENTS, "test")).num_ack_pending == 0
