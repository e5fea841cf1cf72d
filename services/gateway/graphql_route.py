"""POST /graphql, its WebSocket, and GraphiQL: Strawberry's view with bounded bodies and coded refusals."""

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from cross_web import HTTPException
from graphql import GraphQLError, GraphQLFormattedError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import ConnectionInitMessage, SubscribeMessage
from strawberry.subscriptions.protocols.graphql_transport_ws.types import Message as ProtocolMessage
from strawberry.types.unset import UnsetType

from services.chassis import auth
from services.chassis.errors import DeadlineExceeded, DomainError, InvalidArgument, NotFound, ResourceExhausted
from services.gateway.auth import expiry_of
from services.gateway.budget import bucket_key
from services.gateway.context import Parts, RequestContext
from services.gateway.cookies import Browser, RefreshCookie
from services.gateway.errors import client_message, describe, http_status
from services.gateway.gate import GatewaySchema
from services.gateway.socket_messages import close_reason, fault_of
from services.gateway.sockets import FORBIDDEN, SERVICE_RESTART, TRY_AGAIN_LATER, Holder

_INIT_TIMEOUT = timedelta(seconds=10)
# Of a socket.
_MAX_OPERATIONS = 50
# As many people as the guests of one network count for.
_GUESTS_OF_A_NETWORK = 8
_BODY_TIMEOUT_S = 60.0
# Two million lists fit into a body; 500 registrations have 1,000.
_MAX_BRACKETS = 100_000
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# GraphiQL comes from unpkg with integrity hashes, and starts itself with an inline script.
_GRAPHIQL_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' https://unpkg.com; style-src 'unsafe-inline' https://unpkg.com; "
    "img-src 'self' data:; font-src data: https://unpkg.com; connect-src 'self' ws: wss:; frame-ancestors 'none'"
)


class SocketContext(RequestContext):
    """Context of a WebSocket: the pattern of its operations' contexts."""

    socket: WebSocket
    holder: Holder


