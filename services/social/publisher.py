"""Publishes the outbox to NATS: at least once, in order within a key, whoever else does the same.

A lane (kind and partition) belongs to the publisher that holds its advisory lock; it publishes all lanes of a kind that
it has together, in a handful of statements however many they are. Rows of different keys are published side by side; a
row is deleted soon after NATS confirmed it, whatever others wait for. A publisher that dies in between leaves the row,
and the next one publishes it again under the same message id, which the stream then knows.
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis import telemetry
from services.chassis.bus import VECTORS, Bus, PublishAck
from services.chassis.errors import DomainError, Unavailable
from services.chassis.telemetry import tracing
from services.social import messages
from services.social.domain.ids import EncoderId, TrackId
from services.social.messages import Message
from services.social.store import outbox, vector_log, work
from services.social.store.database import Connection
from services.social.store.locks import LaneLocks
from services.social.store.outbox import Kind, Lane, OutboxRow
from services.social.store.vector_log import Told
from services.social.workers.background import Nudge, raise_if_cancelled, repeat

logger = logging.getLogger(__name__)

_POLL_INTERVAL_S = 0.5
# Of each lane at a time.
_BATCH_SIZE = 64
_GATHER_S = 0.01
# Of what was confirmed, while others of its batch are not: those wait for up to 5 s.
_FINISH_INTERVAL_S = 0.2
# Half of the time in which NATS knows a message again: who slept longer leaves rows to whoever has the lanes by then.
_STALE_AFTER_S = 60.0
# Confirmations waited for at a time, for each kind: a long ingest does not hold up people's events.
_MOST_IN_FLIGHT = 128


@dataclass(frozen=True, slots=True)
class _Done:
    """A row that is dealt with; without a confirmation where there was nothing to publish any more."""

    row: OutboxRow
    message: Message | None
    ack: PublishAck | None


class Publisher:
    """One of any number of publishers.

    Args:
        locks: This publisher's own; their connection reads the outbox too, so that nobody who waits for one of the
            service's pools holds it up.
        bus: Where to publish.
        nudge: Rung after commits, to look at once instead of every 0.5 s.
    """

    def __init__(self, locks: LaneLocks, bus: Bus, nudge: Nudge) -> None:
        self._locks = locks
        self._bus = bus
        self._nudge = nudge
        self._room = {kind: asyncio.Semaphore(_MOST_IN_FLIGHT) for kind in Kind}
        self._draining: dict[Kind, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Publish for ever, until cancelled."""
        try:
            await repeat("publish", self._start_drains, _POLL_INTERVAL_S, self._nudge)
        finally:
            tasks = list(self._draining.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._locks.close()

    async def _start_drains(self) -> None:
        """Look for lanes in which something waits, and publish what is in those that nobody else has."""
        if not self._bus.is_connected:
            return
        # What is committed meanwhile is published together, in as many calls as one alone.
        await asyncio.sleep(_GATHER_S)
        idle = [kind for kind in Kind if kind not in self._draining]
        async with self._locks.connection() as connection:
            waiting = await outbox.lanes_with_rows(connection, idle)
        for kind in {lane.kind for lane in waiting}:
            lanes = [lane for lane in waiting if lane.kind is kind]
            self._draining[kind] = asyncio.create_task(self._drain(kind, lanes))

    async def _drain(self, kind: Kind, lanes: Sequence[Lane]) -> None:
        """Publish lanes of a kind until they are empty, NATS refuses, or they are somebody else's."""
        published, refused = 0, set[str]()
        try:
            mine = full = await self._locks.acquire(lanes)
            try:
                while full and self._bus.is_connected:
                    full, done = await self._publish_batch(kind, full, refused)
                    published += done
                    raise_if_cancelled()
            finally:
                await self._locks.release(mine)
        except DomainError as error:
            logger.warning("drain_failed", extra={"kind": kind.value, "reason": error.reason})
        except Exception:  # the border of this process: the next look tries again
            logger.exception("drain_failed", extra={"kind": kind.value})
        finally:
            del self._draining[kind]
            if published:
                # Rows that came after the last look of this drain found it still there: look once more.
                self._nudge.ring()

    async def _publish_batch(self, kind: Kind, lanes: Sequence[Lane], refused: set[str]) -> tuple[list[Lane], int]:
        """Publish the oldest rows of lanes, without those of keys that were refused, to which it adds.

        Returns:
            The lanes in which more may wait, and how many rows are done.
        """
        created_at = await self._bus.stream_created_at(VECTORS) if kind is Kind.VECTOR else None
        async with self._locks.connection() as connection:
            lanes = [lane for lane in lanes if self._locks.holds(lane)]
            if not lanes:
                return [], 0
            if kind is Kind.VECTOR and created_at != await vector_log.known_stream(connection, VECTORS):
                # The reconciler has not seen this stream yet: what is marked now would count for the lost one.
                return [], 0
            read_at = time.monotonic()
            rows = await outbox.read_batch(connection, lanes, _BATCH_SIZE, refused)
            found = await _compose(connection, kind, rows)
        by_key: defaultdict[str, list[OutboxRow]] = defaultdict(list)
        for row in rows:
            by_key[row.key].append(row)
        confirmed, count = list[_Done](), 0
        trouble: DomainError | None = None
        async with asyncio.TaskGroup() as tasks:  # whatever goes wrong: the lanes are kept until all have ended
            sent = {
                key: tasks.create_task(self._publish_key(kind, of_key, found, read_at, confirmed))
                for key, of_key in by_key.items()
            }
            left = set(sent.values())
            while left and trouble is None:
                _, left = await asyncio.wait(left, timeout=_FINISH_INTERVAL_S)
                done, confirmed[:] = confirmed[:], []
                try:
                    await self._finish(kind, done)
                except DomainError as error:  # what it was to finish comes again
                    trouble = error
                raise_if_cancelled()
                count += len(done)
        if trouble is not None:
            raise trouble
        refused |= {key for key, task in sent.items() if not task.result()}
        seen = Counter(row.lane for row in rows)
        return [lane for lane in lanes if seen[lane] == _BATCH_SIZE], count

    async def _publish_key(
        self,
        kind: Kind,
        rows: Sequence[OutboxRow],
        found: dict[int, Message | None],
        read_at: float,
        done: list[_Done],
    ) -> bool:
        """Publish the rows of one key one after the other; stop at the first that is not confirmed, with False."""
        for row in rows:
            message = found[row.row_id]
            if message is None:
                done.append(_Done(row, None, None))
                continue
            telemetry.begin_request(row.request_id or None)
            try:
                async with self._room[kind]:
                    if time.monotonic() - read_at > _STALE_AFTER_S:
                        return False
                    with tracing.within_header(row.trace_parent):
                        ack = await self._bus.publish(message.subject, message.payload, row.event_id)
            except Unavailable as error:
                logger.warning("publish_failed", extra={"subject": message.subject, "detail": error.message})
                return False
            done.append(_Done(row, message, ack))
        return True

    async def _finish(self, kind: Kind, done: Sequence[_Done]) -> None:
        row_ids = [one.row.row_id for one in done]
        if not row_ids:
            return
        if kind is Kind.EVENT:
            async with self._locks.connection() as connection:
                await outbox.delete(connection, row_ids)
            return
        async with self._locks.connection() as connection, connection.transaction():
            if kind is Kind.VECTOR:
                for encoder_id, told in _told_by_encoder(done).items():
                    await vector_log.mark_published(connection, encoder_id, told)
            else:
                sequences = {one.row.event_id: one.ack.sequence for one in done if one.ack is not None}
                await work.mark_sent(connection, sequences)
            await outbox.delete(connection, row_ids)


async def _compose(connection: Connection, kind: Kind, rows: Sequence[OutboxRow]) -> dict[int, Message | None]:
    """Return each row's message by row id, None for one that needs none any more."""
    if kind is Kind.EVENT:
        return {row.row_id: Message(row.subject, row.payload) for row in rows}
    if kind is Kind.WORK:
        wanted = await work.messages(connection, [row.event_id for row in rows])
        return {
            row.row_id: messages.embed_track(wanted[row.event_id]) if row.event_id in wanted else None for row in rows
        }
    found: dict[int, Message | None] = {}
    for encoder_id in {row.encoder_id for row in rows}:
        mine = [row for row in rows if row.encoder_id == encoder_id]
        states = await vector_log.states(connection, encoder_id, [TrackId(row.key) for row in mine])
        for row in mine:
            track_id = TrackId(row.key)
            found[row.row_id] = messages.track_vector(encoder_id, track_id, states.get(track_id), row.version)
    return found


def _told_by_encoder(done: Sequence[_Done]) -> dict[EncoderId, list[Told]]:
    found: defaultdict[EncoderId, dict[TrackId, Told]] = defaultdict(dict)
    for one in done:
        if one.message is None or one.ack is None:
            continue
        # What a duplicate holds was composed earlier: at least what the track was when the row was written.
        version = one.row.version if one.ack.duplicate else one.message.version
        track_id = TrackId(one.row.key)
        found[one.row.encoder_id][track_id] = Told(track_id, version, one.ack.sequence)
    return {encoder_id: list(told.values()) for encoder_id, told in found.items()}
