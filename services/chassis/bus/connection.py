"""One NATS connection of a process: streams are provisioned and read back, publishing is confirmed."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamConfig, StreamInfo
from pydantic import Field

from services.chassis.bus.rare_errors import RareErrors
from services.chassis.bus.streams import STREAMS, stream_of
from services.chassis.errors import Unavailable
from services.chassis.settings import Settings, settings_config
from services.chassis.telemetry import REQUEST_ID_HEADER, request_id, tracing
from services.chassis.telemetry.metrics import BusMetrics
from services.chassis.tls import Identity

logger = logging.getLogger(__name__)

MESSAGE_ID_HEADER = "Nats-Msg-Id"
_REQUEST_TIMEOUT_S = 5.0
# What the servers are called in their certificates.
_NATS = "nats"
_CANCEL_INTERVAL_S = 0.1
# What the server fills in by itself is not compared with what was asked for.
_COMPARED = (
    "subjects",
    "retention",
    "max_msgs_per_subject",
    "max_msgs",
    "max_bytes",
    "max_age",
    "discard",
    "num_replicas",
)


class BusSettings(Settings):
    """Where NATS is and as whom this process speaks to it."""

    model_config = settings_config("NATS_")

    url: str = "nats://127.0.0.1:4222"
    user: str = ""
    password: str = ""
    # Copies of each stream, on as many servers of a cluster.
    stream_replicas: int = Field(default=1, ge=1, le=5)


@dataclass(frozen=True, slots=True)
class PublishAck:
    """Where a message was stored. `duplicate` means that its id was already there; `sequence` is then the first's."""

    stream: str
    sequence: int
    duplicate: bool


