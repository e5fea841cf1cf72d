"""The outermost layer of a worker that has more to do than it can: it refuses the rest at once, for next to nothing.

It stands before everything that costs: routes, bodies, tokens, documents. Probes and the questions that browsers ask
before a request are always let through, and open sockets go on.
"""

import asyncio
import itertools
import json
import logging
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.chassis.errors import Unavailable
from services.gateway.admission import Admission, Bounds, Place
from services.gateway.border import SECURITY_HEADERS
from services.gateway.errors import client_message, describe
from services.gateway.settings import GatewaySettings

logger = logging.getLogger(__name__)

# Of a scope: the place that its request was given before it came here.
PLACE = "museed.place"
PROBES = ("/healthz", "/readyz")
GRAPHQL = "/graphql"

_TICK_S = 0.02
# Without a refusal for so long, it is over.
_QUIET_S = 1.0
# Not the same for all: who was refused together should not come back together.
_RETRIES_AFTER_MS = (1000, 1250, 1500, 1750, 2000)

Headers = Collection[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is ready to be sent.

    Attributes:
        headers: Of it, those for pages of other origins included.
        body: JSON.
        head: As HTTP/1.1 has it, but for its end.
    """

    headers: list[tuple[bytes, bytes]]
    body: bytes
    head: bytes

    def written(self, *, closes: bool, is_head: bool) -> bytes:
        """Return it as HTTP/1.1 has it."""
        closing = b"connection: close\r\n" if closes else b""
        return b"%b%b\r\n%b" % (self.head, closing, b"" if is_head else self.body)


class Guard:
    """ASGI middleware around everything.

    Args:
        app: What it surrounds.
        settings: What may be at once, and which pages may read a refusal.
        has_come: Says of `receive` whether it returns at once: who waits for a client's bytes is not at work.
        is_leaving: Says whether connections are closed behind their next answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: GatewaySettings,
        has_come: Callable[[Receive], bool] = lambda receive: True,
        is_leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        self._app = app
        self._has_come = has_come
        self.is_leaving = is_leaving
        self.admission = Admission(
            Bounds(settings.max_requests_at_once, settings.target_delay_ms / 1000, settings.queue_ms / 1000)
        )
        self._origins = {origin.encode("latin-1") for origin in settings.cors_origins}
        self._refusals = {is_graphql: itertools.cycle(_refusals(is_graphql)) for is_graphql in (True, False)}
        self._is_watching = False
        self._refused_at = 0.0
        self._refused_before: int | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request when it is its turn, or refuse it; sockets come here only where they are let in."""
        if scope["type"] != "http" or self.is_always_let_in(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        place: Place | None = scope.pop(PLACE, None) or self.ask()
        if place is None:
            await self._refuse(scope, send)
            return
        try:
            if await place.is_granted():
                await self._app(scope, self._lending(place, receive), _left_when_answered(place, send))
            else:
                self._note_refusal()
                await self._refuse(scope, send)
        finally:
            place.leave()

    @staticmethod
    def is_always_let_in(method: str, path: str) -> bool:
        """Whether this is a probe, or what a browser asks before a request: refused, it could not read why."""
        return method == "OPTIONS" or path.startswith(PROBES)

    def ask(self) -> Place | None:
        """Ask for a place for a request; None is a refusal."""
        if not self._is_watching:
            self._is_watching = True
            self._look_again()
        place = self.admission.ask()
        if place is None:
            self._note_refusal()
        return place

    def refuses_socket(self) -> bool:
        """Whether a new socket is refused: it would bring work, and takes no place."""
        if self.admission.is_full:
            self.admission.count_refusal()
            self._note_refusal()
            return True
        return False

    def refusal(self, path: str, headers: Headers) -> Refusal:
        """Return the answer to a request that is refused."""
        found = next(self._refusals[path == GRAPHQL])
        if not self._origins:
            return found
        origin = next((value for name, value in headers if name == b"origin"), None)
        shown = list(self._shown_to(origin))
        return Refusal([*found.headers, *shown], found.body, found.head + _lines(shown))

    def _shown_to(self, origin: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """Yield what lets a page of another origin read an answer, where it may."""
        yield b"vary", b"Origin"
        if origin is None or not (b"*" in self._origins or origin in self._origins):
            return
        yield b"access-control-allow-origin", b"*" if b"*" in self._origins else origin
        yield b"access-control-expose-headers", b"Retry-After"
        if b"*" not in self._origins:
            yield b"access-control-allow-credentials", b"true"

    async def _refuse(self, scope: Scope, send: Send) -> None:
        refusal = self.refusal(scope["path"], scope["headers"])
        headers = [*refusal.headers, (b"connection", b"close")] if self.is_leaving() else refusal.headers
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": refusal.body})

    def _lending(self, place: Place, receive: Receive) -> Receive:
        async def receive_on() -> Message:
            if self._has_come(receive) or not place.is_held:
                return await receive()
            place.leave()
            try:
                return await receive()
            finally:
                place.take_back()

        return receive_on

    def _note_refusal(self) -> None:
        self._refused_at = time.monotonic()
        if self._refused_before is None:
            self._refused_before = self.admission.refused.total() - 1
            logger.warning("overloaded", extra=self._state())

    def _state(self) -> dict[str, int]:
        admission = self.admission
        return {"at_work": admission.at_work, "limit": admission.limit, "waiting": admission.waiting}

    def _look_again(self) -> None:
        asyncio.get_running_loop().call_later(_TICK_S, self._look, time.monotonic() + _TICK_S)

    def _look(self, due: float) -> None:
        """Begin a look at the loop: how late this is, and how long what is ready waits for its turn."""
        now = time.monotonic()
        asyncio.get_running_loop().call_soon(self._looked, max(0.0, now - due), now)

    def _looked(self, late_s: float, began: float) -> None:
        now, admission = time.monotonic(), self.admission
        admission.observe(late_s + now - began)
        if self._refused_before is not None and now - self._refused_at > _QUIET_S:
            refused, self._refused_before = admission.refused.total() - self._refused_before, None
            logger.warning("not_overloaded_any_more", extra={"refused": refused, **self._state()})
        self._is_watching = bool(admission.at_work or admission.waiting or self._refused_before is not None)
        if self._is_watching:
            self._look_again()


def _left_when_answered(place: Place, send: Send) -> Send:
    """Leave the place when the answer begins: what follows is sent as fast as somebody takes it, be it for hours."""

    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            place.leave()
        await send(message)

    return send_on


def _refusals(is_graphql: bool) -> list[Refusal]:
    return [_refusal(is_graphql, after_ms) for after_ms in _RETRIES_AFTER_MS]


def _refusal(is_graphql: bool, after_ms: int) -> Refusal:
    error = Unavailable("there is more to do now than can be done", reason="GATEWAY_BUSY", retry_after_ms=after_ms)
    text = client_message(error)
    told = (
        {"errors": [{"message": text, "extensions": describe(error)}]}
        if is_graphql
        else {"error": {**describe(error), "message": text}}
    )
    body = json.dumps(told).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "retry-after": str(-(-after_ms // 1000)),
        "cache-control": "no-store",
        **{name.lower(): value for name, value in SECURITY_HEADERS.items()},
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Refusal(raw, body, b"HTTP/1.1 503 Service Unavailable\r\n" + _lines(raw))


def _lines(headers: Headers) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)
