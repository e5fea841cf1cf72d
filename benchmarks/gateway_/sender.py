"""HTTP connections that a load is sent over: they write bytes and tell what came back, with little work a request."""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple, cast

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"
_CLOSES = b"connection: close"
# A request that finds none free opens another.
_MOST_FREE = 4000


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: Three digits, or nothing where the connection ended before an answer.
        body: Of it.
        seconds: From when the request was due.
    """

    status: bytes
    body: bytes
    seconds: float


Told = Callable[[Answer], None]


class Sender(asyncio.Protocol):
    """One connection, with one request at a time.

    Args:
        is_free: Called with it once a request was answered, before who asked is told.
    """

    def __init__(self, is_free: Callable[["Sender"], None]) -> None:
        self._is_free = is_free
        self._told: Told = lambda answer: None
        self._got = bytearray()
        self._head = 0
        self._needed = -1
        self._due: float | None = None
        self.is_open = False
        self.free_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses
        self.is_open = True

    def send(self, request: bytes, due: float, told: Told) -> None:
        """Send a request that was due then."""
        self._due, self._told = due, told
        self._transport.write(request)

    def close(self) -> None:
        """End it."""
        self.is_open = False
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        if self._due is None:
            return
        self._got += data
        if self._needed < 0:
            end = self._got.find(_END_OF_HEAD)
            if end < 0:
                return
            head = bytes(self._got[:end]).lower()
            if _CLOSES in head:
                self.is_open = False
            length = int(head[head.index(_LENGTH) + len(_LENGTH) :].split(b"\r\n", 1)[0])
            self._head, self._needed = end + len(_END_OF_HEAD), end + len(_END_OF_HEAD) + length
        if len(self._got) >= self._needed:
            self._answered(bytes(self._got[9:12]), bytes(self._got[self._head : self._needed]))

    def connection_lost(self, error: Exception | None) -> None:
        """End; a request without an answer is told as one."""
        self.is_open = False
        if self._due is not None:
            self._answered(b"", b"")

    def _answered(self, status: bytes, body: bytes) -> None:
        assert self._due is not None
        self.free_since = time.perf_counter()
        answer = Answer(status, body, self.free_since - self._due)
        self._due, self._needed = None, -1
        self._got.clear()
        self._is_free(self)
        self._told(answer)


class Connections:
    """Connections to one port of the loopback, as many as there are requests at once.

    Args:
        port: It.
        is_kept: Whether they are used again, as long as nobody closes them and they rest for no longer than `idle_s`.
        idle_s: So long; servers that end close what rests after some seconds.
    """

    def __init__(self, port: int, *, is_kept: bool = True, idle_s: float = 1e9) -> None:
        self._port = port
        self._is_kept = is_kept
        self._idle_s = idle_s
        self._free: list[Sender] = []
        self._opening: set[asyncio.Task[None]] = set()
        self.pending = 0

    def send(self, request: bytes, due: float, told: Told) -> None:
        """Send a request over a free connection, or over a new one; what comes back is told."""
        self.pending += 1
        while self._free:
            sender = self._free.pop()
            if sender.is_open and time.perf_counter() - sender.free_since < self._idle_s:
                sender.send(request, due, told)
                return
            sender.close()
        task = asyncio.get_running_loop().create_task(self._open(request, due, told))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def until_answered(self, within_s: float) -> None:
        """Wait for all answers, and close the connections; `pending` is what has none."""
        ends = time.monotonic() + within_s
        while self.pending and time.monotonic() < ends:  # noqa: ASYNC110  # the end of a measurement
            await asyncio.sleep(0.01)
        for sender in self._free:
            sender.close()

    async def _open(self, request: bytes, due: float, told: Told) -> None:
        try:
            loop = asyncio.get_running_loop()
            _, sender = await loop.create_connection(lambda: Sender(self._keep), "127.0.0.1", self._port)
        except OSError:
            self.pending -= 1
            told(Answer(b"", b"", time.perf_counter() - due))
            return
        sender.send(request, due, told)

    def _keep(self, sender: Sender) -> None:
        self.pending -= 1
        if self._is_kept and sender.is_open and len(self._free) < _MOST_FREE:
            self._free.append(sender)
        else:
            sender.close()
