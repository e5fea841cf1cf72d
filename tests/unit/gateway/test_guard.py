"""The guard around an application that does nothing by itself: who is let in, and what refusals say."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.types import Message, Receive, Scope, Send

from services.gateway.admission import FIRST_AT_WORK
from services.gateway.guard import Guard
from services.gateway.settings import GatewaySettings

Wait = Callable[[], Awaitable[None]]


class App:
    """Waits before it answers, and before its answer ends."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.to_answer = asyncio.Event()
        self.to_end = asyncio.Event()
        self.reads_body = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.append(scope["path"])
        if self.reads_body:
            await receive()
        await self.to_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await self.to_end.wait()
        await send({"type": "http.response.body", "body": b""})


def settings(**changes: Any) -> GatewaySettings:
    return GatewaySettings(url_signing_key=SecretStr("k" * 32), max_requests_at_once=1, queue_ms=10_000).model_copy(
        update=changes
    )


class Client:
    """Sends requests to a guard, and takes what it answers."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.tasks: list[asyncio.Task[list[Message]]] = []

    async def send(
        self, path: str = "/graphql", method: str = "POST", kind: str = "http", **headers: str
    ) -> asyncio.Task[list[Message]]:
        """Send one, and let the loop turn."""

        async def answered() -> list[Message]:
            sent: list[Message] = []

            async def take(message: Message) -> None:
                sent.append(message)

            raw = [(name.encode(), value.encode()) for name, value in headers.items()]
            await self.guard({"type": kind, "path": path, "method": method, "headers": raw}, self.receive, take)
            return sent

        task = asyncio.create_task(answered())
        self.tasks.append(task)
        for _ in range(3):
            await asyncio.sleep(0)
        return task

    async def receive(self) -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def fill(self) -> None:
        """Send as many as may wait, but for the first, which is at work."""
        while not self.guard.admission.is_full:
            await self.send("/waits")


@pytest.fixture
def app() -> App:
    return App()


async def refused(client: Client, path: str = "/graphql", **headers: str) -> tuple[int, dict[str, str], Any]:
    start, body = await (await client.send(path, **headers))
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], found, json.loads(body["body"])


async def test_a_refusal_says_what_other_refusals_do_and_when_to_come_back(app: App) -> None:
    client = Client(Guard(app, settings()))
    await client.fill()
    message, code = "there is more to do now than can be done", {"code": "UNAVAILABLE", "reason": "GATEWAY_BUSY"}
    status, headers, body = await refused(client)
    assert (status, body) == (503, {"errors": [{"message": message, "extensions": {**code, "retryAfterMs": 1000}}]})
    assert headers == {
        "content-type": "application/json",
        "content-length": str(len(json.dumps(body))),
        "retry-after": "1",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "cross-origin-opener-policy": "same-origin",
    }
    status, headers, body = await refused(client, "/p/abc")
    assert (status, body) == (503, {"error": {**code, "retryAfterMs": 1000, "message": message}})
    # Those who are refused together do not come back together.
    found = [await refused(client) for _ in range(5)]
    assert [body["errors"][0]["extensions"]["retryAfterMs"] for _, _, body in found] == [1250, 1500, 1750, 2000, 1000]
    assert [headers["retry-after"] for _, headers, _ in found] == ["2", "2", "2", "2", "1"]
    assert app.begun == ["/waits"]


ORIGINS: dict[tuple[str, ...], dict[str, dict[str, str]]] = {
    ("https://a.example",): {
        "https://a.example": {
            "vary": "Origin",
            "access-control-allow-origin": "https://a.example",
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": "Retry-After",
        },
        "https://b.example": {"vary": "Origin"},
        "": {"vary": "Origin"},
    },
    ("*",): {
        "https://b.example": {
            "vary": "Origin",
            "access-control-allow-origin": "*",
            "access-control-expose-headers": "Retry-After",
        },
    },
    (): {"https://a.example": {}},
}


@pytest.mark.parametrize("origins", ORIGINS)
async def test_pages_of_named_origins_may_read_it(app: App, origins: tuple[str, ...]) -> None:
    client = Client(Guard(app, settings(cors_origins=origins)))
    await client.fill()
    for origin, expected in ORIGINS[origins].items():
        _, headers, _ = await refused(client, **({"origin": origin} if origin else {}))
        shown = {name: value for name, value in headers.items() if name == "vary" or name.startswith("access")}
        assert shown == expected


async def test_probes_preflights_and_open_sockets_are_never_refused(app: App) -> None:
    client = Client(Guard(app, settings()))
    await client.fill()
    begun = len(app.begun)
    for path, method, kind in (
        ("/healthz", "GET", "http"),
        ("/readyz", "GET", "http"),
        ("/graphql", "OPTIONS", "http"),
        ("/graphql", "GET", "websocket"),
    ):
        await client.send(path, method, kind)
    assert app.begun[begun:] == ["/healthz", "/readyz", "/graphql", "/graphql"]
    assert client.guard.admission.at_work == 1


async def test_the_next_begins_when_an_answer_does(app: App) -> None:
    client = Client(Guard(app, settings()))
    first, second = await client.send("/first"), await client.send("/second")
    assert app.begun == ["/first"]
    app.to_answer.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert app.begun == ["/first", "/second"]
    assert (first.done(), client.guard.admission.at_work) == (False, 0)  # the rest of answers is sent without a place
    app.to_end.set()
    assert [message["type"] for message in await first] == ["http.response.start", "http.response.body"]
    assert [message["type"] for message in await second] == ["http.response.start", "http.response.body"]
    assert client.guard.admission.at_work == 0


async def test_who_waits_for_the_clients_bytes_is_not_at_work(app: App) -> None:
    app.reads_body = True
    waits = Client(Guard(app, settings(), has_come=lambda receive: False))
    await waits.send("/slow")
    await waits.send("/slower")
    assert app.begun == ["/slow", "/slower"]
    assert waits.guard.admission.at_work == 0
    has_come = Client(Guard(app, settings(), has_come=lambda receive: True))
    await has_come.send("/first")
    await has_come.send("/second")
    assert app.begun == ["/slow", "/slower", "/first"]


async def test_a_place_is_left_by_whoever_fails_or_goes(app: App) -> None:
    client = Client(Guard(app, settings()))
    first, second = await client.send("/first"), await client.send("/second")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.sleep(0)
    assert app.begun == ["/first", "/second"]
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert client.guard.admission.at_work == 0

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("unexpected")

    failing = Client(Guard(fails, settings()))
    for _ in range(3):
        with pytest.raises(RuntimeError):
            await (await failing.send())
    assert failing.guard.admission.at_work == 0


async def test_a_gateway_that_leaves_closes_behind_its_refusals(app: App) -> None:
    client = Client(Guard(app, settings(), is_leaving=lambda: True))
    await client.fill()
    assert (await refused(client))[1]["connection"] == "close"
    written = client.guard.refusal("/graphql", []).written(closes=True, is_head=True)
    assert written.startswith(b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n")
    assert written.endswith(b"\r\nconnection: close\r\n\r\n")


async def test_the_log_has_the_beginning_of_an_overload_and_no_line_for_each_refusal(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(Guard(app, settings()))
    with caplog.at_level(logging.INFO):
        await client.fill()
        for _ in range(10):
            await refused(client)
    assert [record.getMessage() for record in caplog.records] == ["overloaded"]
    assert vars(caplog.records[0])["at_work"] == 1
    assert client.guard.admission.refused == {"full": 10}


def test_the_first_limit_is_no_more_than_may_be() -> None:
    assert Guard(App(), settings()).admission.limit == 1
    assert Guard(App(), settings(max_requests_at_once=1000)).admission.limit == FIRST_AT_WORK
