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
        free: Where it waits to be told to send; without one it sends again and again.
    """

    def __init__(self, request: bytes, heard: Heard, free: "asyncio.Queue[Caller] | None" = None) -> None:
        self._free = free
        self._request = request
        self._heard = heard
        self._got = b""
        self._missing = -1
        self.is_stopping = False
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses
        if self._free is None:
            self.send_due(time.perf_counter())

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
        if self._free is not None:
            self._free.put_nowait(self)
        elif self.is_stopping:
            self.close()
        else:
            self.send_due(time.perf_counter())

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        if not self.ended.done():
            self.ended.set_result(error)

    def send_due(self, began: float) -> None:
        """Send; the answer's latency counts from `began`."""
        self._began = began
        self._transport.write(self._request)

    def close(self) -> None:
        """End the connection."""
        self._transport.close()


def request_bytes(
    port: int,
    body: bytes,
    token: str = "",
    *,
    path: str = "/graphql",
    kind: str = "application/json",
    network: str = "",
) -> bytes:
    """Return a POST of a body, to /graphql where nothing else is said.

    Args:
        port: Of the gateway.
        body: What is sent.
        token: Of who sends it; empty for a guest.
        path: Where to.
        kind: Content type.
        network: An address that a proxy would tell; empty for none.
    """
    authorization = f"authorization: Bearer {token}\r\n" if token else ""
    forwarded = f"x-forwarded-for: {network}\r\n" if network else ""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: {kind}\r\n{authorization}{forwarded}"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def post_at_rate(port: int, request: bytes, callers: int, seconds: float, rate: float) -> Heard:
    """Send a request so many times a second, each over whichever connection is free; latencies begin when it was due.

    So a server that is slow is not asked less for it.
    """

    async def run() -> Heard:
        heard = Heard(seconds=seconds)
        loop = asyncio.get_running_loop()
        free: asyncio.Queue[Caller] = asyncio.Queue()
        made = []
        for _ in range(callers):
            caller = (await loop.create_connection(lambda: Caller(request, heard, free), "127.0.0.1", port))[1]
            made.append(caller)
            free.put_nowait(caller)
        began = time.perf_counter()
        for number in range(int(seconds * rate)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            (await free.get()).send_due(due)
        while free.qsize() < callers:  # noqa: ASYNC110  # a second for the last ones, at the end of a measurement
            await asyncio.sleep(0.01)
        for caller in made:
            caller.close()
        return heard

    return uvloop.run(run())


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
