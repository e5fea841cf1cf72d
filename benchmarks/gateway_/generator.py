"""Posts the same request over some kept connections again and again, in a process of its own: little work a request."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import uvloop

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass
class Heard:
    """What callers got.

    Attributes:
        seconds: Time in which calls were made.
        latencies_s: Of each answer.
        refused: Answers of another status than 200.
        body: Of the last answer.
        all_answers: Also those before and after the time that is measured.
    """

    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    refused: int = 0
    body: bytes = b""
    all_answers: int = 0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies_s) / self.seconds

    def percentile_ms(self, which: float) -> float:
        """Return a percentile of the latencies."""
        return 1e3 * float(np.percentile(self.latencies_s, which))


class Caller(asyncio.Protocol):
    """One connection: sends, waits for the whole answer, sends again.

    Args:
        request: Bytes of the whole request.
        heard: Where answers are noted.
    """

    def __init__(self, request: bytes, heard: Heard) -> None:
        self._request = request
        self._heard = heard
        self._got = b""
        self._missing = -1
        self.is_stopping = False
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        self._got += data
        if self._missing < 0:
            end = self._got.find(_END_OF_HEAD)
            if end < 0:
                return
            head = self._got[:end].lower()
            begin = head.index(_LENGTH) + len(_LENGTH)
            self._missing = end + len(_END_OF_HEAD) + int(head[begin:].split(b"\r\n", 1)[0])
        if len(self._got) < self._missing:
            return
        self._heard.latencies_s.append(time.perf_counter() - self._began)
        self._heard.all_answers += 1
        self._heard.refused += not self._got.startswith(b"HTTP/1.1 200")
        self._heard.body = self._got[self._got.index(_END_OF_HEAD) + len(_END_OF_HEAD) :]
        self._got, self._missing = b"", -1
        if self.is_stopping:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        if not self.ended.done():
            self.ended.set_result(error)

    def _send(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)


def request_bytes(port: int, body: bytes, token: str = "") -> bytes:
    """Return a POST of a body to /graphql."""
    authorization = f"authorization: Bearer {token}\r\n" if token else ""
    head = (
        f"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n{authorization}"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def post_in_turn(port: int, request: bytes, callers: int, seconds: float) -> Heard:
    """Let some callers send a request again and again; blocks for about `seconds`."""

    async def run() -> Heard:
        heard = Heard()
        loop = asyncio.get_running_loop()
        made = [
            (await loop.create_connection(lambda: Caller(request, heard), "127.0.0.1", port))[1] for _ in range(callers)
        ]
        await asyncio.sleep(0.2 * seconds)  # warm
        heard.latencies_s.clear()
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        for caller in made:
            caller.is_stopping = True
        heard.seconds = time.perf_counter() - began
        measured = len(heard.latencies_s)
        await asyncio.wait_for(asyncio.gather(*(caller.ended for caller in made)), 60)
        del heard.latencies_s[measured:]
        return heard

    return uvloop.run(run())
