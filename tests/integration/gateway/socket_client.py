"""A least client of the graphql-transport-ws protocol."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

PROTOCOL = Subprotocol("graphql-transport-ws")


class SocketClient:
    """Sends and receives the protocol's messages over one socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.connection.recv())
        return message

    async def subscribe(self, id_: str, query: str, variables: dict[str, Any]) -> None:
        await self.send(id=id_, type="subscribe", payload={"query": query, "variables": variables})


@asynccontextmanager
async def dialled(url: str, protocol: Subprotocol = PROTOCOL, **options: Any) -> AsyncIterator[SocketClient]:
    """Open a socket to the gateway at an HTTP address."""
    address = url.replace("http://", "ws://") + "/graphql"
    async with connect(address, subprotocols=[protocol], proxy=None, **options) as connection:
        yield SocketClient(connection)


@asynccontextmanager
async def initialised(url: str, authorization: str | None) -> AsyncIterator[SocketClient]:
    """Open a socket and shake hands under a token."""
    async with dialled(url) as client:
        payload = {} if authorization is None else {"authorization": authorization}
        await client.send(type="connection_init", payload=payload)
        assert await client.receive() == {"type": "connection_ack"}
        yield client
