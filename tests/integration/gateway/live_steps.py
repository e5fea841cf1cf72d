"""A gateway that hears a real NATS, what social tells, and what a follower gets of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.message import Message

from museed.social.v1 import access_pb2, events_pb2, feed_pb2, notifications_pb2, people_events_pb2
from services.chassis.bus import PEOPLE_EVENTS, SOCIAL_EVENTS, Bus
from services.gateway.__main__ import follow
from services.gateway.consumer import Streams
from tests.conftest import NatsServer
from tests.fakes.answers import NOW
from tests.fakes.upstreams import FakeSocial, new_id, timestamp
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.socket_client import SocketClient

P = "museed.social.v1."
ANN, BOB, EVE = "00000000-0000-7000-8000-00000000000a", new_id(), new_id()


@asynccontextmanager
async def hearing(gateway: Gateway, bus: Bus, nats_server: NatsServer) -> AsyncIterator[Gateway]:
    """Let a gateway follow NATS."""
    streams = Streams(gateway.parts.live, gateway.parts.authenticator.revocations)
    following = asyncio.create_task(follow(nats_server.settings("gateway"), streams, gateway.health))
    hub = gateway.parts.live.hub
    try:
        async with asyncio.timeout(60):
            while not (hub.hears(SOCIAL_EVENTS) and hub.hears(PEOPLE_EVENTS)):
                await asyncio.sleep(0.01)
        yield gateway
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def tell(bus: Bus, name: str, message: Message) -> None:
    await bus.publish(f"{P}{name}", message.SerializeToString(), new_id())


async def ring(bus: Bus, job_id: str) -> None:
    await tell(bus, "job_progressed", events_pb2.JobProgressed(job_id=job_id))


def activity(actor_id: str = BOB, at: datetime = NOW, activity_id: str = "") -> feed_pb2.Activity:
    return feed_pb2.Activity(
        activity_id=activity_id or new_id(),
        kind=feed_pb2.ACTIVITY_KIND_CREATED,
        actor_id=actor_id,
        playlist_id=new_id(),
        at=timestamp(at),
    )


async def do(bus: Bus, seconds: int, actor_id: str = BOB) -> feed_pb2.Activity:
    """Let somebody do something so many seconds after NOW: that is how tests tell one from another."""
    made = activity(actor_id, NOW + timedelta(seconds=seconds))
    await tell(bus, "activity_recorded", people_events_pb2.ActivityRecorded(activity=made))
    return made


async def notify(bus: Bus, seconds: int, user_id: str = ANN) -> notifications_pb2.Notification:
    made = notifications_pb2.Notification(
        notification_id=new_id(),
        kind=notifications_pb2.NOTIFICATION_KIND_LIKED,
        actor_id=BOB,
        at=timestamp(NOW + timedelta(seconds=seconds)),
    )
    event = people_events_pb2.NotificationAdded(
        notification_id=made.notification_id, user_id=user_id, notification=made
    )
    await tell(bus, "notification_added", event)
    return made


def let_see(social: FakeSocial, *hidden: str, followed: tuple[str, ...] = (BOB,)) -> None:
    """Let everything be seen but some things."""

    def can_view(request: access_pb2.CanViewRequest) -> access_pb2.CanViewResponse:
        return access_pb2.CanViewResponse(can_view=[thing.id not in hidden for thing in request.things])

    social.answers["CanView"] = can_view
    social.answers["ListFollowedIds"] = feed_pb2.ListFollowedIdsResponse(user_ids=followed)


async def event(client: SocketClient, id_: str = "1") -> dict[str, Any]:
    """Return the next event of a subscription."""
    while (message := await client.receive())["type"] == "ping":
        await client.send(type="pong")
    assert (message["id"], message["type"]) == (id_, "next"), message
    assert "errors" not in message["payload"], message
    (found,) = message["payload"]["data"].values()
    made: dict[str, Any] = found
    return made


async def failure(client: SocketClient, id_: str = "1") -> dict[str, Any]:
    """Return what is said of the error with which a subscription ends."""
    message = await client.receive()
    assert message["id"] == id_
    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    (error,) = errors
    found: dict[str, Any] = error["extensions"]
    return found
