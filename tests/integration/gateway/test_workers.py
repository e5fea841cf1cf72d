"""Several workers behind one port, as processes: all answer, the dead are replaced, and whoever drains loses nobody."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil
from websockets.exceptions import ConnectionClosed

from services.chassis.bus import PEOPLE_EVENTS, Bus
from tests.conftest import NatsServer, free_port
from tests.integration.gateway.live_steps import ANN, do, event, let_see
from tests.integration.gateway.socket_client import SocketClient, initialised
from tests.integration.gateway.test_process import Running, run_to_end, running

FEED = "subscription($after: String) { feed(after: $after) { cursor activity { at } } }"


def workers(gateway: Running) -> set[int]:
    """Ids of the processes that serve."""
    found = set()
    for child in psutil.Process(gateway.process.pid).children():
        if is_alive(child):
            found.add(child.pid)
    return found


def is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


async def until_workers(gateway: Running, without: set[int]) -> None:
    """Wait until two are there, and none of these."""
    async with asyncio.timeout(60):
        while len(found := workers(gateway)) != 2 or found & without:
            await asyncio.sleep(0.05)


async def ask(gateway: Running, count: int) -> int:
    """Ask over so many connections of their own; return how many were answered."""

    async def one() -> bool:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
            answer = await http.post("/graphql", json={"query": "{ stats { trackCount } }"})
            return bool(answer.json()["data"] == {"stats": {"trackCount": 0}})

    return sum(await asyncio.gather(*(one() for _ in range(count))))


async def told_by(address: str) -> bool:
    """Wait until the metrics of a worker that has just come are told."""
    async with asyncio.timeout(60), httpx.AsyncClient() as http:
        while True:
            with contextlib.suppress(httpx.TransportError):
                return "museed_" in (await http.get(f"http://{address}/metrics")).raise_for_status().text
            await asyncio.sleep(0.05)


async def until_heard(bus: Bus, readers: int) -> None:
    async with asyncio.timeout(60):
        while (await bus.jetstream.stream_info(PEOPLE_EVENTS)).state.consumer_count < readers:
            await asyncio.sleep(0.05)


class Follower:
    """A client that follows a feed as clients do: told to connect again, it does, from where it was."""

    def __init__(self, gateway: Running) -> None:
        self._gateway = gateway
        self._authorization = f"Bearer {gateway.behind.signer.token(sub=ANN)}"
        self.cursor: str | None = None
        self.seen: list[str] = []
        self.closes: list[int | None] = []

    async def run(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                async with initialised(self._gateway.url, self._authorization) as client:
                    await client.subscribe("1", FEED, {"after": self.cursor})
                    try:
                        while True:
                            await self._take(client)
                    except ConnectionClosed:
                        self.closes.append(client.connection.close_code)
            await asyncio.sleep(0.02)

    async def _take(self, client: SocketClient) -> None:
        found: dict[str, Any] = await event(client)
        self.cursor = found["cursor"]
        if found["activity"] is not None:
            self.seen.append(found["activity"]["at"])


@contextlib.asynccontextmanager
async def followers(gateway: Running, count: int) -> AsyncIterator[list[Follower]]:
    made = [Follower(gateway) for _ in range(count)]
    tasks = [asyncio.create_task(one.run()) for one in made]
    async with asyncio.timeout(60):
        while not all(one.cursor for one in made):
            await asyncio.sleep(0.02)
    try:
        yield made
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_workers_share_a_port_are_replaced_and_no_follower_misses_anything(
    bus: Bus, nats_server: NatsServer, tmp_path: Path
) -> None:
    # A worker's door of metrics is at its place's port: on an address of their own nobody else has the second.
    metrics = f"127.0.0.3:{free_port()}"
    async with running(nats_server, tmp_path, GATEWAY_WORKERS="2", GATEWAY_METRICS_LISTEN=metrics) as gateway:
        let_see(gateway.behind.social)
        await until_workers(gateway, set())
        await until_heard(bus, 2)
        assert await ask(gateway, 20) == 20
        async with followers(gateway, 8) as everybody:
            told: list[str] = []

            async def do_more(count: int) -> None:
                for _ in range(count):
                    told.append((await do(bus, len(told))).at.ToJsonString().replace("Z", "+00:00"))

            async def until_seen() -> None:
                async with asyncio.timeout(60):
                    while any(len(one.seen) < len(told) for one in everybody):
                        await asyncio.sleep(0.02)
                assert [one.seen for one in everybody] == [told] * 8

            await do_more(10)
            await until_seen()
            # One dies: its followers go on at the other.
            victim = min(workers(gateway))
            os.kill(victim, signal.SIGKILL)
            await do_more(10)
            await until_workers(gateway, {victim})
            await until_seen()
            # All are replaced while requests and events come; nobody is refused.
            second = workers(gateway)
            await until_heard(bus, 2)
            gateway.process.send_signal(signal.SIGHUP)
            answered = asked = 0
            async with asyncio.timeout(120):
                while workers(gateway) & second:
                    await do_more(2)
                    asked += 4
                    answered += await ask(gateway, 4)
            assert answered == asked
            await until_seen()
            assert {code for one in everybody for code in one.closes} <= {1006, 1012}
            assert 1012 in {code for one in everybody for code in one.closes}
        assert await told_by(metrics)
        gateway.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(gateway.process.wait(), 60) == 0
    records = [json.loads(line) for line in gateway.lines]
    assert [record["event"] for record in records if record["level"] in ("ERROR", "CRITICAL")] == ["worker_died"]


async def test_workers_end_with_their_keeper(bus: Bus, nats_server: NatsServer, tmp_path: Path) -> None:
    async with running(nats_server, tmp_path, GATEWAY_WORKERS="2") as gateway:
        await until_workers(gateway, set())
        children = [psutil.Process(pid) for pid in workers(gateway)]
        gateway.process.kill()
        async with asyncio.timeout(60):
            while any(is_alive(child) for child in children):
                await asyncio.sleep(0.05)


async def test_workers_that_do_not_start_end_the_process(nats_server: NatsServer, tmp_path: Path) -> None:
    nats = nats_server.settings("gateway")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, error = await run_to_end(
            GATEWAY_WORKERS="2",
            GATEWAY_LISTEN="127.0.0.1:0",
            GATEWAY_METRICS_LISTEN=f"127.0.0.1:{taken.getsockname()[1]}",
            GATEWAY_URL_SIGNING_KEY="k" * 32,
            GATEWAY_BLOB_STORE_URL=f"file://{tmp_path}",
            NATS_URL=nats.url,
            NATS_USER=nats.user,
            NATS_PASSWORD=nats.password,
        )
    assert code == 1
    assert "GATEWAY_METRICS_LISTEN" in error
    assert "workers do not start" in error
