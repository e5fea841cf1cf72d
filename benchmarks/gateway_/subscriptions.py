"""How much memory open subscriptions cost a gateway process, and how soon an event is with all who follow it.

A gateway as the process that it is, over made-up services in this process and a real NATS; 1,000 sockets with one
subscription each, a third of them to the feed, to notifications, to a job. Prints the growth of its resident memory
with all of them open, after events were sent to all, and for how long the last of the feeds waits.

Usage: python -m benchmarks.gateway_.subscriptions [--sockets 1000] [--events 5]
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks.retrieval.run import Row
from museed.social.v1 import access_pb2, feed_pb2, people_events_pb2
from services.chassis.bus import Bus
from tests.conftest import NatsServer, free_port
from tests.fakes.answers import NOW
from tests.fakes.tokens import TokenSigner
from tests.fakes.upstreams import Upstreams, new_id, timestamp, upstreams

MIB = 1024 * 1024
BOUND_MIB = 100
_ACTOR = new_id()
_QUERIES = (
    "subscription { feed { cursor activity { at } } }",
    "subscription { notifications { cursor } }",
    "subscription($id: ID!) { jobProgress(jobId: $id) { state progress } }",
)


@asynccontextmanager
async def _gateway(folder: Path, nats: NatsServer, behind: Upstreams) -> AsyncIterator[tuple[str, psutil.Process]]:
    """Run a gateway until the block ends."""
    settings = nats.settings("gateway")
    url = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.gateway",
        env={
            **os.environ,
            "GATEWAY_LISTEN": url,
            "GATEWAY_SOCIAL_ADDRESS": behind.social_address,
            "GATEWAY_RETRIEVER_ADDRESS": behind.retriever_address,
            "GATEWAY_URL_SIGNING_KEY": "k" * 32,
            "GATEWAY_MAX_SOCKETS_OF_ONE": str(10**6),
            "GATEWAY_MAX_OPERATIONS_OF_ONE": str(10**6),
            "GATEWAY_BLOB_STORE_URL": f"file://{folder / 'blobs'}",
            "GATEWAY_LOG_LEVEL": "WARNING",
            "NATS_URL": settings.url,
            "NATS_USER": settings.user,
            "NATS_PASSWORD": settings.password,
        },
    )
    try:
        async with httpx.AsyncClient() as http, asyncio.timeout(120):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get(f"http://{url}/readyz")).status_code == httpx.codes.OK:
                        break
                await asyncio.sleep(0.1)
        yield url, psutil.Process(process.pid)
    finally:
        process.kill()
        await process.wait()


def _prepare(behind: Upstreams) -> str:
    """Let everything be seen, and everybody follow one person; returns a job that stays under way."""

    def can_view(request: access_pb2.CanViewRequest) -> access_pb2.CanViewResponse:
        return access_pb2.CanViewResponse(can_view=[True] * len(request.things))

    behind.social.answers["CanView"] = can_view
    behind.social.answers["ListFollowedIds"] = feed_pb2.ListFollowedIdsResponse(
        user_ids=[_ACTOR, *(new_id() for _ in range(49))]
    )
    return behind.social.add_job("user-1").job_id


class Client:
    """One socket with one subscription."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def begin(self, token: str, number: int, job_id: str) -> None:
        """Shake hands, subscribe, and take what comes at once."""
        await self._send(type="connection_init", payload={"authorization": f"Bearer {token}"})
        await self.take("connection_ack")
        payload = {"query": _QUERIES[number % 3], "variables": {"id": job_id} if number % 3 == 2 else {}}
        await self._send(type="subscribe", id="1", payload=payload)
        await self.take("next")

    async def take(self, kind: str) -> dict[str, Any]:
        """Return the next message that is no ping."""
        while (message := json.loads(await self._connection.recv()))["type"] == "ping":
            pass
        assert message["type"] == kind, message
        found: dict[str, Any] = message
        return found

    async def until_activity(self) -> float:
        """Return when an activity came."""
        while (await self.take("next"))["payload"]["data"]["feed"]["activity"] is None:
            pass
        return time.perf_counter()

    async def _send(self, **message: Any) -> None:
        await self._connection.send(json.dumps(message))


async def _measure(sockets: int, events: int, folder: Path) -> list[Row]:
    nats = NatsServer(folder)
    nats.start()
    signer = TokenSigner()
    try:
        bus = await Bus.connect(nats.settings("social"), "social")
        await bus.ensure_streams()
        async with upstreams(signer) as behind, _gateway(folder, nats, behind) as (url, process):
            job_id = _prepare(behind)
            token = signer.token()
            async with contextlib.AsyncExitStack() as stack:

                async def one(number: int) -> Client:
                    client = Client(
                        await stack.enter_async_context(
                            connect(
                                f"ws://{url}/graphql",
                                subprotocols=[Subprotocol("graphql-transport-ws")],
                                proxy=None,
                                ping_interval=None,
                                open_timeout=120,
                            )
                        )
                    )
                    await client.begin(token, number, job_id)
                    return client

                warm = [await one(number) for number in range(3)]  # what the first of each kind costs is no growth
                before = process.memory_info().rss
                clients: list[Client] = []
                for start in range(0, sockets, 50):
                    clients += await asyncio.gather(*(one(number) for number in range(start, min(start + 50, sockets))))
                opened = process.memory_info().rss
                feeds = [client for number, client in enumerate(clients) if number % 3 == 0] + warm[:1]
                waits = []
                for _ in range(events):
                    made = feed_pb2.Activity(activity_id=new_id(), actor_id=_ACTOR, kind=1, at=timestamp(NOW))  # type: ignore[arg-type]
                    payload = people_events_pb2.ActivityRecorded(activity=made).SerializeToString()
                    told = time.perf_counter()
                    await bus.publish("museed.social.v1.activity_recorded", payload, new_id())
                    waits.append(max(await asyncio.gather(*(client.until_activity() for client in feeds))) - told)
                after = process.memory_info().rss
        await bus.close()
    finally:
        nats.kill()
    slowest_ms = 1e3 * sorted(waits)[len(waits) // 2]
    growth = (max(opened, after) - before) / MIB
    return [
        Row(
            f"memory before, with {sockets} subscriptions, after {events} events to all feeds",
            _three(before, opened, after),
        ),
        Row("growth", f"{growth:.0f} MiB", f"≤ {BOUND_MIB} MiB for 1,000"),
        Row(f"from publish to the last of {len(feeds)} feeds, median", f"{slowest_ms:.0f} ms"),
    ]


def _three(*sizes: int) -> str:
    return ", ".join(f"{size / MIB:.0f}" for size in sizes) + " MiB"


def measure(sockets: int = 1000, events: int = 5) -> list[Row]:
    """Measure in a folder that is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(sockets, events, Path(folder)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--events", type=int, default=5)
    given = parser.parse_args()
    for row in measure(given.sockets, given.events):
        print(f"{row.what:<70} {row.figure:>24}   {row.goal}")


if __name__ == "__main__":
    main()
