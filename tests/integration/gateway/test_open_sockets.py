"""Sockets end with their session, with their token, and when the process drains; nothing is said after that."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
from websockets.exceptions import ConnectionClosed

from museed.social.v1 import events_pb2
from services.chassis.bus import Bus
from services.gateway import sockets as sockets_module
from tests.conftest import NatsServer
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.live_steps import event, hearing, let_see, tell
from tests.integration.gateway.socket_client import SocketClient, dialled, initialised

FEED = "subscription { feed { cursor } }"
PROGRESS = "subscription($id: ID!) { jobProgress(jobId: $id) { state } }"


@pytest.fixture
async def live(own_gateway: Gateway, bus: Bus, nats_server: NatsServer) -> AsyncIterator[Gateway]:
    """A gateway that follows NATS and looks after its sockets."""
    let_see(own_gateway.social)
    async with hearing(own_gateway, bus, nats_server):
        keeping = asyncio.create_task(own_gateway.parts.live.sockets.run())
        yield own_gateway
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def following(gateway: Gateway, client: SocketClient) -> None:
    job = gateway.social.add_job()
    await client.subscribe("1", FEED, {})
    await event(client)
    await client.subscribe("2", PROGRESS, {"id": job.job_id})
    await event(client, "2")


async def end_of(client: SocketClient) -> tuple[int | None, str | None]:
    with pytest.raises(ConnectionClosed):
        await client.receive()
    return client.connection.close_code, client.connection.close_reason


async def test_a_revoked_session_is_heard_of_at_once_and_ends_its_sockets_alone(live: Gateway, bus: Bus) -> None:
    theirs, other = live.bearer(sid="session-3")["Authorization"], live.bearer(sid="session-4")["Authorization"]
    async with asyncio.timeout(60), initialised(live.url, theirs) as client, initialised(live.url, other) as stays:
        await following(live, client)
        await following(live, stays)
        await tell(bus, "session_revoked", events_pb2.SessionRevoked(session_id="session-3"))
        assert await end_of(client) == (4403, "SESSION_REVOKED")
        # The list does not know of it yet: the event was enough, for everything.
        assert "session-3" not in live.social.revoked
        answer = await live.run("{ me { email } }", headers={"Authorization": theirs})
        assert answer["errors"][0]["extensions"]["reason"] == "SESSION_REVOKED"
        async with dialled(live.url) as again:
            await again.send(type="connection_init", payload={"authorization": theirs})
            assert await end_of(again) == (4403, "SESSION_REVOKED")
        await stays.subscribe("3", FEED, {})
        await event(stays, "3")


async def test_while_the_bus_is_silent_social_is_asked(own_gateway: Gateway) -> None:
    revocations, sockets = own_gateway.parts.authenticator.revocations, own_gateway.parts.live.sockets
    tasks = [asyncio.create_task(revocations.run()), asyncio.create_task(sockets.run())]
    try:
        authorization = own_gateway.bearer(sid="session-3")["Authorization"]
        async with asyncio.timeout(60), initialised(own_gateway.url, authorization) as client:
            job = own_gateway.social.add_job()
            await client.subscribe("1", PROGRESS, {"id": job.job_id})
            await event(client)
            own_gateway.social.revoked.append("session-3")
            assert await end_of(client) == (4403, "SESSION_REVOKED")
        # The list, and a look at the sockets: together within the five seconds that are promised.
        assert revocations.interval_s + sockets_module._LOOK_INTERVAL_S < 5.0
    finally:
        for task in tasks:
            task.cancel()


async def test_a_socket_ends_with_its_token(live: Gateway) -> None:
    # The verifier has a leeway, so that this one is still taken.
    authorization = live.bearer(exp=int(time.time()) - 1)["Authorization"]
    async with asyncio.timeout(60), initialised(live.url, authorization) as client:
        assert await end_of(client) == (4403, "TOKEN_EXPIRED")


async def test_those_who_are_sent_away_are_told_to_come_again(live: Gateway) -> None:
    async with asyncio.timeout(60), contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(initialised(live.url, live.bearer()["Authorization"])) for _ in range(5)
        ]
        for client in clients:
            await following(live, client)
        late = await stack.enter_async_context(dialled(live.url))
        await live.parts.live.sockets.send_away(0.1)
        assert [await end_of(client) for client in clients] == [(1012, "")] * 5
        assert (live.parts.live.hub.follower_count, live.parts.live.hub.bells.watcher_count) == (0, 0)
        async with dialled(live.url) as later:
            await later.send(type="connection_init")
            assert (await end_of(later))[0] == 1012
        assert (await end_of(late))[0] == 1012


async def test_sockets_are_pinged_by_the_protocol_itself(live: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets_module, "_PING_INTERVAL_S", 0.0)
    async with asyncio.timeout(60), initialised(live.url, None) as client:
        assert await client.receive() == {"type": "ping"}
        await client.send(type="pong")
        assert await client.receive() == {"type": "ping"}