class SocketHandler(BaseGraphQLTransportWSHandler[RequestContext, None]):
    """One socket: kept among the open ones, and ended when its session or its process ends."""

    _has_ended = False

    async def handle(self) -> None:
        """Serve it until it closes."""
        assert isinstance(self.context, SocketContext)
        with self.context.parts.live.sockets.opened(self, self.context.holder):
            await super().handle()

    async def end(self, code: int, reason: str) -> None:
        """End its operations at once, then close it."""
        self._has_ended = True
        for operation_id in list(self.operations):
            await self.cleanup_operation(operation_id)
        await self.websocket.close(code, reason)

    async def handle_message(self, message: ProtocolMessage) -> None:
        """Act on a message of a shape that can be."""
        if (fault := fault_of(message)) is not None:
            await self.handle_invalid_message(fault)
        else:
            await super().handle_message(message)

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        """Take the token, and nothing else that would be held for as long as the socket."""
        if isinstance(payload := message.get("payload"), dict):
            kept = {name: value for name, value in payload.items() if name.lower() == "authorization"}
            message = {"type": "connection_init", "payload": kept}
        await super().handle_connection_init(message)

    async def handle_invalid_message(self, error_message: str) -> None:
        """Close the socket."""
        await super().handle_invalid_message(close_reason(error_message))

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:
        return None  # what is wrong with one operation is told of it, and ends no other

    async def ping(self) -> None:
        """Send the protocol's own ping, which scripts of pages can see."""
        if self.connection_acknowledged:
            await self.send_message({"type": "ping"})

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Begin an operation; one too many is refused as any other error is, and ends nothing else."""
        is_new = self.connection_acknowledged and message["id"] not in self.operations
        refusal = self._refusal() if is_new else None
        if refusal is not None:
            error = GraphQLFormattedError(message=client_message(refusal), extensions=describe(refusal))
            await self.send_message({"id": message["id"], "type": "error", "payload": [error]})
            return
        await super().handle_subscribe(message)

    @property
    def running(self) -> int:
        """How many operations it runs."""
        return len(self.operations)

    def _refusal(self) -> DomainError | None:
        """Return why one more operation is one too many, None where it is not."""
        if self.running >= _MAX_OPERATIONS:
            return _too_many(self.running, _MAX_OPERATIONS, "on this socket: end one, or open another socket")
        assert isinstance(self.context, SocketContext)
        parts, key = self.context.parts, self.context.holder.key
        most = most_of(key, parts.settings.max_operations_of_one)
        if (count := parts.live.sockets.running_of(key)) >= most:
            return _too_many(count, most, "on all your sockets: end one")
        return None

    async def send_message(self, message: ProtocolMessage) -> None:
        """Send a message, unless the socket is being closed."""
        if not self._has_ended:
            await super().send_message(message)


class GraphQLRoute(GraphQL[RequestContext, None]):
    """The GraphQL endpoint.

    Args:
        schema: What is served.
        parts: The parts of the process.
    """

    def __init__(self, schema: GatewaySchema, parts: Parts) -> None:
        self.graphql_transport_ws_handler_class = SocketHandler
        super().__init__(
            schema,
            graphql_ide="graphiql" if parts.settings.explorable else None,
            allow_queries_via_get=False,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=_INIT_TIMEOUT,
            allowed_origins=parts.settings.cors_origins,
        )
        self._parts = parts
        self._max_body_bytes = parts.settings.max_body_bytes
        self._cookie = RefreshCookie(parts.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        try:
            response = await self._answer(Request(scope, _bounded(receive, self._max_body_bytes)))
        except HTTPException as error:
            response = _refusal(InvalidArgument(error.reason, reason="REQUEST_INVALID"), error.status_code)
        except DomainError as error:
            response = _refusal(error, http_status(error))
        except ClientDisconnect:
            return  # in the middle of a body: nobody is left to be told
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method == "GET":
            if self.graphql_ide is None:
                raise NotFound("GraphiQL is turned off", reason="NOT_FOUND")
            if "text/html" in request.headers.get("accept", "") and not request.query_params:
                return await self.render_graphql_ide(request)
        if request.method != "POST":
            raise InvalidArgument("send operations by POST", reason="METHOD_NOT_ALLOWED", value=request.method)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            # Also what keeps other sites' forms out: this type needs their script to be allowed by CORS first.
            raise InvalidArgument(
                "send operations as application/json",
                reason="CONTENT_TYPE_REFUSED",
                field="Content-Type",
                value=media_type,
                limit="application/json",
            )
        length = request.headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length[:18]) > self._max_body_bytes:
            raise _too_large(self._max_body_bytes)
        return await self.run(request)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> RequestContext:
        """Make the context of a request or socket."""
        if isinstance(response, WebSocket):
            context = SocketContext(self._parts, is_socket=True, user_agent=request.headers.get("user-agent", ""))
            context.socket = response
            context.holder = Holder()
            return context
        # Tokens may be in the answer (RFC 6749, section 5.1).
        response.headers["Cache-Control"] = "no-store"
        return RequestContext(
            self._parts,
            authorization=request.headers.get("authorization"),
            user_agent=request.headers.get("user-agent", ""),
            browser=Browser(self._cookie, cast(Request, request), response),
        )

    async def on_ws_connect(self, context: RequestContext) -> UnsetType | dict[str, object] | None:
        """Check the token of connection_init; a bad one closes the socket with its reason."""
        assert isinstance(context, SocketContext)
        if context.parts.live.sockets.are_sent_away:
            await context.socket.close(SERVICE_RESTART)
            raise WebSocketDisconnected
        try:
            await context.authenticate()
        except DomainError as error:
            await context.socket.close(FORBIDDEN, error.reason)
            raise WebSocketDisconnected from error
        key = bucket_key()
        most = most_of(key, context.parts.settings.max_sockets_of_one)
        try:
            context.parts.live.sockets.count(context.holder, key, most)
        except ResourceExhausted as error:
            await context.socket.close(TRY_AGAIN_LATER, error.reason)
            raise WebSocketDisconnected from error
        if (viewer := auth.viewer()) is not None:
            context.holder.session_id = viewer.session_id
            context.holder.expires_at = expiry_of(auth.bearer_token())
        return await super().on_ws_connect(context)

    async def render_graphql_ide(self, request: Request) -> Response:
        """Return the page of GraphiQL."""
        page = self.graphql_ide_html.replace("Strawberry GraphiQL", "MUSEED GraphiQL")
        return HTMLResponse(page, headers={"Content-Security-Policy": _GRAPHIQL_POLICY})

    def decode_json(self, data: str | bytes) -> object:
        """Decode a JSON object; everything that is wrong with it is a JSONDecodeError."""
        try:
            text = data.decode() if isinstance(data, bytes) else data
            if text.count("[") + text.count("{") > _MAX_BRACKETS:
                raise ValueError("nested lists are dearer to make than to refuse")
            decoded = json.loads(text)
            if _SURROGATE.search(text):
                # Halves of characters, which no other service could be sent: this raises on them.
                json.dumps(decoded, ensure_ascii=False).encode()
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            raise json.JSONDecodeError(type(error).__name__, "", 0) from error
        if not isinstance(decoded, dict):
            raise json.JSONDecodeError("not an object", "", 0)
        # Of a request, and of a socket's message.
        payload = decoded.get("payload") if decoded.get("type") == "subscribe" else decoded
        if isinstance(payload, dict):
            self._parts.trusted.fill_in(payload)
        return decoded


def most_of(key: str, of_person: int) -> int:
    """Return how many a holder may have: the guests of a network are many."""
    return of_person if key.startswith("user ") else of_person * _GUESTS_OF_A_NETWORK


def _too_many(count: int, most: int, where: str) -> ResourceExhausted:
    return ResourceExhausted(
        f"{count} operations run {where}; limit is {most}", reason="TOO_MANY_OPERATIONS", value=count, limit=most
    )


def _refusal(error: DomainError, status: int) -> Response:
    body: Mapping[str, Any] = {"errors": [{"message": client_message(error), "extensions": describe(error)}]}
    return JSONResponse(body, status_code=status)


def _too_large(max_bytes: int) -> ResourceExhausted:
    return ResourceExhausted(
        f"the body has more than {max_bytes} bytes", reason="BODY_TOO_LARGE", field="body", limit=max_bytes
    )


def _bounded(receive: Receive, max_bytes: int) -> Receive:
    size = 0
    ends_at = asyncio.get_running_loop().time() + _BODY_TIMEOUT_S

    async def receive_counted() -> Message:
        nonlocal size
        try:
            async with asyncio.timeout_at(ends_at):
                message = await receive()
        except TimeoutError:
            raise DeadlineExceeded(
                f"not all came within {_BODY_TIMEOUT_S:.0f} s",
                reason="REQUEST_STALLED",
                field="body",
                limit=_BODY_TIMEOUT_S,
            ) from None
        size += len(message.get("body", b""))
        if size > max_bytes:
            raise _too_large(max_bytes)
        return message

    return receive_counted
