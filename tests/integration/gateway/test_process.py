"""The gateway as a process: bad settings, a taken port, serving, draining."""

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed

from services.chassis.bus import Bus
from services.chassis.errors import ResourceExhausted
from services.gateway.__main__ import listen
from services.gateway.settings import GatewaySettings
from tests.conftest import NatsServer, free_port
from tests.fakes.tokens import TokenSigner
from tests.fakes.upstreams import Upstreams, upstreams
from tests.integration.gateway.socket_client import initialised


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "NATS_"))}
    return kept | more


async def run_to_end(**settings: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway", env=environment(**settings), stderr=PIPE
    )
    _, error = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, error.decode()


async def test_bad_settings_are_all_named_and_end_the_process() -> None:
    code, error = await run_to_end(GATEWAY_LISTEN="nowhere", GATEWAY_REQUEST_TIMEOUT_S="-1")
    assert code == 1
    for name in ("GATEWAY_LISTEN", "GATEWAY_REQUEST_TIMEOUT_S", "GATEWAY_URL_SIGNING_KEY"):
        assert name in error
    assert "Traceback" not in error


async def test_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, error = await run_to_end(
            GATEWAY_LISTEN=address,
            GATEWAY_URL_SIGNING_KEY="k" * 32,
            GATEWAY_BLOB_STORE_URL=f"file://{tmp_path}",
        )
    assert code == 1
    assert f"cannot listen on {address}" in error
    assert "taken" in error
    assert "Traceback" not in error


class Running:
    """A gateway process and what it logged."""

    def __init__(self, process: Process, url: str, behind: Upstreams) -> None:
        self.process = process
        self.url = url
        self.behind = behind
        self.lines: list[str] = []

    async def follow(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode())


@asynccontextmanager
async def running(nats_server: NatsServer, folder: Path, status: int = 200, **settings: str) -> AsyncIterator[Running]:
    """Run the process over fake upstreams and a real NATS until it is ready, or says another status."""
    nats = nats_server.settings("gateway")
    port = free_port()
    async with upstreams(TokenSigner()) as behind:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.gateway",
            env=environment(
                GATEWAY_LISTEN=f"127.0.0.1:{port}",
                GATEWAY_SOCIAL_ADDRESS=behind.social_address,
                GATEWAY_RETRIEVER_ADDRESS=behind.retriever_address,
                GATEWAY_URL_SIGNING_KEY="k" * 32,
                GATEWAY_BLOB_STORE_URL=f"file://{folder / 'blobs'}",
                NATS_URL=nats.url,
                NATS_USER=nats.user,
                **{"NATS_PASSWORD": nats.password, **settings},
            ),
            stderr=PIPE,
        )
        gateway = Running(process, f"http://127.0.0.1:{port}", behind)
        following = asyncio.create_task(gateway.follow())
        try:
            await until_status(gateway.url, status)
            yield gateway
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await following


async def until_status(url: str, status: int) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient() as http:
        while True:
            try:
                if (await http.get(f"{url}/readyz")).status_code == status:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


async def test_process_works_on_fewer_requests_where_a_service_behind_has_no_place(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    metrics = f"127.0.0.1:{free_port()}"
    # Of a loop that is late on a busy machine nothing is to be seen.
    settings = {"GATEWAY_METRICS_LISTEN": metrics, "GATEWAY_TARGET_DELAY_MS": "1000"}
    async with (
        running(nats_server, tmp_path, 200, **settings) as gateway,
        httpx.AsyncClient() as http,
        asyncio.timeout(60),
    ):
        gateway.behind.social.faults["GetStats"] = ResourceExhausted("512 calls", reason="SERVER_BUSY")
        found = ""
        while "museed_gateway_requests_at_work_limit 4.0" not in found:
            await http.post(f"{gateway.url}/graphql", json={"query": "{ stats { trackCount } }"})
            found = (await http.get(f"http://{metrics}/metrics")).text


async def test_process_drains_when_it_is_told_to_end(bus: Bus, nats_server: NatsServer, tmp_path: Path) -> None:
    async with running(nats_server, tmp_path, GATEWAY_DRAIN_DELAY_S="1.0") as gateway:
        authorization = f"Bearer {gateway.behind.signer.token()}"
        async with httpx.AsyncClient(base_url=gateway.url) as http, initialised(gateway.url, authorization) as client:
            gateway.behind.social.delays_s["GetStats"] = 2.0
            slow = asyncio.create_task(http.post("/graphql", json={"query": "{ stats { trackCount } }"}))
            async with asyncio.timeout(60):
                while not gateway.behind.social.calls["GetStats"]:
                    await asyncio.sleep(0.01)
            gateway.process.send_signal(signal.SIGTERM)
            await until_status(gateway.url, 503)
            # Load balancers are told first; until they have heard, requests are still served.
            assert (await http.get("/healthz")).status_code == 200
            with pytest.raises(ConnectionClosed):
                await client.receive()
            assert client.connection.close_code == 1012
            assert (await slow).json()["data"] == {"stats": {"trackCount": 0}}
        assert await asyncio.wait_for(gateway.process.wait(), 60) == 0
    records = [json.loads(line) for line in gateway.lines]
    assert [record["event"] for record in records if record["level"] in ("ERROR", "CRITICAL")] == []
    assert {"listening", "stopping", "stopped", "http_request"} <= {record["event"] for record in records}


async def test_readiness_follows_the_bus(bus: Bus, nats_server: NatsServer, tmp_path: Path) -> None:
    async with running(nats_server, tmp_path) as gateway, httpx.AsyncClient(base_url=gateway.url) as http:
        nats_server.kill()
        await until_status(gateway.url, 503)
        answer = await http.post("/graphql", json={"query": "{ stats { trackCount } }"})
        assert answer.json()["data"] == {"stats": {"trackCount": 0}}
        nats_server.start()
        await until_status(gateway.url, 200)
        gateway.process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(gateway.process.wait(), 60) == 0


async def test_small_answers_do_not_wait_for_acknowledgements() -> None:
    """Nagle's algorithm costs each of them 40 ms where asyncio is not told that the socket is TCP."""
    with listen(GatewaySettings(listen="127.0.0.1:0", url_signing_key=SecretStr("k" * 32))) as listener:
        assert listener.proto == socket.IPPROTO_TCP


async def test_process_that_nats_refuses_serves_and_ends_when_it_is_told_to(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with running(nats_server, tmp_path, 503, NATS_PASSWORD="another one") as gateway:
        for _ in range(3):  # whenever it comes while it is refused again and again
            await asyncio.sleep(0.2)
            assert await until_answered(gateway) == {"stats": {"trackCount": 0}}
        gateway.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(gateway.process.wait(), 60) == 0


async def until_answered(gateway: Running) -> object:
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
        return (await http.post("/graphql", json={"query": "{ stats { trackCount } }"})).json()["data"]
