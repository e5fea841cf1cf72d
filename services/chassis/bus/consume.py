"""Takes work from a durable pull consumer: acknowledged when done, retried with delay, dead-lettered when poison."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from services.chassis import telemetry
from services.chassis.bus.connection import MESSAGE_ID_HEADER, Bus
from services.chassis.bus.dead_letters import DeadLetter
from services.chassis.bus.heartbeat import told_in_progress
from services.chassis.errors import Aborted, DeadlineExceeded, DomainError, ResourceExhausted, Unavailable
from services.chassis.telemetry import tracing

logger = logging.getLogger(__name__)

_FETCH_TIMEOUT_S = 5.0
_RECOVERY_DELAY_S = 0.5
_FIRST_RETRY_DELAY_S = 0.5
_MAX_RETRY_DELAY_S = 60.0
# Of all replicas together. What one has in hand is bounded by its concurrency alone.
_MAX_ACK_PENDING = 1_000
# Deliveries without an end that was told, for each that a handler may refuse: restarts count as deliveries, too.
_LOST_FACTOR = 2
# What the handler needs is away or busy: no fault of the message.
_TRANSIENT = (Unavailable, Aborted, DeadlineExceeded, ResourceExhausted)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message in the hands of its handler. `event_id` is the same on every redelivery."""

    subject: str
    payload: bytes
    event_id: str
    attempt: int
    stream: str
    sequence: int


Handler = Callable[[Delivery], Awaitable[None]]
DeadLetterHandler = Callable[[DeadLetter], Awaitable[None]]


