"""Connections of strangers: uvicorn's protocols, with an end to what may come over one and to how long it may take."""

import asyncio
import json
import logging
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from services.chassis.errors import DomainError, InvalidArgument, ResourceExhausted, Unavailable
from services.gateway.errors import client_message, describe
from services.gateway.settings import GatewaySettings

# Request line and headers; also what comes without being any of a body.
MAX_HEAD_BYTES = 64 * 1024
# Requests that wait for the answer to one before; a browser sends none of these.
MAX_PIPELINED = 16
# Of one message: empty ones cost memory as well.
MAX_FRAGMENTS = 1024
# Until the headers of a request are there, and for what still comes behind an answer.
HEAD_TIMEOUT_S = 10.0
_KEEP_ALIVE_S = 30
_RETRY_AFTER_MS = 1000
_PROBES = (b"/healthz", b"/readyz")

# uvicorn tells of each socket with its full address and its query: nobody's business in a log.
_logger = logging.getLogger(f"{__name__}.protocol")
_logger.setLevel(logging.WARNING)


def _answer(status: bytes, refusal: DomainError) -> bytes:
    body = json.dumps({"error": {**describe(refusal), "message": client_message(refusal)}}).encode()
    retry = b"retry-after: 1\r\n" if refusal.retry_after_ms is not None else b""
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n"
    return head % (status, len(body), retry) + body


_MALFORMED = _answer(b"400 Bad Request", InvalidArgument("this is not HTTP/1.1", reason="REQUEST_MALFORMED"))
_HEAD_TOO_LARGE = _answer(
    b"431 Request Header Fields Too Large",
    ResourceExhausted(
        f"request line and headers have more than {MAX_HEAD_BYTES} bytes",
        reason="HEADERS_TOO_LARGE",
        limit=MAX_HEAD_BYTES,
    ),
)
_FULL = _answer(
    b"503 Service Unavailable",
    Unavailable("there are too many connections now", reason="TOO_MANY_CONNECTIONS", retry_after_ms=_RETRY_AFTER_MS),
)


class _RefusedError(Exception):
    """Ends the reading of a request; the parser makes it one of its own."""


class BoundedHttp(HttpToolsProtocol):
    """A connection that speaks HTTP/1.1."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _logger
        # Looked at here: uvicorn's own refusal has no code, and none for sockets.
        self._most_connections, self.limit_concurrency = self.limit_concurrency, None
        self._inner = self.app
        self._timer: asyncio.TimerHandle | None = None
        self._unheeded_bytes = 0
        self._has_come_on = False
        self._is_in_head = True
        self._refusal = _MALFORMED

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for headers."""
        super().connection_made(transport)
        self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what waits."""
        self._stop_timer()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, while what comes is part of requests, and comes in time."""
        self._has_come_on = False
        super().data_received(data)
        self._unheeded_bytes = 0 if self._has_come_on else self._unheeded_bytes + len(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        if self._unheeded_bytes > MAX_HEAD_BYTES:
            self._refusal = _HEAD_TOO_LARGE
            self.send_400_response("")
        elif not self._is_answering and self._timer is None:
            self._set_timer()

    def send_400_response(self, msg: str) -> None:
        """Refuse, unless that would stand in the middle, or in the place, of another answer."""
        if self._is_answering:
            if self.pipeline or self.cycle.response_started or not self.cycle.more_body:
                self.transport.abort()
                return
            self.cycle.disconnected = True  # whatever it would say comes too late
            self.cycle.message_event.set()
        self.transport.write(self._refusal)
        self.transport.close()

    def on_message_begin(self) -> None:
        """Note that headers come."""
        self._is_in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers are nobody's."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Have a request answered, unless it is too large, ambiguous, or one too many."""
        self._has_come_on = True
        self._is_in_head = False
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD_BYTES:
            self._refusal = _HEAD_TOO_LARGE
            raise _RefusedError
        if sum(name == b"host" for name, _ in self.headers) > 1 or len(self.pipeline) >= MAX_PIPELINED:
            raise _RefusedError
        self._stop_timer()
        is_probe = self.url.startswith(_PROBES)
        self.app = _say_full if self._is_full and not is_probe else self._inner
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._has_come_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a body."""
        self._has_come_on = True
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Make it a socket, where there is room for one more."""
        if self._is_full or self._is_answering:
            self._refusal = _FULL
            self.send_400_response("")
            return
        super().handle_websocket_upgrade()
        socket = self.transport.get_protocol()
        if isinstance(socket, BoundedSocket) and not socket.handshake_initiated:
            # Headers that a socket cannot have: the library waits for the end of the connection, as nobody else does.
            self.transport.write(_MALFORMED)
            self.transport.close()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _is_full(self) -> bool:
        most = self._most_connections
        return most is not None and (len(self.connections) > most or len(self.tasks) >= most)

    def _set_timer(self) -> None:
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self._is_answering:  # what follows waits, and is not late
            self._set_timer()
        else:
            self.transport.close()


class BoundedSocket(WebSocketsSansIOProtocol):
    """A connection that has become a WebSocket."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _logger

    def pause_writing(self) -> None:
        """Read nothing either: whoever does not read answers gets no more of them, those to pings included."""
        super().pause_writing()
        self._stop_reading()

    def resume_writing(self) -> None:
        """Read on as well."""
        super().resume_writing()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    async def receive(self) -> Any:
        """Return the next message, and read on if answers are read."""
        message = await super().receive()
        if not self.writable.is_set():
            self._stop_reading()
        return message

    def handle_cont(self, event: Frame) -> None:
        """Take a piece of a message, unless it has too many."""
        if self.close_sent:
            return
        if len(self.frames) >= MAX_FRAGMENTS:
            self.frames = []
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"more than {MAX_FRAGMENTS} fragments")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def _stop_reading(self) -> None:
        if not self.transport.is_closing():
            self.transport.pause_reading()


async def _say_full(scope: Scope, receive: Receive, send: Send) -> None:
    head, _, body = _FULL.partition(b"\r\n\r\n")
    lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
    await send({"type": "http.response.start", "status": 503, "headers": [(name, value) for name, value in lines]})
    await send({"type": "http.response.body", "body": body})


def server_config(app: ASGIApp, settings: GatewaySettings) -> uvicorn.Config:
    """Return how uvicorn serves the gateway."""
    return uvicorn.Config(
        cast(Any, app),
        http=BoundedHttp,
        ws=BoundedSocket,
        ws_max_size=settings.max_body_bytes,
        # It costs 40 KiB a socket for messages of some hundred bytes, and lets a small one become large.
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.drain_timeout_s),
    )
