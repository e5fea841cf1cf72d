"""A worker that has more to do than it can refuses the rest at once, for next to nothing, and gets over it."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from services.chassis.errors import ResourceExhausted, Unavailable
from services.gateway.__main__ import HttpServer, listen
from services.gateway.admission import LEAST_AT_WORK, LEAST_WAITING
from services.gateway.connections import MAX_PIPELINED, server_config
from services.gateway.guard import Guard
from services.gateway.settings import GatewaySettings
from tests.integration.gateway.conftest import Gateway, serving_gateway
from tests.integration.gateway.raw_client import PATIENCE_S, UPGRADE, RawClient, connected
from tests.integration.gateway.socket_client import initialised

STATS = "{ stats { trackCount } }"
BODY = b'{"query": "{ stats { trackCount } }"}'
POST = b"POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
ALIVE = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
EXTENSIONS = {"code": "UNAVAILABLE", "reason": "GATEWAY_BUSY", "retryAfterMs": 1000}
MESSAGE = "there is more to do now than can be done"
# Longer than anybody waits here.
PATIENT: dict[str, Any] = {"request_timeout_s": 600.0, "upstream_timeout_s": 300.0}


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.005)


async def asking(gateway: Gateway, stack: AsyncExitStack, count: int) -> list[RawClient]:
    """Let so many ask, over a connection each."""
    clients = [await stack.enter_async_context(connected(gateway.url)) for _ in range(count)]
    for client in clients:
        await client.send(POST + BODY)
    return clients


@asynccontextmanager
async def full_gateway(folder: Path) -> AsyncIterator[tuple[Gateway, list[RawClient]]]:
    """Serve a gateway whose upstream hangs, with two requests at work and as many waiting as may; gives who asked."""
    async with (
        serving_gateway(folder, max_requests_at_once=2, queue_ms=60_000, **PATIENT) as gateway,
        AsyncExitStack() as stack,
    ):
        gateway.social.gates["GetStats"] = asyncio.Event()
        asked = await asking(gateway, stack, 2 + LEAST_WAITING)
        await until(lambda: gateway.guard.admission.is_full and gateway.social.calls["GetStats"] == 2)
        yield gateway, asked
        gateway.social.gates["GetStats"].set()


async def test_who_comes_when_all_is_taken_hears_so_at_once_and_may_ask_again_over_the_same_connection(
    tmp_path: Path,
) -> None:
    async with full_gateway(tmp_path) as (gateway, _), connected(gateway.url) as client:
        await client.send(POST + BODY)
        status, headers, body = await client.answer()
        assert (status, headers["retry-after"], headers["content-type"]) == (503, "1", "application/json")
        assert json.loads(body) == {"errors": [{"message": MESSAGE, "extensions": EXTENSIONS}]}
        await client.send(b"GET /codes.json?a=/graphql HTTP/1.1\r\nHost: a\r\n\r\n")
        status, _, body = await client.answer()
        assert (status, json.loads(body)) == (503, {"error": {**EXTENSIONS, "message": MESSAGE}})
        await client.send(b"HEAD /codes.json HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        # A body that comes later, and in pieces, is nobody's.
        await client.send(b"POST /uploads HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert await client.refusal() == (503, "GATEWAY_BUSY")
        await client.send(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        await client.send(b"0\r\n\r\n" + ALIVE)
        assert (await client.answer())[0] == 200
        assert gateway.guard.admission.refused == {"full": 4}
        assert gateway.behind.spent() == {"GetStats": 2}


async def test_probes_answer_open_sockets_go_on_and_new_ones_are_refused(tmp_path: Path) -> None:
    async with full_gateway(tmp_path) as (gateway, _):
        assert (await gateway.http.get("/healthz")).json() == {"status": "alive"}
        assert (await gateway.http.get("/readyz")).json()["parts"]["social"] == "serving"
        preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
        assert (await gateway.http.options("/graphql", headers=preflight)).text == "Disallowed CORS origin"
        async with connected(gateway.url) as client:
            await client.send(b"GET /graphql HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"\r\n")
            status, headers, body = await client.answer()
            assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
            assert json.loads(body) == {"errors": [{"message": MESSAGE, "extensions": EXTENSIONS}]}
            assert await client.end() == b""
        assert gateway.guard.admission.refused == {"full": 1}


async def test_those_who_waited_are_served_in_the_end_and_so_is_who_comes_then(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        gateway, asked = await stack.enter_async_context(full_gateway(tmp_path))
        (refused,) = await asking(gateway, stack, 1)
        assert (await refused.answer())[0] == 503
        gateway.social.gates["GetStats"].set()
        for client in asked:
            status, _, body = await client.answer()
            assert (status, json.loads(body)["data"]) == (200, {"stats": {"trackCount": 0}})
        await refused.send(POST + BODY)
        assert (await refused.answer())[0] == 200
        assert gateway.social.calls["GetStats"] == len(asked) + 1
        assert (gateway.guard.admission.at_work, gateway.guard.admission.waiting) == (0, 0)


async def test_sockets_that_are_open_are_served_while_requests_are_refused(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, max_requests_at_once=2, **PATIENT) as gateway, AsyncExitStack() as stack:
        open_socket = await stack.enter_async_context(initialised(gateway.url, None))
        gateway.social.gates["GetStats"] = asyncio.Event()
        await asking(gateway, stack, 2)
        await until(lambda: gateway.social.calls["GetStats"] == 2)
        (refused,) = await asking(gateway, stack, 1)
        assert (await refused.answer())[0] == 503  # it waited for longer than it may
        await open_socket.subscribe("1", "{ __typename }", {})
        assert (await open_socket.receive())["payload"]["data"] == {"__typename": "Query"}
        assert (await open_socket.receive())["type"] == "complete"
        assert len(gateway.parts.live.sockets) == 1
        assert gateway.guard.admission.refused == {"waited": 1}
        gateway.social.gates["GetStats"].set()


@asynccontextmanager
async def late_loop() -> AsyncIterator[None]:
    """Block the loop each time it turns."""

    async def block() -> None:
        while True:
            time.sleep(0.04)  # noqa: ASYNC251  # what it is for
            await asyncio.sleep(0)

    blocking = asyncio.create_task(block())
    try:
        yield
    finally:
        blocking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await blocking


async def test_a_loop_that_stays_late_is_given_less_to_do_and_gets_over_it(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, queue_ms=1, **PATIENT) as gateway, AsyncExitStack() as stack:
        admission = gateway.guard.admission
        gateway.social.gates["GetStats"] = asyncio.Event()
        begun = await asking(gateway, stack, 8)
        await until(lambda: gateway.social.calls["GetStats"] == 8)
        async with late_loop():
            await until(lambda: admission.limit == LEAST_AT_WORK)
            assert (admission.at_work, admission.refused) == (8, {})  # what was begun goes on
            (refused,) = await asking(gateway, stack, 1)
            status, headers, body = await refused.answer()
            assert (status, headers["retry-after"]) == (503, "1")
            assert json.loads(body) == {"errors": [{"message": MESSAGE, "extensions": EXTENSIONS}]}
            assert admission.refused == {"waited": 1}
            await refused.send(ALIVE)
            assert (await refused.answer())[0] == 200
        gateway.social.gates["GetStats"].set()
        assert [(await client.answer())[0] for client in begun] == [200] * 8
        await refused.send(POST + BODY)
        assert (await refused.answer())[0] == 200
        assert gateway.social.calls["GetStats"] == 9


def test_connections_are_taken_many_at_a_time() -> None:
    """By uvloop, which takes one of a listening socket each time it turns."""
    count = 128

    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    async def turns() -> int:
        settings = GatewaySettings(listen="127.0.0.1:0", url_signing_key=SecretStr("k" * 32), drain_timeout_s=1)
        server = HttpServer(server_config(Guard(nothing, settings), settings))
        listener = listen(settings)
        serving = asyncio.create_task(server.serve_from(listener))
        await until(lambda: server.started)
        clients = [socket.create_connection(listener.getsockname()) for _ in range(count)]
        found = 0
        while len(server.server_state.connections) < count:
            await asyncio.sleep(0)
            found += 1
        for client in clients:
            client.close()
        server.should_exit = True
        await serving
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(turns()) < count / 8


async def test_a_body_that_is_slow_to_come_takes_no_place(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, max_requests_at_once=1) as gateway, AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(connected(gateway.url)) for _ in range(3)]
        for client in slow:
            await client.send(ALIVE)
            await client.answer()
            await client.send(POST + BODY[:10])
        assert await gateway.data(STATS) == {"stats": {"trackCount": 0}}
        for client in slow:
            await client.send(BODY[10:])
            assert (await client.answer())[0] == 200
        assert gateway.guard.admission.at_work == 0


async def test_refusals_without_end_of_one_connection_end_it(tmp_path: Path) -> None:
    async with full_gateway(tmp_path) as (gateway, _), connected(gateway.url) as client:
        await client.send((POST + BODY) * 1000)
        assert (await client.end()).count(b"HTTP/1.1 503 ") <= MAX_PIPELINED


async def test_a_client_that_asks_before_it_sends_a_body_is_refused_with_the_end_of_its_connection(
    tmp_path: Path,
) -> None:
    async with full_gateway(tmp_path) as (gateway, _), connected(gateway.url) as client:
        await client.send(POST.replace(b"Host", b"Expect: 100-continue\r\nHost"))
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (503, "close")
        assert await client.end() == b""


async def test_nothing_is_done_for_who_goes_while_waiting(tmp_path: Path) -> None:
    async with full_gateway(tmp_path) as (gateway, asked):
        for client in asked[2:]:
            client.writer.transport.abort()
        for _ in range(2):  # what comes behind these ends has come when this is answered
            assert (await gateway.http.get("/healthz")).status_code == 200
        gateway.social.gates["GetStats"].set()
        assert [(await client.answer())[0] for client in asked[:2]] == [200] * 2
        await until(lambda: gateway.guard.admission.at_work == 0)
        assert gateway.social.calls["GetStats"] == 2


async def test_requests_behind_one_that_is_at_work_are_answered_in_turn(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, max_requests_at_once=1) as gateway, connected(gateway.url) as client:
        gateway.social.delays_s["GetStats"] = 0.2
        await client.send((POST + BODY) * 2 + ALIVE)
        answers = [await client.answer() for _ in range(3)]
        assert [status for status, _, _ in answers] == [200] * 3
        assert [b"trackCount" in body for _, _, body in answers] == [True, True, False]
        assert gateway.guard.admission.at_work == 0


REFUSALS = {
    "busy": (
        ResourceExhausted("512 calls", reason="SERVER_BUSY", value=512, limit=512, retry_after_ms=200),
        {"code": "RESOURCE_EXHAUSTED", "reason": "SERVER_BUSY", "value": "512", "limit": "512", "retryAfterMs": 200},
    ),
    "away": (
        Unavailable("away", reason="DATABASE_UNAVAILABLE", retry_after_ms=250),
        {"code": "UNAVAILABLE", "reason": "DATABASE_UNAVAILABLE", "retryAfterMs": 250},
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_an_upstream_that_has_too_much_to_do_costs_its_part_and_says_when_to_come_back(
    own_gateway: Gateway, name: str
) -> None:
    fault, extensions = REFUSALS[name]
    told: list[str] = []
    own_gateway.parts.upstream.on_busy = lambda: told.append("busy")
    own_gateway.social.faults["GetStats"] = fault
    (track,) = own_gateway.social.add_tracks(1)
    document = "query($id: ID!) { track(id: $id) { title } stats { trackCount } }"
    body = await own_gateway.run(document, {"id": track.track_id})
    assert body["data"] == {"track": {"title": "Track 000"}, "stats": None}
    (error,) = body["errors"]
    assert (error["path"], error["extensions"]) == (["stats"], extensions)
    assert told == ["busy"] * (name == "busy")


async def test_fewer_are_worked_on_at_once_while_a_service_behind_has_no_place_for_them(tmp_path: Path) -> None:
    # A loop that is late on a busy machine is to change nothing here.
    async with (
        serving_gateway(tmp_path, target_delay_ms=1000, queue_ms=10_000, **PATIENT) as gateway,
        AsyncExitStack() as stack,
    ):
        admission = gateway.guard.admission
        gateway.social.gates["ListGenres"] = asyncio.Event()
        document = b'{"query": "{ genres { name } }"}'
        waiting = [await stack.enter_async_context(connected(gateway.url)) for _ in range(12)]
        for client in waiting:
            await client.send(POST.replace(b"%d" % len(BODY), b"%d" % len(document)) + document)
        await until(lambda: gateway.social.calls["ListGenres"] == 12)
        assert admission.limit == 16
        gateway.social.faults["GetStats"] = REFUSALS["busy"][0]
        assert (await gateway.run(STATS))["data"] == {"stats": None}
        await until(lambda: admission.limit == 9)  # three quarters of 12
        gateway.social.faults.clear()
        calls = gateway.social.calls["GetStats"]
        (later,) = await asking(gateway, stack, 1)
        await until(lambda: admission.waiting == 1)
        assert gateway.social.calls["GetStats"] == calls
        gateway.social.gates["ListGenres"].set()
        assert (await later.answer())[0] == 200
        assert [(await client.answer())[0] for client in waiting] == [200] * 12
        assert await gateway.data(STATS) == {"stats": {"trackCount": 0}}


async def test_a_request_behind_one_that_is_at_work_is_not_refused_before_that_is_answered(tmp_path: Path) -> None:
    async with full_gateway(tmp_path) as (gateway, asked):
        await asked[0].send(POST + BODY)
        for _ in range(2):  # what came before has been read when this is answered
            assert (await gateway.http.get("/healthz")).status_code == 200
        gateway.social.gates["GetStats"].set()
        assert [(await asked[0].answer())[0] for _ in range(2)] == [200] * 2