class WorkConsumer:
    """Runs a handler over the messages of a durable consumer, several at a time.

    A handler that raises Unavailable, Aborted, DeadlineExceeded or ResourceExhausted is tried again, with the same
    delivery, until what it needs is back.

    A message is acknowledged, and the acknowledgement confirmed, only after its handler returned. A handler that
    raises has the message delivered again after a delay that doubles from 1 s to 60 s; on delivery `max_attempts` or
    later the message is copied to the DEAD_LETTERS stream with the reason, and then acknowledged. Deliveries without an
    end that was told, because their process died, or was restarted during an outage, set it aside after twice as many.
    While a handler works, the server is told so.

    Each of the `concurrency` tasks asks for one message when it has none in hand, so that replicas share a queue
    evenly: none holds what another could begin.

    Args:
        bus: An open connection.
        stream: Name of the stream, which may not exist yet.
        durable: Name of the consumer, shared by all replicas.
        subject: What to take from the stream; wildcards allowed.
        handler: Must be idempotent: a message can come more than once.
        concurrency: Messages worked on at a time.
        ack_wait_s: Silence after which the server gives the message to somebody else.
        max_attempts: Deliveries before a message that is refused counts as poison.
        on_dead_letter: Told of a message after it has been set aside.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        stream: str,
        durable: str,
        subject: str,
        handler: Handler,
        concurrency: int = 1,
        ack_wait_s: float = 15.0,
        max_attempts: int = 5,
        on_dead_letter: DeadLetterHandler | None = None,
    ) -> None:
        self._bus = bus
        self._stream = stream
        self._durable = durable
        self._handler = handler
        self._concurrency = concurrency
        self._ack_wait_s = ack_wait_s
        self._max_attempts = max_attempts
        self._on_dead_letter = on_dead_letter
        self._stopping = asyncio.Event()
        self._is_waiting = False
        self._config = ConsumerConfig(
            durable_name=durable,
            filter_subject=subject,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ack_wait_s,
            max_deliver=-1,
            max_ack_pending=max(_MAX_ACK_PENDING, 4 * concurrency),
        )

    async def run(self) -> None:
        """Work until `stop` is called; survives a server that goes away and a stream that is created anew."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._concurrency):
                tasks.create_task(self._work())

    def stop(self) -> None:
        """Let every handler finish what it has, and take nothing more."""
        self._stopping.set()

    async def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                # add_consumer also applies a changed configuration to an existing durable.
                await self._bus.jetstream.add_consumer(self._stream, self._config)
                subscription = await self._bus.jetstream.pull_subscribe_bind(self._durable, stream=self._stream)
            except (nats.errors.Error, TimeoutError) as error:
                if not self._is_waiting:  # each of the tasks tries twice a second, for as long as it takes
                    logger.info("consumer_waits", extra={"stream": self._stream, "error": repr(error)})
                self._is_waiting = True
                await self._pause(_RECOVERY_DELAY_S)
                continue
            self._is_waiting = False
            try:
                await self._drain(subscription)
            finally:
                with contextlib.suppress(nats.errors.Error):
                    await subscription.unsubscribe()

    async def _drain(self, subscription: JetStreamContext.PullSubscription) -> None:
        while not self._stopping.is_set():
            fetch = asyncio.ensure_future(subscription.fetch(1, timeout=_FETCH_TIMEOUT_S))
            stopped = asyncio.ensure_future(self._stopping.wait())
            try:
                await asyncio.wait({fetch, stopped}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _cancelled(stopped)
                if not fetch.done():
                    await _cancelled(fetch)
            if fetch.cancelled():
                return
            try:
                messages = fetch.result()
            except (nats.errors.TimeoutError, TimeoutError):
                if not await self._is_alive():
                    return
                continue
            except nats.errors.Error as error:
                logger.warning("fetch_failed", extra={"stream": self._stream, "error": repr(error)})
                await self._pause(_RECOVERY_DELAY_S)
                return
            for message in messages:
                await self._handle(message)

    async def _is_alive(self) -> bool:
        """Say whether the consumer still exists: a wiped store answers a fetch with silence."""
        try:
            await self._bus.jetstream.consumer_info(self._stream, self._durable)
        except (nats.errors.Error, TimeoutError):
            await self._pause(_RECOVERY_DELAY_S)
            return False
        return True

    async def _handle(self, message: Msg) -> None:
        headers = message.headers or {}
        sequence = message.metadata.sequence.stream
        delivery = Delivery(
            subject=message.subject,
            payload=message.data,
            event_id=headers.get(MESSAGE_ID_HEADER) or f"{self._stream}-{sequence}",
            attempt=message.metadata.num_delivered,
            stream=self._stream,
            sequence=sequence,
        )
        telemetry.begin_request(headers.get(telemetry.REQUEST_ID_HEADER))
        began = time.monotonic()
        waited_s = (datetime.now(UTC) - message.metadata.timestamp).total_seconds()
        self._bus.metrics.delivered(self._stream, is_repeated=delivery.attempt > 1, waited_s=waited_s)
        outcome = "cancelled"
        try:
            with self._span(delivery, headers) as span:
                outcome = await self._finish(message, delivery, span)
        finally:
            self._bus.metrics.handled(self._stream, outcome, time.monotonic() - began)

    def _span(self, delivery: Delivery, headers: dict[str, str]) -> tracing.Span:
        if not tracing.is_on():
            return tracing.NOTHING
        parent = {name: found for name in tracing.TRACE_HEADERS if (found := headers.get(name))}
        return tracing.span(
            f"process {self._stream}",
            tracing.Kind.CONSUMER,
            parent=parent,
            messaging__system="nats",
            messaging__destination__name=self._stream,
            messaging__message__id=delivery.event_id,
            museed__attempt=delivery.attempt,
        )

    async def _finish(self, message: Msg, delivery: Delivery, span: tracing.Span) -> str:
        """Bring a delivery to its end, whatever its handler raises, and say to which."""
        outcome = "acked"
        try:
            async with told_in_progress(message, self._ack_wait_s / 3):
                if not await self._work_off(delivery, span):
                    outcome = "dead_lettered"
        except Exception as error:  # the border of this process: the next message is taken
            logger.exception("handler_failed", extra={"subject": delivery.subject, "attempt": delivery.attempt})
            span.fail(error)
            delay_s = min(2.0 ** (delivery.attempt - 1), _MAX_RETRY_DELAY_S)
            with contextlib.suppress(nats.errors.Error):
                await message.nak(delay=delay_s)
            return "retried"
        try:
            await message.ack_sync(timeout=_FETCH_TIMEOUT_S)
        except (nats.errors.Error, TimeoutError) as error:
            # The message comes again, which its handler takes as a repetition.
            logger.warning("ack_failed", extra={"subject": delivery.subject, "error": repr(error)})
            return "ack_failed"
        return outcome

    async def _work_off(self, delivery: Delivery, span: tracing.Span) -> bool:
        """Handle a message; set it aside where this was its last attempt, and say so with False."""
        if delivery.attempt > _LOST_FACTOR * self._max_attempts:
            attempts = delivery.attempt - 1
            lost = f"delivered {attempts} times without an end that was told"
            await self._set_aside(delivery, attempts, "UNKNOWN", "HANDLER_LOST", lost)
            return False
        try:
            await self._patiently(delivery, lambda: self._handler(delivery))
        except _TRANSIENT:
            raise  # this process is stopping; the outage is no fault of the message
        except Exception as error:
            if delivery.attempt < self._max_attempts:
                raise
            logger.exception("handler_failed", extra={"subject": delivery.subject, "attempt": delivery.attempt})
            span.fail(error)
            found = ("INTERNAL", type(error).__qualname__, str(error))
            if isinstance(error, DomainError):
                found = (error.code.value, error.reason, error.message)
            await self._set_aside(delivery, delivery.attempt, *found)
            return False
        return True

    async def _patiently(self, delivery: Delivery, act: Callable[[], Awaitable[object]]) -> object:
        """Do something for a message; while what that needs is away, keep the message and try again.

        Kept and not given back: every delivery counts, and an outage makes no poison, nor hides why there is some.
        """
        delay_s = _FIRST_RETRY_DELAY_S
        while True:
            try:
                return await act()
            except _TRANSIENT as error:
                if self._stopping.is_set():
                    raise
                logger.warning("handler_waits", extra={"subject": delivery.subject, "reason": error.reason})
            await self._pause(delay_s)
            delay_s = min(2 * delay_s, _MAX_RETRY_DELAY_S)

    async def _set_aside(self, delivery: Delivery, attempts: int, code: str, reason: str, message: str) -> None:
        letter = DeadLetter(
            delivery.subject,
            delivery.payload,
            delivery.event_id,
            self._stream,
            attempts,
            code,
            reason,
            message,
            datetime.now(UTC),
            telemetry.request_id(),
        )
        subject = f"museed.dead_letters.{self._stream}"
        await self._patiently(
            delivery, lambda: self._bus.publish(subject, letter.payload, letter.message_id, headers=letter.headers())
        )
        logger.error("dead_letter", extra={"subject": delivery.subject, "attempts": attempts, "reason": reason})
        if (tell := self._on_dead_letter) is not None:
            await self._patiently(delivery, lambda: tell(letter))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


async def _cancelled(future: asyncio.Future[Any]) -> None:
    """Cancel and wait until it has ended, however it ends."""
    future.cancel()
    await asyncio.wait({future})
    if not future.cancelled():
        future.exception()  # looked at, so that nobody warns of it
