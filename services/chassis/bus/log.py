"""Reads a compacted log from a position to its end and on, and notices when the log was lost and begun anew."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

import nats.errors
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy, StreamInfo

from services.chassis.bus.cancellation import raise_if_cancelled
from services.chassis.bus.connection import Bus

logger = logging.getLogger(__name__)

_BATCH_SIZE = 1000
_QUEUE_SIZE = 4 * _BATCH_SIZE
_CHECK_INTERVAL_S = 1.0
_RECOVERY_DELAY_S = 0.5


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A point of a log: everything up to `sequence` of the stream that was created at `created_at`."""

    created_at: datetime
    sequence: int


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One message; an empty payload is a tombstone."""

    subject: str
    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class LogBatch:
    """What came since the batch before.

    Attributes:
        position: Where the reader stands after these entries.
        entries: In order of sequence; may be empty.
        is_reset: The log is another one than before, or the position was past its end: forget everything first.
        is_caught_up: The reader has seen all that the log held when it was last asked.
    """

    position: LogPosition
    entries: list[LogEntry]
    is_reset: bool
    is_caught_up: bool


async def read_log(bus: Bus, stream: str, subject: str, start: LogPosition | None) -> AsyncGenerator[LogBatch, None]:
    """Read a log for ever, from after `start` or from its beginning.

    Survives a server that goes away. A stream with another creation time, or one that ends before the position, is
    read from its beginning, after a batch with `is_reset`.

    Args:
        bus: An open connection.
        stream: Name of the stream, which may not exist yet.
        subject: What to read; wildcards allowed.
        start: Position that the caller has applied, for example of a snapshot.

    Yields:
        Batches of at most 1,000 entries. The first comes at once, also when there is nothing to read.
    """
    position = start
    while True:
        raise_if_cancelled()
        try:
            info = await bus.jetstream.stream_info(stream)
        except (nats.errors.Error, TimeoutError) as error:
            logger.info("log_waits", extra={"stream": stream, "error": repr(error)})
            await asyncio.sleep(_RECOVERY_DELAY_S)
            continue
        created_at, end = _identity(info)
        is_reset = position is None or position.created_at != created_at or position.sequence > end
        if is_reset or position is None:
            position = LogPosition(created_at, 0)
        yield LogBatch(position, [], is_reset=is_reset, is_caught_up=position.sequence >= end)
        async for entries in _follow(bus, stream, subject, position):
            raise_if_cancelled()
            if entries:
                position = LogPosition(created_at, entries[-1].sequence)
                end = max(end, position.sequence)
                yield LogBatch(position, entries, is_reset=False, is_caught_up=position.sequence >= end)
                continue
            try:
                info = await bus.jetstream.stream_info(stream)
            except (nats.errors.Error, TimeoutError):
                break
            found, end = _identity(info)
            if found != created_at or end < position.sequence:
                break
            if end > position.sequence:
                # Silence although there is more: either other subjects, or a consumer that was lost.
                try:
                    is_lost = await _pending(bus, stream, subject, position) > 0
                except (nats.errors.Error, TimeoutError):
                    break
                if is_lost:
                    break
                position = LogPosition(created_at, end)
                yield LogBatch(position, [], is_reset=False, is_caught_up=True)


def _identity(info: StreamInfo) -> tuple[datetime, int]:
    if info.created is None:
        raise TypeError("stream info without creation time")
    return info.created, info.state.last_seq


async def _pending(bus: Bus, stream: str, subject: str, position: LogPosition) -> int:
    """Count the messages after a position, by asking a fresh consumer that reads nothing."""
    probe = await bus.jetstream.add_consumer(
        stream, _consumer_config(subject, position.sequence + 1), name=f"probe-{id(position)}"
    )
    with contextlib.suppress(nats.errors.Error):
        await bus.jetstream.delete_consumer(stream, probe.name)
    return probe.num_pending or 0


def _consumer_config(subject: str, start_sequence: int) -> ConsumerConfig:
    return ConsumerConfig(
        filter_subject=subject,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=start_sequence,
        inactive_threshold=30.0,
    )


async def _follow(bus: Bus, stream: str, subject: str, position: LogPosition) -> AsyncGenerator[list[LogEntry], None]:
    """Yield batches as they come, an empty one for each second of silence, and end when the consumer is in doubt."""
    queue: asyncio.Queue[LogEntry] = asyncio.Queue(_QUEUE_SIZE)

    async def on_message(message: Msg) -> None:
        await queue.put(LogEntry(message.subject, message.metadata.sequence.stream, message.data))

    try:
        subscription = await bus.jetstream.subscribe(
            subject,
            stream=stream,
            cb=on_message,
            ordered_consumer=True,
            config=ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=position.sequence + 1),
        )
    except (nats.errors.Error, TimeoutError) as error:
        logger.info("log_waits", extra={"stream": stream, "error": repr(error)})
        await asyncio.sleep(_RECOVERY_DELAY_S)
        return
    last = position.sequence
    try:
        while True:
            try:
                first = await asyncio.wait_for(queue.get(), _CHECK_INTERVAL_S)
            except TimeoutError:
                yield []
                continue
            entries = [first]
            while len(entries) < _BATCH_SIZE and not queue.empty():
                entries.append(queue.get_nowait())
            fresh = [entry for entry in entries if entry.sequence > last]
            if len(fresh) < len(entries):
                return  # the stream began anew under us: the reader checks it
            last = fresh[-1].sequence
            yield fresh
    finally:
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()