class Bus:
    """A connection to NATS that reconnects for ever. Made by `Bus.connect`, closed by `close`."""

    def __init__(self, client: Client, metrics: BusMetrics, stream_replicas: int = 1) -> None:
        self.client = client
        self._stream_replicas = stream_replicas
        self.metrics = metrics
        self.jetstream: JetStreamContext = client.jetstream(timeout=_REQUEST_TIMEOUT_S)

    @classmethod
    async def connect(
        cls, settings: BusSettings, name: str, metrics: BusMetrics | None = None, identity: Identity | None = None
    ) -> Self:
        """Connect, waiting for a server that is not there yet.

        Args:
            settings: Address and credentials.
            name: Shown in NATS's own monitoring; also makes the inbox prefix, so that users cannot read each other's
                replies.
            metrics: Counts messages; None counts nothing.
            identity: Who this process is; None speaks without TLS. With one, nothing is said before the handshake: a
                server that asks for no TLS would be told the password.
        """
        told = RareErrors()

        async def on_error(error: Exception) -> None:
            told.heard(error)

        async def on_disconnected() -> None:
            logger.warning("bus_disconnected")

        async def on_reconnected() -> None:
            told.forget()
            logger.info("bus_reconnected")

        client = Client()
        connecting = client.connect(
            settings.url,
            user=settings.user or None,
            password=settings.password or None,
            name=name,
            inbox_prefix=f"_INBOX_{name}".encode(),
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.5,  # type: ignore[arg-type]  # a pause: any number will do
            ping_interval=10,
            max_outstanding_pings=2,
            # Little is buffered while NATS is away: the outbox is the buffer.
            pending_size=8 * 1024 * 1024,
            tls=None if identity is None else identity.client_context(),
            tls_hostname=None if identity is None else _NATS,
            tls_handshake_first=identity is not None,
            error_cb=on_error,
            disconnected_cb=on_disconnected,
            reconnected_cb=on_reconnected,
        )
        await _cancellable(connecting, client)
        return cls(client, metrics or BusMetrics(), settings.stream_replicas)

    async def close(self) -> None:
        """Close the connection; unfinished messages are delivered again later, here or elsewhere."""
        await _close(self.client)

    @property
    def is_connected(self) -> bool:
        """Whether the server can be reached now."""
        return self.client.is_connected

    async def ensure_streams(self, names: Sequence[str] | None = None) -> dict[str, datetime]:
        """Create missing streams, update changed ones, and read every one back.

        Args:
            names: Streams of the STREAMS table; None means all.

        Returns:
            Creation time by name. Another time than before means that the store was lost.

        Raises:
            Unavailable: NATS does not answer, or keeps another configuration than was asked for.
        """
        created: dict[str, datetime] = {}
        for name in names if names is not None else STREAMS:
            wanted = STREAMS[name].evolve(num_replicas=self._stream_replicas)
            try:
                info = await self._existing(name)
                if info is None:
                    await self.jetstream.add_stream(wanted)
                elif _differs(info.config, wanted):
                    await self.jetstream.update_stream(wanted)
                info = await self.jetstream.stream_info(name)
            except nats.errors.Error as error:
                raise Unavailable(f"stream {name} cannot be provisioned: {error}", reason="BUS_UNAVAILABLE") from error
            if _differs(info.config, wanted) or info.created is None:
                raise Unavailable(f"stream {name} was not configured as asked", reason="BUS_MISCONFIGURED")
            created[name] = info.created
        return created

    async def stream_created_at(self, name: str) -> datetime | None:
        """Return when a stream was created, None while it does not exist.

        Raises:
            Unavailable: NATS does not answer.
        """
        try:
            info = await self._existing(name)
        except nats.errors.Error as error:
            raise Unavailable(f"stream {name} cannot be read: {error}", reason="BUS_UNAVAILABLE") from error
        return None if info is None else info.created

    async def _existing(self, name: str) -> StreamInfo | None:
        try:
            return await self.jetstream.stream_info(name)
        except nats.js.errors.NotFoundError:
            return None

    async def publish(
        self,
        subject: str,
        payload: bytes,
        event_id: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = _REQUEST_TIMEOUT_S,
    ) -> PublishAck:
        """Store one message and return where; safe to repeat with the same event id.

        Args:
            subject: Where to.
            payload: What.
            event_id: The same on every attempt.
            headers: What travels beside it, in ASCII.
            timeout_s: How long to wait for the confirmation.

        Raises:
            Unavailable: Not confirmed in time. It may still be stored: publish again with the same id.
        """
        stream = stream_of(subject)
        with tracing.span(f"publish {stream}", tracing.Kind.PRODUCER, messaging__message__id=event_id) as span:
            sent = {MESSAGE_ID_HEADER: event_id, **(headers or {}), **span.headers()}
            if request_id():
                sent[REQUEST_ID_HEADER] = request_id()
            try:
                ack = await self.jetstream.publish(subject, payload, timeout=timeout_s, headers=sent)
            except (nats.errors.Error, TimeoutError) as error:
                self.metrics.published(stream, "unconfirmed")
                raise Unavailable(
                    f"publish to {subject} was not confirmed: {error}", reason="BUS_UNAVAILABLE"
                ) from error
        self.metrics.published(stream, "duplicate" if ack.duplicate else "stored")
        return PublishAck(stream=ack.stream, sequence=ack.seq, duplicate=bool(ack.duplicate))


def _differs(found: StreamConfig, wanted: StreamConfig) -> bool:
    return any(
        getattr(wanted, name) is not None and getattr(found, name) != getattr(wanted, name) for name in _COMPARED
    )


async def _cancellable(connecting: Coroutine[Any, Any, None], client: Client) -> None:
    """Connect until it is done or cancelled: while NATS refuses us, nats-py swallows what comes at the wrong moment."""
    task = asyncio.ensure_future(connecting)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await _end(task)
        await _close(client)
        raise


async def _close(client: Client) -> None:
    """Close a client for good: its reconnection may outlive its own `close`, and connect once more."""
    await _close_once(client)
    if client._reconnection_task is not None:
        await _end(client._reconnection_task)
    await _close_once(client)
    if client._transport is not None:
        client._transport.close()  # type: ignore[no-untyped-call]  # nats-py's own


async def _close_once(client: Client) -> None:
    # In a task of its own: a reconnection that is cancelled on the way cancels what `close` waits for as well.
    closing = asyncio.ensure_future(client.close())
    await asyncio.wait([closing])
    # What cannot be flushed to a server that has gone comes again later, too. uvloop tells of it by a RuntimeError.
    if not closing.cancelled() and not isinstance(error := closing.exception(), OSError | RuntimeError | None):
        raise error


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel until it is done: `asyncio.wait_for` of Python 3.11 swallows what comes while its future is done."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_INTERVAL_S)
    if not task.cancelled():
        task.exception()
