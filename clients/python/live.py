"""One subscription over a socket of its own, in `graphql-transport-ws`.

Connecting again is the caller's: where a subscription goes on is known to it alone.
"""

import json
from collections.abc import Iterator
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from clients.python.errors import ClientError, answered_error
from clients.python.wire import Json

_PROTOCOL = Subprotocol("graphql-transport-ws")
_ANSWER_TIMEOUT_S = 15.0
_FORBIDDEN = 4403


def subscribed(url: str, document: str, variables: Json, token: str) -> Iterator[Json]:
    """Yield the data of each event until the subscription ends; ending the iteration ends the subscription.

    Args:
        url: Base address of the gateway.
        document: With one subscription.
        variables: Of the document.
        token: Empty for a guest.

    Raises:
        ClientError: The gateway is away or goes away, or answers with an error. What ends with its token has the code
            TOKEN_EXPIRED or SESSION_REVOKED.
    """
    address = "ws" + url.removeprefix("http") + "/graphql"
    try:
        with connect(address, subprotocols=[_PROTOCOL], max_size=None) as socket:
            _greet(socket, token)
            _send(socket, id="1", type="subscribe", payload={"query": document, "variables": variables})
            yield from _events(socket)
    except ConnectionClosed as closed:
        raise _ended(url, closed) from closed
    except (OSError, TimeoutError, WebSocketException) as error:
        raise ClientError(f"no answer from {url} ({error}): does it run?", is_transient=True) from error


def _greet(socket: ClientConnection, token: str) -> None:
    _send(socket, type="connection_init", payload={"authorization": f"Bearer {token}"} if token else {})
    while (message := json.loads(socket.recv(_ANSWER_TIMEOUT_S)))["type"] != "connection_ack":
        _answer(socket, message)


def _events(socket: ClientConnection) -> Iterator[Json]:
    while True:
        message = json.loads(socket.recv())
        if message["type"] == "complete":
            return
        if message["type"] == "error":
            raise answered_error(message["payload"][0])
        if message["type"] == "next":
            payload = message["payload"]
            if errors := payload.get("errors"):
                raise answered_error(errors[0])
            yield payload["data"]
        else:
            _answer(socket, message)


def _answer(socket: ClientConnection, message: Json) -> None:
    if message["type"] == "ping":
        _send(socket, type="pong")


def _send(socket: ClientConnection, **message: Any) -> None:
    socket.send(json.dumps(message))


def _ended(url: str, closed: ConnectionClosed) -> ClientError:
    """Say why a socket was closed: by its number and the gateway's word where there is one."""
    frame = closed.rcvd
    if frame is not None and frame.code == _FORBIDDEN and frame.reason:
        return ClientError("the session or its token has ended", frame.reason)
    return ClientError(f"{url} closed the connection ({closed})", is_transient=True)
