"""The outermost layer of HTTP: request ids, networks, security headers, a log line each; the inside stays inside."""

import logging
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.chassis import auth, telemetry
from services.chassis.errors import DomainError
from services.chassis.telemetry import tracing
from services.gateway.counts import GatewayCounts
from services.gateway.errors import client_message, describe, http_status, masked
from services.gateway.networks import network_of

logger = logging.getLogger(__name__)

# Pages bring a policy of their own.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Of this very host: what else runs below the domain is not for us to say.
_TLS_ONLY = "max-age=31536000"
_ROUTES = frozenset(
    "graphql uploads tracks users albums playlists stream p exports trends.csv codes.json favicon.ico .well-known"
    " verify-email reset-password web healthz readyz".split()
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
# What follows these are secrets: those of stream tokens, and links of playlists that are listed nowhere.
_SECRET_PATHS = frozenset({"stream", "p"})
# A request line may have 64 KiB, of which each byte can be six in JSON.
_LONGEST_SHOWN = 200
_QUIET_PATHS = frozenset({"/healthz", "/readyz"})


def error_response(error: DomainError) -> JSONResponse:
    """Return what a plain route answers with."""
    headers = {"WWW-Authenticate": "Bearer"} if http_status(error) == 401 else {}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    body = {"error": {**describe(error), "message": client_message(error)}}
    return JSONResponse(body, status_code=http_status(error), headers=headers)


def shown_path(path: str) -> str:
    """Return a path as the log may have it: without what opens something to whoever reads it."""
    first, _, rest = path.lstrip("/").partition("/")
    if first in _SECRET_PATHS and rest:
        return f"/{first}/…"
    return path if len(path) <= _LONGEST_SHOWN else f"{path[:_LONGEST_SHOWN]}…"


class Border:
    """ASGI middleware around everything.

    Args:
        app: What it surrounds.
        is_leaving: Says whether connections are closed behind their next answer.
        counts: Told of every request; None tells nobody.
    """

    def __init__(
        self, app: ASGIApp, is_leaving: Callable[[], bool] = lambda: False, counts: GatewayCounts | None = None
    ) -> None:
        self._app = app
        self._counts = counts or GatewayCounts()
        self._is_leaving = is_leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = telemetry.begin_request(Headers(scope=scope).get(telemetry.REQUEST_ID_HEADER))
        auth.bind_client(network_of(scope.get("client")))
        started = time.monotonic()
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope.get("scheme") == "https":
                    headers.setdefault("Strict-Transport-Security", _TLS_ONLY)
                headers[telemetry.REQUEST_ID_HEADER] = request_id
                if self._is_leaving():
                    headers["Connection"] = "close"
            await send(message)

        with _http_span(scope) as span:
            try:
                await self._app(scope, receive, send_on)
            except Exception as error:  # the border of this process: nothing of the inside leaves it
                span.fail(error)
                refusal = masked(error, path=shown_path(scope["path"]))
                if scope["type"] == "http" and status == 0:
                    await error_response(refusal)(scope, receive, send_on)
            span.note(http__response__status_code=status)
            if scope["type"] == "http" and scope["path"] not in _QUIET_PATHS:
                self._tell(scope, status, time.monotonic() - started)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request and write its line, inside of its span: the line has its trace."""
        self._counts.answered(_method_of(scope), _route_of(scope), status, seconds)
        # Without the query: it may hold a signature.
        logger.info(
            "http_request",
            extra={
                "method": scope["method"],
                "path": shown_path(scope["path"]),
                "status": status,
                "duration_ms": round(seconds * 1000, 1),
            },
        )


def _http_span(scope: Scope) -> tracing.Span:
    """Begin the span of a request; a socket, which lives for hours, gets none, but each call that it makes does.

    It begins a trace of ours: whether that is recorded is not for strangers to say. Theirs is linked.
    """
    if not tracing.is_on() or scope["type"] != "http":
        return tracing.NOTHING
    headers = Headers(scope=scope)
    theirs = headers.get("traceparent")  # and not `tracestate`, which may be kilobytes of theirs in a span of ours
    method, route = _method_of(scope), _route_of(scope)
    return tracing.span(
        f"{method} {route}",
        tracing.Kind.SERVER,
        parent={},
        links=[{"traceparent": theirs}] if theirs else (),
        http__request__method=method,
        http__route=route,
    )


def _route_of(scope: Scope) -> str:
    """Return the first part of a path, which names what is asked for; what follows may be an id, others are noise."""
    first = scope["path"].lstrip("/").partition("/")[0]
    return f"/{first}" if first in _ROUTES else "/other"


def _method_of(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "_OTHER"
