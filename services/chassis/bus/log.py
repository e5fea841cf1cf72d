"""Reads a compacted log from a position to its end and on, and notices when the log was lost and begun anew."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime

import nats.errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, Header
from uuid_utils.compat import uuid7

from services.chassis.bus.cancellation import raise_if_cancelled
from services.chassis.bus.connection import Bus
from services.chassis.telemetry import tracing

logger = logging.getLogger(__name__)

_BATCH_SIZE = 1000
# Beyond these the server is not told to send on; it has at most 32 MiB on the way.
_READ_AHEAD_BYTES = 16 * 1024 * 1024
_ENTRY_BYTES = 500  # beside the payload
_CHECK_INTERVAL_S = 1.0
_RECOVERY_DELAY_S = 0.5
# The server wants to send them where it waits for us. What they would tell is asked for every second anyway.
_HEARTBEAT_S = 5.0
# The server forgets the consumer of a process that was killed.
_INACTIVE_THRESHOLD_S = 10.0


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A point of a log: everything up to `sequence` of the stream that was created at `created_at`."""

    created_at: datetime
    sequence: int


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One message; an empty payload is a tombstone. `traceparent` tells the span that published it, where one did."""

    subject: str
    sequence: int
    payload: bytes
    traceparent: str = ""

    def span(self, stream: str) -> tracing.Span:
        """Begin the span of working it off, part of the trace that caused it; of one that tells none, nothing."""
        if not (self.traceparent and tracing.is_on()):
            return tracing.NOTHING
        return tracing.span(
            f"process {stream}",
            tracing.Kind.CONSUMER,
            parent={tracing.TRACE_HEADERS[0]: self.traceparent},
            messaging__system="nats",
            messaging__destination__name=stream,
        )


@dataclass(frozen=True, slots=True)
class LogBatch:
    """What came since the batch before; an empty one is a sign of life of the log.

    Attributes:
        position: Where the reader stands after these entries.
        entries: In order of sequence; may be empty.
        is_reset: The log is another one than before, or the position was past its end: forget everything first.
        is_caught_up: The reader has seen all that the log held when it was last asked.
        pending_count: Messages that the log held beyond these when they were sent.
    """

    position: LogPosition
    entries: list[LogEntry]
    is_reset: bool
    is_caught_up: bool
    pending_count: int = 0

    def parts(self, size: int) -> Iterator["LogBatch"]:
        """Yield it in pieces of at most so many entries, for whoever has something else to do in between."""
        last = max(0, len(self.entries) - 1) // size * size
        for first in range(0, last, size):
            entries = self.entries[first : first + size]
            position = LogPosition(self.position.created_at, entries[-1].sequence)
            behind = len(self.entries) - first - size
            yield LogBatch(position, entries, self.is_reset and not first, False, self.pending_count + behind)
        is_reset = self.is_reset and not last
        yield LogBatch(self.position, self.entries[last:], is_reset, self.is_caught_up, self.pending_count)


async def read_log(bus: Bus, stream: str, subject: str, start: LogPosition | None) -> AsyncGenerator[LogBatch, None]:
    """Read a log for ever, from after `start` or from its beginning.

    Survives a server that goes away. A stream with another creation time, or one that ends before the position, is
    read from its beginning, after a batch with `is_reset`. While nothing comes an empty batch a second says that the
    log was heard of. What is read ahead is bounded, however slow the caller is.

    Args:
        bus: An open connection.
        stream: Name of the stream, which may not exist yet.
        subject: What to read; wildcards allowed.
        start: Position that the caller has applied, for example of a snapshot.

    Yields:
        Batches of at most 1,000 entries. The first comes at once, also when there is nothing to read.
    """
    position = start
    is_away = False
    while True:
        raise_if_cancelled()
        try:
            # Asked before the consumer is made, which then knows of all messages up to this end.
            created_at, end = await _identity(bus, stream)
            is_reset = position is None or position.created_at != created_at or position.sequence > end
            if is_reset or position is None:
                position = LogPosition(created_at, 0)
            async with _consumer(bus, stream, subject, position.sequence) as consumer:
                raise_if_cancelled()
                if (await _identity(bus, stream))[0] != created_at:
                    continue  # it was made anew in between
                if is_away:
                    logger.info("log_found", extra={"stream": stream})
                    is_away = False
                if not consumer.pending_count:
                    position = LogPosition(created_at, end)  # what lies between is of other subjects
                yield LogBatch(position, [], is_reset, not consumer.pending_count, consumer.pending_count)
                while True:
                    raise_if_cancelled()
                    entries, pending_count = await consumer.take()
                    if entries:
                        position = LogPosition(created_at, entries[-1].sequence)
                        is_caught_up = position.sequence >= end or not pending_count
                        yield LogBatch(position, entries, False, is_caught_up, pending_count)
                        continue
                    # A consumer goes with its stream, so nothing of another one can come before this silence.
                    found, end = await _identity(bus, stream)
                    # Where there is more, it is of other subjects, or was lost: a new consumer knows which.
                    if consumer.is_in_doubt or found != created_at or end != position.sequence:
                        break
                    yield LogBatch(position, [], is_reset=False, is_caught_up=True)
        except (nats.errors.Error, TimeoutError) as error:
            if not is_away:
                logger.warning("log_away", extra={"stream": stream, "error": repr(error)})
            is_away = True
            await asyncio.sleep(_RECOVERY_DELAY_S)


async def _identity(bus: Bus, stream: str) -> tuple[datetime, int]:
    """Return when a stream was created, and its last sequence."""
    info = await bus.jetstream.stream_info(stream)
    if info.created is None:
        raise TypeError("stream info without creation time")
    return info.created, info.state.last_seq


class _Consumer:
    """What a consumer of the server's sends, in order and without a gap.

    Not an ordered consumer of nats-py: with a callback that one lets the server send on however much waits here, and
    drops without a word what is beyond 256 MiB.

    Args:
        bus: An open connection.
        inbox: Where the server sends to.
    """

    def __init__(self, bus: Bus, inbox: str) -> None:
        self._bus = bus
        self._inbox = inbox
        self._queue: asyncio.Queue[tuple[LogEntry, int]] = asyncio.Queue()
        self._queued_bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._received = 0
        self._has_gap = False
        self._reconnects = bus.client.stats["reconnects"]
        self.pending_count = 0

    async def put(self, message: Msg) -> None:
        """Take a message from the connection; waits while too many are held, and the next ones with it."""
        if message.subject == self._inbox:  # of the server: a heartbeat, or whether it may send on
            reply = message.reply or (message.headers or {}).get(Header.CONSUMER_STALLED)
            if reply:
                await self._bus.client.publish(reply)
            return
        metadata = message.metadata
        self._received += 1
        if metadata.sequence.consumer != self._received:
            self._has_gap = True
        if self._has_gap:
            return
        traceparent = (message.headers or {}).get(tracing.TRACE_HEADERS[0], "") if tracing.is_on() else ""
        entry = LogEntry(message.subject, metadata.sequence.stream, message.data, traceparent)
        self._queue.put_nowait((entry, metadata.num_pending))
        self._count(+1, entry)
        await self._has_room.wait()

    async def take(self) -> tuple[list[LogEntry], int]:
        """Return what is there, at most 1,000 entries, with the number behind the last; nothing after a second."""
        try:
            taken = [await asyncio.wait_for(self._queue.get(), _CHECK_INTERVAL_S)]
        except TimeoutError:
            return [], 0
        while len(taken) < _BATCH_SIZE and not self._queue.empty():
            taken.append(self._queue.get_nowait())
        entries = [entry for entry, _ in taken]
        self._count(-1, *entries)
        return entries, taken[-1][1]

    def _count(self, sign: int, *entries: LogEntry) -> None:
        self._queued_bytes += sign * sum(_ENTRY_BYTES + len(entry.payload) for entry in entries)
        if self._queued_bytes < _READ_AHEAD_BYTES:
            self._has_room.set()
        else:
            self._has_room.clear()

    @property
    def is_in_doubt(self) -> bool:
        """Whether something was lost on the way, or may have been."""
        return self._has_gap or self._bus.client.stats["reconnects"] != self._reconnects


@contextlib.asynccontextmanager
async def _consumer(bus: Bus, stream: str, subject: str, after: int) -> AsyncIterator[_Consumer]:
    """Let the server send the messages after a sequence, until the block ends."""
    inbox = bus.client.new_inbox()
    consumer = _Consumer(bus, inbox)
    subscription = await bus.client.subscribe(inbox, cb=consumer.put)
    try:
        info = await bus.jetstream.add_consumer(
            stream,
            ConsumerConfig(
                name=f"reader-{uuid7().hex}",
                deliver_subject=inbox,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=after + 1,
                filter_subject=subject,
                ack_policy=AckPolicy.NONE,
                flow_control=True,
                idle_heartbeat=_HEARTBEAT_S,
                inactive_threshold=_INACTIVE_THRESHOLD_S,
                num_replicas=1,
                mem_storage=True,
            ),
        )
        consumer.pending_count = info.num_pending or 0
        yield consumer
    finally:
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()
