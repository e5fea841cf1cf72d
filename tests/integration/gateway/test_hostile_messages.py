"""Messages over a socket that no client of the protocol would send, and those that would be held for ever."""

import asyncio
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from services.gateway.limits import MAX_SUBSCRIPTION_CHARACTERS
from services.gateway.socket_messages import MAX_ID_CHARACTERS
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.live_steps import failure
from tests.integration.gateway.socket_client import SocketClient, dialled, initialised

pytestmark = pytest.mark.asyncio(loop_scope="module")

ME = "{ me { email } }"
WATCH = 'subscription { playlistChanges(playlistId: "0190a000-0000-7000-8000-000000000000") { changes } }'
MESSAGES: dict[str, Any] = {
    "id of a list": {"type": "subscribe", "id": [], "payload": {"query": ME}},
    "id of an object": {"type": "complete", "id": {}},
    "no id": {"type": "subscribe", "payload": {"query": ME}},
    "an empty id": {"type": "subscribe", "id": "", "payload": {"query": ME}},
    "a long id": {"type": "subscribe", "id": "i" * (MAX_ID_CHARACTERS + 1), "payload": {"query": ME}},
    "no payload": {"type": "subscribe", "id": "1"},
    "payload of a list": {"type": "subscribe", "id": "1", "payload": []},
    "payload of a word": {"type": "subscribe", "id": "1", "payload": "x"},
    "query of a number": {"type": "subscribe", "id": "1", "payload": {"query": 5}},
    "no query": {"type": "subscribe", "id": "1", "payload": {"query": None}},
    "variables of a list": {"type": "subscribe", "id": "1", "payload": {"query": ME, "variables": [1]}},
    "name of a number": {"type": "subscribe", "id": "1", "payload": {"query": ME, "operationName": 5}},
    "extensions of a list": {"type": "subscribe", "id": "1", "payload": {"query": ME, "extensions": []}},
    "type of a number": {"type": 5},
    "type of a list": {"type": []},
    "a long type": {"type": "악" * 500},
    "init of a list": {"type": "connection_init", "payload": []},
}


async def close_code(client: SocketClient) -> int | None:
    async with asyncio.timeout(60):
        with pytest.raises(ConnectionClosed):
            await client.receive()
    return client.connection.close_code


@pytest.mark.parametrize("name", MESSAGES)
async def test_messages_of_another_shape_close_the_socket_and_nothing_else_happens(
    gateway: Gateway, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with initialised(gateway.url, None) as client:
        await client.send(**MESSAGES[name])
        assert await close_code(client) == 4400
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
    assert gateway.behind.spent() == {}


async def test_what_comes_behind_the_end_is_not_looked_at(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    async with dialled(gateway.url) as client:
        # In one segment, before the first of them is answered.
        messages = [{"type": "connection_init"}, {"type": "connection_init"}] + [{"type": "connection_init"}] * 50
        connection = client.connection
        for message in messages:
            connection.protocol.send_text(json.dumps(message).encode())
        connection.send_data()
        async with asyncio.timeout(60):
            assert (await client.receive())["type"] == "connection_ack"
        assert await close_code(client) == 4429
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"query": "{ me {"}, "DOCUMENT_INVALID"),
        ({"query": "{ me { email " + "x" * 300}, "DOCUMENT_INVALID"),
        ({"query": "query A { me { email } } query B { me { email } }"}, "OPERATION_UNKNOWN"),
        ({"query": ME, "operationName": "x" * 300}, "OPERATION_UNKNOWN"),
        ({"query": ""}, "OPERATION_UNKNOWN"),
    ],
    ids=range(5),
)
async def test_an_operation_that_cannot_run_is_told_of_and_ends_no_other(
    gateway: Gateway, payload: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(60), initialised(gateway.url, None) as client:
        await client.send(id="1", type="subscribe", payload=payload)
        assert (await failure(client))["reason"] == reason
        await client.subscribe("1", ME, {})
        assert (await client.receive())["payload"]["data"] == {"me": None}
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


async def test_of_the_first_message_a_socket_keeps_the_token_alone(gateway: Gateway) -> None:
    kept: list[Any] = []
    opened = gateway.parts.live.sockets._open
    async with asyncio.timeout(60), dialled(gateway.url) as client:
        payload = {"authorization": gateway.bearer()["Authorization"], "more": ["x" * 100_000]}
        await client.send(type="connection_init", payload=payload)
        assert (await client.receive())["type"] == "connection_ack"
        kept += [each.context.connection_params for each in opened]  # type: ignore[attr-defined]
        await client.subscribe("1", ME, {})
        assert (await client.receive())["payload"]["data"]["me"] is not None
    assert [list(each) for each in kept] == [["authorization"]]


async def test_subscriptions_are_small_whatever_they_need_and_queries_may_be_large(gateway: Gateway) -> None:
    long = {"unused": "x" * MAX_SUBSCRIPTION_CHARACTERS}
    async with asyncio.timeout(60), initialised(gateway.url, None) as client:
        await client.subscribe("1", WATCH, long)
        assert await failure(client) == {
            "code": "RESOURCE_EXHAUSTED",
            "reason": "SUBSCRIPTION_TOO_LARGE",
            "field": "variables",
            "limit": str(MAX_SUBSCRIPTION_CHARACTERS),
        }
        await client.subscribe("1", ME, long)
        assert (await client.receive())["payload"]["data"] == {"me": None}


async def test_long_tokens_are_not_even_looked_at(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr("services.chassis.tokens.jwt.get_unverified_header", looked.append)
    async with dialled(gateway.url) as client:
        await client.send(type="connection_init", payload={"authorization": "Bearer " + "x" * 1_000_000})
        assert await close_code(client) == 4403
        assert client.connection.close_reason == "TOKEN_INVALID"
    assert looked == []
