"""One server of the benchmark, as a process: `python -m benchmarks.gateway_.serve echo|bare|gateway|narrow PORT`.

It prints one line once it listens: what a caller needs to know, as JSON.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any, cast

import uvicorn
import uvloop

from benchmarks.gateway_ import bare, inside
from services.chassis.telemetry import configure_logging
from services.gateway.__main__ import HttpServer, listen, settle
from services.gateway.connections import server_config

_ANSWER = b'{"data":' + b"x" * 8000 + b"}"


class Echo(asyncio.Protocol):
    """Answers each request, whatever it says, with a body as long as that of the page."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses

    def data_received(self, data: bytes) -> None:
        """Answer; the generator never sends a second request before that."""
        if data.endswith((b"}", b"\r\n\r\n")):
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(_ANSWER) + _ANSWER)


async def _echo(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    _tell({})
    await server.serve_forever()


async def _serve(serving: Awaitable[None], server: uvicorn.Server, told: dict[str, Any]) -> None:
    settle()  # as the gateway does, and the other to be fair
    task = asyncio.ensure_future(serving)
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    _tell(told)
    await task


def _tell(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


async def _main(kind: str, port: int) -> None:
    if kind == "echo":
        await _echo(port)
    elif kind == "bare":
        config = uvicorn.Config(
            bare.make_app(), port=port, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False
        )
        bare_server = uvicorn.Server(config)
        await _serve(bare_server.serve(), bare_server, {})
    else:
        configure_logging("gateway")  # its log line is part of each answer
        # As social's: of 512 places for 4 at a time most only wait.
        narrow = inside.Narrow(4, 0.03, 64) if kind == "narrow" else None
        guard, settings, told = inside.make_gateway(port, narrow)
        server = HttpServer(server_config(guard, settings))
        await _serve(server.serve_from(listen(settings)), server, told)


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], int(sys.argv[2])))
