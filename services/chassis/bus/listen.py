"""Listens to what is published from now on, and leaves nothing behind in the server: for bells, not for work."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable

import nats.errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from uuid_utils.compat import uuid7

from services.chassis.bus.cancellation import raise_if_cancelled
from services.chassis.bus.connection import Bus
from services.chassis.bus.log import LogEntry

logger = logging.getLogger(__name__)

_QUEUE_SIZE = 4096
_CHECK_INTERVAL_S = 2.0
_RECOVERY_DELAY_S = 0.5
# The server forgets the consumer of a process that was killed.
_INACTIVE_THRESHOLD_S = 30.0


async def listen(bus: Bus, stream: str, subject: str) -> AsyncGenerator[LogEntry, None]:
    """Yield the messages that are stored from now on, for ever.

    Survives a server that goes away and a stream that is created anew. What is published meanwhile is missed, and a
    reader that is 4,096 messages behind misses the oldest: who must see everything reads the truth as well.

    Args:
        bus: An open connection.
        stream: Name of the stream, which may not exist yet.
        subject: What to listen to; wildcards allowed.
    """
    while True:
        raise_if_cancelled()
        queue: asyncio.Queue[LogEntry] = asyncio.Queue(_QUEUE_SIZE)
        name = f"listener-{uuid7().hex}"
        try:
            # Not an ordered consumer: nats-py restarts one that has seen nothing yet from the stream's beginning.
            subscription = await bus.jetstream.subscribe(
                subject,
                stream=stream,
                cb=_keeping_newest(queue),
                manual_ack=True,
                config=ConsumerConfig(
                    name=name,
                    deliver_policy=DeliverPolicy.NEW,
                    ack_policy=AckPolicy.NONE,
                    mem_storage=True,
                    inactive_threshold=_INACTIVE_THRESHOLD_S,
                ),
            )
        except (nats.errors.Error, TimeoutError) as error:
            logger.info("listener_waits", extra={"stream": stream, "error": repr(error)})
            await asyncio.sleep(_RECOVERY_DELAY_S)
            continue
        try:
            while True:
                raise_if_cancelled()
                try:
                    entry = await asyncio.wait_for(queue.get(), _CHECK_INTERVAL_S)
                except TimeoutError:
                    try:
                        await subscription.consumer_info()
                    except (nats.errors.Error, TimeoutError):
                        break  # it went with the server or with the stream
                    continue
                yield entry
        finally:
            if bus.is_connected:  # else the server forgets it by itself
                with contextlib.suppress(nats.errors.Error, TimeoutError):
                    await subscription.unsubscribe()
                    await bus.jetstream.delete_consumer(stream, name)


def _keeping_newest(queue: asyncio.Queue[LogEntry]) -> Callable[[Msg], Awaitable[None]]:
    async def on_message(message: Msg) -> None:
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(LogEntry(message.subject, message.metadata.sequence.stream, message.data))

    return on_message
