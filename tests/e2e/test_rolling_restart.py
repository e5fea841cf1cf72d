"""Every service is replaced while people go on at a constant rate: no request fails, no follower has a gap."""

import asyncio
import contextlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import soundfile
from websockets.exceptions import ConnectionClosed

from tests.conftest import free_port
from tests.e2e.conftest import MUSEED, RATE_HZ, RunningMesh, folder_of_a_mesh, render_library, tone
from tests.e2e.waiting import PATIENCE_S
from tests.integration.gateway.socket_client import initialised

SIGN_UP = """mutation($input: SignUpInput!) { signUp(input: $input) {
  ... on SignUpSuccess { viewer { user { userId } } tokens { accessToken } } } }"""
FOLLOW = "mutation($id: ID!) { followUser(input: {userId: $id}) { __typename } }"
CREATE = """mutation($input: CreatePlaylistInput!) { createPlaylist(input: $input) {
  ... on CreatePlaylistSuccess { playlist { playlistId title } } ... on UserError { code } } }"""
RENAME = """mutation($nickname: String!) { updateProfile(input: {nickname: $nickname}) {
  ... on UpdateProfileSuccess { viewer { user { nickname } } } ... on UserError { code } } }"""
GENERATE = """mutation($input: GeneratePlaylistInput!) { generatePlaylist(input: $input) {
  ... on GeneratePlaylistSuccess { job { jobId } } ... on UserError { code message } } }"""
SEARCH = "{ searchTracks(first: 3) { nodes { trackId streamUrl } } }"
SIMILAR = "query($id: ID!) { similarTracks(trackId: $id, first: 2) { edges { cursor } } }"
MINE = """query($after: String) { me { user { playlists(first: 100, after: $after) {
  nodes { playlistId } pageInfo { hasNextPage endCursor } } } } }"""
JOB = "query($id: ID!) { job(id: $id, waitMs: 2000) { state isFinished failureReason playlistId } }"
FEED = "subscription($after: String) { feed(after: $after) { cursor activity { playlist { playlistId } } } }"


# Of a busy machine, for the starts and drains of three processes one after the other.
RESTART_PATIENCE_S = 900.0
# A person may have 100 in a day.
MOST_UPLOADS = 90
MOST_PEOPLE = 40


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # each is a look at something else
            await asyncio.sleep(0.05)


