"""Bytes over a plain connection, for what no client of HTTP would send."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

PATIENCE_S = 60.0
UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n"
)


class RawClient:
    """Reads and writes over one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer with a length: status, headers by lower-case names, body."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(first.split(" ")[1]), headers, body

    async def refusal(self) -> tuple[int, str]:
        """Read an answer of a plain route that refuses: its status and reason."""
        status, _, body = await self.answer()
        found: dict[str, Any] = json.loads(body)
        return status, found["error"]["reason"]

    async def end(self) -> bytes:
        """Wait until the other end closes; returns what came before."""
        received = b""
        with suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while chunk := await self.reader.read(65536):
                    received += chunk
        return received


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[RawClient]:
    """Connect to the gateway at an address."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()
