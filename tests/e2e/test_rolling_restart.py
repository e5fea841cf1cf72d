"""The gateway's workers are replaced while people go on at a constant rate: no request fails, no follower has a gap."""

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil
from websockets.exceptions import ConnectionClosed

from tests.conftest import free_port
from tests.e2e.conftest import RunningMesh
from tests.e2e.waiting import PATIENCE_S
from tests.integration.gateway.socket_client import initialised

PER_S = 15
SIGN_UP = """mutation($input: SignUpInput!) { signUp(input: $input) {
  ... on SignUpSuccess { viewer { user { userId } } tokens { accessToken } } } }"""
FOLLOW = """mutation($id: ID!) { followUser(input: {userId: $id}) { __typename } }"""
CREATE = """mutation($input: CreatePlaylistInput!) { createPlaylist(input: $input) {
  ... on CreatePlaylistSuccess { playlist { playlistId } } ... on UserError { code } } }"""
SEARCH = "{ searchTracks(first: 3) { nodes { title streamUrl } } me { email } }"
FEED = "subscription($after: String) { feed(after: $after) { cursor activity { playlist { playlistId } } } }"


def start(log: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", "services.gateway"], env=environment, stderr=file)


@contextlib.asynccontextmanager
async def gateway_of_two(mesh: RunningMesh, log: Path) -> AsyncIterator[tuple[str, int]]:
    """Run a gateway with two workers beside the mesh's own; yields its address and the id of who keeps them."""
    own = next(
        child
        for child in mesh.supervisor().children(recursive=True)
        if "services.gateway" in child.cmdline() and child.environ().get("GATEWAY_LISTEN")
    )
    port = free_port()
    changed = {"GATEWAY_LISTEN": f"127.0.0.1:{port}", "GATEWAY_WORKERS": "2", "GATEWAY_METRICS_LISTEN": ""}
    environment = {**os.environ, **own.environ(), **changed}
    process = await asyncio.to_thread(start, log, environment)
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(3 * PATIENCE_S), httpx.AsyncClient() as http:  # three processes start
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get(f"{url}/readyz")).status_code == 200:
                        break
                assert process.poll() is None, await asyncio.to_thread(log.read_text)
                await asyncio.sleep(0.1)
        yield url, process.pid
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0, await asyncio.to_thread(log.read_text)
    finally:
        process.kill()
        process.wait()


def workers(keeper: int) -> set[int]:
    return {child.pid for child in psutil.Process(keeper).children() if child.status() != psutil.STATUS_ZOMBIE}


class Load:
    """Somebody who asks at a constant rate, whatever comes back, over connections that are kept."""

    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"}
        self.made: list[str] = []
        self.failed: list[str] = []
        self.done = 0
        self.is_over = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number in itertools.count():
                if self.is_over:
                    return
                tasks.create_task(self._ask(number))
                await asyncio.sleep(max(0.0, began + number / PER_S - loop.time()))

    async def _ask(self, number: int) -> None:
        try:
            await (self._create() if number % 5 == 0 else self._search())
        except Exception as error:  # each is a request that failed
            self.failed.append(repr(error))
        self.done += 1

    async def _search(self) -> None:
        found = await self.graphql(SEARCH)
        address = found["searchTracks"]["nodes"][0]["streamUrl"]
        part = await self._http.get(address, headers={"Range": "bytes=0-999"})
        assert (part.status_code, len(part.content)) == (206, 1000)

    async def _create(self) -> None:
        title = f"List {uuid.uuid4()}"
        made = await self.graphql(CREATE, {"input": {"title": title, "visibility": "PUBLIC"}})
        self.made.append(made["createPlaylist"]["playlist"]["playlistId"])

    async def graphql(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        body = {"query": query, "variables": variables or {}}
        answer = await self._http.post("/graphql", json=body, headers=self._headers)
        found: dict[str, Any] = answer.json()
        assert (answer.status_code, "errors" in found) == (200, False), answer.text
        data: dict[str, Any] = found["data"]
        return data


class Follower:
    """A feed that is followed as clients do: closed, it is opened again behind the last cursor."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._authorization = url, f"Bearer {token}"
        self.cursor: str | None = None
        self.seen: list[str] = []
        self.closes: list[int | None] = []

    async def run(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                async with initialised(self._url, self._authorization) as client:
                    await client.subscribe("1", FEED, {"after": self.cursor})
                    try:
                        while True:
                            await self._take(await client.receive())
                    except ConnectionClosed:
                        self.closes.append(client.connection.close_code)
            await asyncio.sleep(0.02)

    async def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "ping":
            return
        event = message["payload"]["data"]["feed"]
        self.cursor = event["cursor"]
        if event["activity"] is not None:
            self.seen.append(event["activity"]["playlist"]["playlistId"])


async def signed_up(http: httpx.AsyncClient, name: str) -> tuple[str, str]:
    account = {"username": name, "email": f"{name}@example.org", "password": f"password of {name}"}
    answer = await http.post("/graphql", json={"query": SIGN_UP, "variables": {"input": account}})
    found = answer.json()["data"]["signUp"]
    return found["viewer"]["user"]["userId"], found["tokens"]["accessToken"]


async def test_no_request_fails_and_no_follower_has_a_gap_while_workers_are_replaced(
    mesh: RunningMesh, tmp_path: Path
) -> None:
    async with gateway_of_two(mesh, tmp_path / "gateway.log") as (url, keeper):
        limits = httpx.Limits(max_keepalive_connections=8)
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
            mina_id, mina = await signed_up(http, "mina-of-two")
            _, fan = await signed_up(http, "fan-of-two")
            await Load(http, fan).graphql(FOLLOW, {"id": mina_id})
            followers = [Follower(url, fan) for _ in range(4)]
            following = [asyncio.create_task(one.run()) for one in followers]
            async with asyncio.timeout(PATIENCE_S):
                while not all(one.cursor for one in followers):
                    await asyncio.sleep(0.05)
            load = Load(http, mina)
            loading = asyncio.create_task(load.run())
            async with asyncio.timeout(PATIENCE_S):
                while load.done < PER_S:
                    await asyncio.sleep(0.05)
            first = workers(keeper)
            os.kill(keeper, signal.SIGHUP)
            async with asyncio.timeout(PATIENCE_S):
                while workers(keeper) & first or len(workers(keeper)) != 2:
                    await asyncio.sleep(0.05)
            after = load.done
            async with asyncio.timeout(PATIENCE_S):
                while load.done < after + PER_S:
                    await asyncio.sleep(0.05)
            load.is_over = True
            await loading
            assert load.failed == []
            async with asyncio.timeout(PATIENCE_S):
                while any(len(one.seen) < len(load.made) for one in followers):
                    await asyncio.sleep(0.05)
            for one in followers:
                assert sorted(one.seen) == sorted(load.made)
            assert {code for one in followers for code in one.closes} == {1012}
            for task in following:
                task.cancel()
            await asyncio.wait(following)
