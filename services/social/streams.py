"""What the streams of NATS hold, for those who look after a mesh, and the door to NATS of what answers calls."""

from dataclasses import dataclass
from datetime import datetime

import nats.errors
import nats.js.errors
from nats.js.api import ConsumerInfo

from services.chassis.bus import STREAMS, Bus
from services.chassis.errors import Unavailable


class BusDoor:
    """Where the connection to NATS is found, once there is one: calls are answered before."""

    def __init__(self) -> None:
        self.bus: Bus | None = None

    def opened(self) -> Bus:
        """Return the connection.

        Raises:
            Unavailable: There is none yet, or NATS is away.
        """
        if self.bus is None or not self.bus.is_connected:
            raise Unavailable("NATS cannot be reached now", reason="BUS_UNAVAILABLE")
        return self.bus


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """Who works off a stream: what is not yet given out, what is in hand, and what of that was given out before."""

    name: str
    waiting: int
    in_hand: int
    repeated: int


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream; `created_at` is None where it is not there."""

    name: str
    messages: int
    size_bytes: int
    created_at: datetime | None
    consumers: list[ConsumerState]


async def list_streams(bus: Bus) -> list[StreamState]:
    """Ask NATS for every stream and those who work it off.

    Raises:
        Unavailable: NATS does not answer.
    """
    try:
        return [await _stream(bus, name) for name in STREAMS]
    except (nats.errors.Error, TimeoutError) as error:
        raise Unavailable(f"streams cannot be read: {error}", reason="BUS_UNAVAILABLE") from error


async def _stream(bus: Bus, name: str) -> StreamState:
    try:
        info = await bus.jetstream.stream_info(name)
        consumers = await bus.jetstream.consumers_info(name)
    except nats.js.errors.NotFoundError:
        return StreamState(name, 0, 0, None, [])
    # Readers of a log come and go without a name of their own: they work nothing off.
    durables = sorted((one for one in consumers if one.config.durable_name), key=lambda one: one.name)
    return StreamState(name, info.state.messages, info.state.bytes, info.created, [_consumer(one) for one in durables])


def _consumer(info: ConsumerInfo) -> ConsumerState:
    return ConsumerState(info.name, info.num_pending or 0, info.num_ack_pending or 0, info.num_redelivered or 0)