def start(log: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", "services.gateway"], env=environment, stderr=file)


@contextlib.asynccontextmanager
async def gateway_of_two(mesh: RunningMesh, log: Path) -> AsyncIterator[tuple[str, int]]:
    """Run a gateway with two workers beside the mesh's own; yields its address and the id of who keeps them."""
    own = next(child for child in mesh.supervisor().children() if "services.gateway" in child.cmdline())
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    changed = {"LISTEN": f"127.0.0.1:{port}", "WORKERS": "2", "METRICS_LISTEN": "", "PUBLIC_URL": url}
    environment = {**os.environ, **own.environ(), **{f"GATEWAY_{name}": value for name, value in changed.items()}}
    process = await asyncio.to_thread(start, log, environment)
    try:
        async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient() as http:
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


class Load:
    """People who ask at a constant rate, whatever comes back, and nothing a second time unless they are told to.

    What is refused because the machine cannot do more now was not begun, and says when to come again: people do, as the
    shipped clients. So many at most wait for answers, and who waits asks nothing else.

    Args:
        http: Connections that are kept.
        token: Of who asks.
        per_s: Requests a second.
    """

    def __init__(self, http: httpx.AsyncClient, token: str, per_s: int) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"}
        self._per_s = per_s
        self._kinds: list[Callable[[], Awaitable[None]]] = [self._create, self._search, self._rename, self._similar]
        self._places = asyncio.Semaphore(MOST_PEOPLE)
        self.made: list[str] = []
        self.jobs: list[str] = []
        self.failed: list[str] = []
        self.done = 0
        self.refused = 0
        self.is_over = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number in itertools.count():
                if self.is_over:
                    return
                await self._places.acquire()
                is_song = number % (2 * self._per_s) == 0 and len(self.jobs) < MOST_UPLOADS
                asking = self._generate(number) if is_song else self._kinds[number % len(self._kinds)]()
                tasks.create_task(self._ask(asking))
                await asyncio.sleep(max(0.0, began + number / self._per_s - loop.time()))

    async def seconds(self, number: int) -> None:
        """Wait until requests of so many seconds more were answered."""
        wanted = self.done + number * self._per_s
        await until(lambda: self.done >= wanted)

    async def _ask(self, asking: Awaitable[None]) -> None:
        try:
            await asking
        except Exception as error:  # each is a request that failed
            self.failed.append(repr(error))
        finally:
            self._places.release()
        self.done += 1

    async def _search(self) -> None:
        found = (await self.graphql(SEARCH))["searchTracks"]["nodes"][0]
        part = await self._sent("GET", found["streamUrl"], headers={"Range": "bytes=0-999"})
        assert (part.status_code, len(part.content)) == (206, 1000)

    async def _similar(self) -> None:
        track_id = (await self.graphql(SEARCH))["searchTracks"]["nodes"][0]["trackId"]
        found = (await self.graphql(SIMILAR, {"id": track_id}))["similarTracks"]["edges"]
        assert len(found) == 2

    async def _create(self) -> None:
        title = f"List {uuid.uuid4()}"
        made = (await self.graphql(CREATE, {"input": {"title": title, "visibility": "PUBLIC"}}))["createPlaylist"]
        assert made["playlist"]["title"] == title
        self.made.append(made["playlist"]["playlistId"])

    async def _rename(self) -> None:
        nickname = f"Mina {uuid.uuid4()}"[:30]
        renamed = (await self.graphql(RENAME, {"nickname": nickname}))["updateProfile"]
        assert renamed["viewer"]["user"]["nickname"] == nickname

    async def _generate(self, number: int) -> None:
        body = io.BytesIO()
        soundfile.write(body, tone(4, 220, 3, 2, seed=number), RATE_HZ, format="FLAC")
        uploaded = await self._sent("POST", "/uploads", content=body.getvalue(), headers=self._headers)
        assert uploaded.status_code == 201, uploaded.text
        wanted = {"seeds": [{"uploadId": uploaded.json()["uploadId"]}], "length": 3, "visibility": "PRIVATE"}
        asked = (await self.graphql(GENERATE, {"input": wanted}))["generatePlaylist"]
        self.jobs.append(asked["job"]["jobId"])

    async def graphql(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        body = {"query": query, "variables": variables or {}}
        answer = await self._sent("POST", "/graphql", json=body, headers=self._headers)
        found: dict[str, Any] = answer.json()
        assert (answer.status_code, "errors" in found) == (200, False), answer.text
        data: dict[str, Any] = found["data"]
        return data

    async def _sent(self, method: str, url: str, **what: Any) -> httpx.Response:
        while True:
            answer = await self._http.request(method, url, **what)
            if answer.status_code != 503:
                return answer
            told = answer.json()
            refusal = told["errors"][0]["extensions"] if "errors" in told else told["error"]
            assert refusal["reason"] == "GATEWAY_BUSY", answer.text
            self.refused += 1
            await asyncio.sleep(refusal["retryAfterMs"] / 1000)

    async def ended_jobs(self) -> list[dict[str, Any]]:
        """Wait for the ends of all jobs; returns the jobs."""
        ends = []
        for job_id in self.jobs:
            async with asyncio.timeout(PATIENCE_S):
                while not (job := (await self.graphql(JOB, {"id": job_id}))["job"])["isFinished"]:
                    pass
            ends.append(job)
        return ends

    async def playlists(self) -> list[str]:
        """Return the public playlists of who asks."""
        found: list[str] = []
        after = None
        while True:
            page = (await self.graphql(MINE, {"after": after}))["me"]["user"]["playlists"]
            found += [one["playlistId"] for one in page["nodes"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                return found


class Follower:
    """A feed that is followed as clients do: closed, it is opened again behind the last cursor."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._authorization = url, f"Bearer {token}"
        self.cursor: str | None = None
        self.seen: list[str] = []
        self.closes: list[int | None] = []

    async def run(self) -> None:
        while True:
            async with initialised(self._url, self._authorization) as client:
                await client.subscribe("1", FEED, {"after": self.cursor})
                try:
                    while True:
                        self._take(await client.receive())
                except ConnectionClosed:
                    self.closes.append(client.connection.close_code)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "ping":
            return
        assert message["type"] == "next", message
        event = message["payload"]["data"]["feed"]
        self.cursor = event["cursor"]
        if event["activity"] is not None:
            self.seen.append(event["activity"]["playlist"]["playlistId"])


async def signed_up(http: httpx.AsyncClient, name: str) -> tuple[str, str]:
    account = {"username": name, "email": f"{name}@example.org", "password": f"password of {name}"}
    answer = await http.post("/graphql", json={"query": SIGN_UP, "variables": {"input": account}})
    found = answer.json()["data"]["signUp"]
    return found["viewer"]["user"]["userId"], found["tokens"]["accessToken"]


async def replace_workers(keeper: int) -> None:
    def workers() -> set[int]:
        return {child.pid for child in psutil.Process(keeper).children() if child.status() != psutil.STATUS_ZOMBIE}

    first = workers()
    os.kill(keeper, signal.SIGHUP)
    await until(lambda: len(workers() & first) < 2)
    await until(lambda: not workers() & first and len(workers()) == 2)


async def restart(mesh: RunningMesh, part: str) -> None:
    command = [str(MUSEED), "restart", part, "--state", str(mesh.folder)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=RESTART_PATIENCE_S)
    assert (done.returncode, done.stdout) == (0, f"Started again: {part}.\n"), done.stdout + done.stderr


async def nothing_is_lost(
    url: str, replace: Callable[[str], Awaitable[None]], parts: Sequence[str], per_s: int
) -> None:
    limits = httpx.Limits(max_keepalive_connections=8)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        unique = uuid.uuid4().hex[:8]
        mina_id, mina = await signed_up(http, f"mina-{unique}")
        _, fan = await signed_up(http, f"fan-{unique}")
        await Load(http, fan, per_s).graphql(FOLLOW, {"id": mina_id})
        followers = [Follower(url, fan) for _ in range(4)]
        following = [asyncio.create_task(one.run()) for one in followers]
        await until(lambda: all(one.cursor for one in followers))
        load = Load(http, mina, per_s)
        loading = asyncio.create_task(load.run())
        await load.seconds(1)
        replaced = 0
        for part in parts:
            failed_before = len(load.failed)
            await replace(part)
            replaced += part == "gateway"
            await load.seconds(1)
            assert (part, load.failed[failed_before:]) == (part, [])
        load.is_over = True
        await loading
        assert load.failed == []
        await until(lambda: all(len(one.seen) >= len(load.made) for one in followers))
        for one in followers:
            assert sorted(one.seen) == sorted(load.made)
            assert set(one.closes) == {1012}
            assert replaced <= len(one.closes) <= 2 * replaced
        jobs = await load.ended_jobs()
        assert {(job["state"], job["failureReason"]) for job in jobs} == {("SUCCEEDED", None)}
        assert len({job["playlistId"] for job in jobs}) == len(load.jobs)
        assert sorted(await load.playlists()) == sorted(load.made)
        for task in following:
            task.cancel()
        ends = await asyncio.gather(*following, return_exceptions=True)
        assert [repr(end) for end in ends if not isinstance(end, asyncio.CancelledError)] == []


@pytest.fixture
def two_of_each(memory_folder: Path, tmp_path: Path) -> Iterator[RunningMesh]:
    """A mesh of two processes of each service."""
    running = RunningMesh(folder_of_a_mesh(memory_folder), "--replicas", "2", MUSEED_METRICS_PORT="0")
    running.start()
    assert running.ingest(render_library(tmp_path / "music", artists=2, tracks=2, seed=7)).indexed == 4
    yield running
    assert running.stop() == 0


def served(mesh: RunningMesh) -> dict[str, int]:
    """Return how many calls each process of social and of the retriever has answered, by its name."""
    urls: dict[str, str] = json.loads((mesh.folder / "mesh.json").read_text())["metrics"]
    found = {}
    for name in ("social", "social.2", "retriever", "retriever.2"):
        lines = httpx.get(urls[name]).text.splitlines()
        counted = [line for line in lines if line.startswith("museed_rpc_handled_total") and 'code="OK"' in line]
        found[name] = sum(int(float(line.rpartition(" ")[2])) for line in counted)
    return found


async def nothing_is_lost_beside(mesh: RunningMesh, log: Path, parts: Sequence[str], per_s: int) -> None:
    """The same over a gateway of two processes beside the mesh's own one."""
    async with gateway_of_two(mesh, log) as (url, keeper):

        async def replace(part: str) -> None:
            await (replace_workers(keeper) if part == "gateway" else restart(mesh, part))

        await nothing_is_lost(url, replace, parts, per_s)


async def test_no_request_fails_while_every_service_is_replaced(mesh: RunningMesh, tmp_path: Path) -> None:
    await nothing_is_lost_beside(mesh, tmp_path / "gateway.log", ["gateway", "social", "retriever", "embedder"], 10)


@pytest.mark.long
async def test_no_request_fails_while_all_of_two_processes_of_each_service_are_replaced(
    two_of_each: RunningMesh,
) -> None:
    async def replace(part: str) -> None:
        await restart(two_of_each, part)

    before = two_of_each.processes()
    names = {name for one in ("social", "embedder", "retriever") for name in (one, f"{one}.2")}
    assert set(before) == {"postgres", "nats", "gateway", *names}
    await nothing_is_lost(two_of_each.url, replace, ["gateway", "social", "retriever", "embedder"], 10)
    after = two_of_each.processes()
    assert set(after) == set(before)
    assert {name for name in names if before[name] != after[name]} == names
    assert [name for name, calls in served(two_of_each).items() if calls == 0] == []


@pytest.mark.long
async def test_no_request_fails_while_every_service_is_replaced_again_and_again(
    mesh: RunningMesh, tmp_path: Path
) -> None:
    parts = ["gateway", "social", "retriever", "embedder"]
    await nothing_is_lost_beside(mesh, tmp_path / "gateway.log", [*parts, *reversed(parts), *parts], 20)
