"""The outermost layer of HTTP: request ids, security headers, a log line each, and nothing of the inside gets out."""

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.chassis import telemetry
from services.chassis.errors import DomainError
from services.gateway.errors import client_message, describe, http_status, masked

logger = logging.getLogger(__name__)

# Nothing here is a page but GraphiQL and the front page, which bring a policy of their own.
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_QUIET_PATHS = frozenset({"/healthz", "/readyz"})


def error_response(error: DomainError) -> JSONResponse:
    """Return what a plain route answers with."""
    headers = {"WWW-Authenticate": "Bearer"} if http_status(error) == 401 else {}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    body = {"error": {**describe(error), "message": client_message(error)}}
    return JSONResponse(body, status_code=http_status(error), headers=headers)


class Border:
    """ASGI middleware around everything.

    Args:
        app: What it surrounds.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = telemetry.begin_request(Headers(scope=scope).get(telemetry.REQUEST_ID_HEADER))
        started = time.monotonic()
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers[telemetry.REQUEST_ID_HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except Exception as error:  # the border of this process: nothing of the inside leaves it
            refusal = masked(error, path=scope["path"])
            if scope["type"] == "http" and status == 0:
                await error_response(refusal)(scope, receive, send_on)
        if scope["type"] == "http" and scope["path"] not in _QUIET_PATHS:
            # Without the query: it may hold a signature.
            logger.info(
                "http_request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "duration_ms": round((time.monotonic() - started) * 1000, 1),
                },
            )
