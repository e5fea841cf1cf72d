"""Connections of strangers: uvicorn's protocols, with an end to what may come over one and to how long it may take."""

import asyncio
import json
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from services.chassis.errors import DomainError, InvalidArgument, ResourceExhausted, Unavailable
from services.gateway.errors import client_message, describe
from services.gateway.guard import PLACE, PROBES, Guard
from services.gateway.settings import GatewaySettings
from services.gateway.socket_connections import BoundedSocket, protocol_logger

# Request line and headers; also what comes without being any of a body.
MAX_HEAD_BYTES = 64 * 1024
# Requests that wait for the answer to one before; a browser sends none of these.
MAX_PIPELINED = 16
# Until the headers of a request are there, and for what still comes behind an answer.
HEAD_TIMEOUT_S = 10.0
_KEEP_ALIVE_S = 30
_RETRY_AFTER_MS = 1000
_PROBES = tuple(path.encode() for path in PROBES)


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
    """A connection that speaks HTTP/1.1.

    Args:
        guard: Asked before anything is made for a request: its refusals cost a fourth of what answers of an
            application do.
        args: As uvicorn has them.
        kwargs: Likewise.
    """

    def __init__(self, *args: Any, guard: Guard, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = guard
        self._is_refused = False
        self._refused_at_once = 0
        self.logger = protocol_logger
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
        self._refused_at_once = 0
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
        self._is_refused = False
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
        self.app = self._inner
        if self._is_full and not is_probe:
            self.app = _say_full
            self._guard.admission.refused["connections"] += 1
        elif not (is_probe or self._is_answering or self.parser.should_upgrade()):
            self._ask_guard()
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._has_come_on = True
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a body."""
        self._has_come_on = True
        if not self._is_refused:
            super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Make it a socket, where there is room for one more."""
        if self._is_full or self._is_answering:
            self._refusal = _FULL
            self.send_400_response("")
            return
        if self._guard.refuses_socket():
            self.transport.write(self._guard.refusal(self._path, self.headers).written(closes=True, is_head=False))
            self.transport.close()
            return
        super().handle_websocket_upgrade()
        socket = self.transport.get_protocol()
        if isinstance(socket, BoundedSocket) and not socket.handshake_initiated:
            # Headers that a socket cannot have: the library waits for the end of the connection, as nobody else does.
            self.transport.write(_MALFORMED)
            self.transport.close()

    def _ask_guard(self) -> None:
        """Have a request answered if there is a place, else refuse it here and now."""
        method = self.parser.get_method()
        if method == b"OPTIONS":
            super().on_headers_complete()
            return
        place = self._guard.ask()
        if place is None:
            self._refuse(is_head=method == b"HEAD")
            return
        cast(dict[str, Any], self.scope)[PLACE] = place
        try:
            super().on_headers_complete()
        except BaseException:
            place.leave()
            raise

    def _refuse(self, *, is_head: bool) -> None:
        """Refuse a request; what follows of it is nobody's."""
        self._is_refused = True
        self._refused_at_once += 1
        if self._refused_at_once > MAX_PIPELINED:
            raise _RefusedError
        if self.flow.write_paused:  # whoever reads no refusals gets no more of them
            self.transport.abort()
            return
        # Whoever asks before they send a body may leave it out now, or not: what comes next could be either.
        closes = self._guard.is_leaving() or self.expect_100_continue or not self.parser.should_keep_alive()
        self.transport.write(self._guard.refusal(self._path, self.headers).written(closes=closes, is_head=is_head))
        if closes:
            self.transport.close()

    @property
    def _path(self) -> str:
        return self.url.partition(b"?")[0].decode("latin-1")

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


async def _say_full(scope: Scope, receive: Receive, send: Send) -> None:
    head, _, body = _FULL.partition(b"\r\n\r\n")
    lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
    await send({"type": "http.response.start", "status": 503, "headers": [(name, value) for name, value in lines]})
    await send({"type": "http.response.body", "body": body})


def has_come(receive: Receive) -> bool:
    """Whether something of a request's body, or its end, is there to be taken."""
    cycle = getattr(receive, "__self__", None)
    return not isinstance(cycle, RequestResponseCycle) or cycle.message_event.is_set()


def server_config(guard: Guard, settings: GatewaySettings) -> uvicorn.Config:
    """Return how uvicorn serves the gateway."""
    return uvicorn.Config(
        cast(Any, guard),
        http=cast(Any, partial(BoundedHttp, guard=guard)),
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
