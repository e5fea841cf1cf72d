"""Stands at the border of every server: who calls, how many at a time, how long they wait, and what they are told."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.chassis import auth, telemetry
from services.chassis.errors import Code, DeadlineExceeded, DomainError, Internal, PermissionDenied
from services.chassis.messages import Messages, reading
from services.chassis.places import Places
from services.chassis.telemetry import tracing
from services.chassis.telemetry.metrics import RpcMetrics
from services.chassis.tls import caller_names
from services.chassis.tokens import TokenVerifier

logger = logging.getLogger(__name__)

ERROR_DOMAIN = "museed"
# Without our ACCESS table: the protocols that probes and tools speak.
_OPEN_PREFIXES = ("/grpc.health.v1.", "/grpc.reflection.")
# Anybody may hold such streams for as long as they like: a bound for each of their RPCs, and no place of the others'.
_OPEN_STREAMS = 16
# Each process that calls one of several replicas watches it, and calls none that it cannot watch.
_WATCH = "/grpc.health.v1.Health/Watch"
_WATCHERS = 256
# Streams that are refused for want of a place are heard first, so many at a time.
_HEARD_AT_A_TIME = 32
_HEARD_S = 1.0

# By whether requests and responses are streams.
_MAKERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}

_OK = "OK"
_NUMBERS: dict[str, int] = {_OK: 0} | {code.value: grpc.StatusCode[code.value].value[0] for code in Code}

Context = grpc.aio.ServicerContext[Any, Any]

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def time_left_s() -> float | None:
    """Return the seconds that the caller of this request still waits, None where there is no such caller."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def limit_time(seconds: float | None) -> None:
    """Give this task's work an end: `time_left_s` counts down from here, and downstream calls are cut to it."""
    _deadline.set(None if seconds is None else time.monotonic() + seconds)


def to_status(error: DomainError) -> status_pb2.Status:
    """Turn a domain error into a gRPC status with ErrorInfo, BadRequest and RetryInfo where they apply."""
    details: list[any_pb2.Any] = []

    def add(message: Any) -> None:  # any protobuf message
        packed = any_pb2.Any()
        packed.Pack(message)
        details.append(packed)

    add(error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata))
    if error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        add(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after_ms is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(error.retry_after_ms)
        add(retry)
    return status_pb2.Status(code=code_pb2.Code.Value(error.code.value), message=error.message, details=details)


class BorderInterceptor(grpc.aio.ServerInterceptor):
    """Binds caller, network, request id and deadline to each call, checks access, translates errors, and counts.

    Args:
        access: Who may call each RPC.
        verifier: Verifies callers' tokens; None where no RPC needs one.
        max_calls: Calls of the RPCs in `access` that are answered at a time.
        metrics: Counts calls.
        max_message_bytes: Largest message of a request.
        larger_messages: The same, of single RPCs.
        callers: Names of certificates that may call the RPCs in `access`; empty: whoever gets this far.
    """

    def __init__(
        self,
        access: Mapping[str, auth.Access],
        verifier: TokenVerifier | None,
        max_calls: int,
        metrics: RpcMetrics,
        max_message_bytes: int,
        larger_messages: Mapping[str, int],
        callers: frozenset[str] = frozenset(),
    ) -> None:
        self._callers = callers
        self._access = access
        self._verifier = verifier
        self._metrics = metrics
        self._max_message_bytes = max_message_bytes
        self._larger_messages = larger_messages
        self._calls = Places(max_calls, "calls")
        self._open_streams: dict[str, Places] = {}
        self._bordered: dict[str, Any] = {}
        self._heard = Places(_HEARD_AT_A_TIME, "refusals")

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # grpc's RpcMethodHandler, whose fields grpc types loosely
        """Put the border before what answers an RPC."""
        method = handler_call_details.method
        bordered = self._bordered.get(method)
        if bordered is None:
            handler = await continuation(handler_call_details)
            if handler is None:  # kept for no name that callers make up
                return None
            bordered = self._bordered[method] = self._border(method, handler)
        return bordered

    def _border(self, method: str, handler: Any) -> Any:  # grpc's RpcMethodHandler
        """Return what answers an RPC, behind the border."""
        behaviour = _behaviour(handler)
        is_open = method.startswith(_OPEN_PREFIXES)
        is_stream = handler.request_streaming or handler.response_streaming
        read = reading(handler.request_deserializer, self._larger_messages.get(method, self._max_message_bytes))

        def guarded(messages: Messages | None, context: Context) -> contextlib.AbstractAsyncContextManager[None]:
            if not is_open:
                return self._guarded(method, messages, context)
            return self._open(method if is_stream else None, messages, context)

        # What is received is bytes (see `reading`), or an iterator that is not used (see `Messages`).
        async def answer(received: Any, context: Context) -> Any:
            messages = Messages(context.read, read) if handler.request_streaming else None
            try:
                async with guarded(messages, context):
                    return await behaviour(read(received) if messages is None else messages, context)
            except grpc.aio.AbortError as error:  # gRPC, which keeps it, raises it again
                _forget_frames(error)

        async def answer_many(received: Any, context: Context) -> AsyncIterator[Any]:
            messages = Messages(context.read, read) if handler.request_streaming else None
            try:
                async with guarded(messages, context):
                    answers = behaviour(read(received) if messages is None else messages, context)
                    if not hasattr(answers, "__aiter__"):  # Health/Watch writes its answers itself
                        await answers
                        return
                    async for response in answers:
                        yield response
            except grpc.aio.AbortError as error:
                _forget_frames(error)

        make = _MAKERS[handler.request_streaming, handler.response_streaming]
        chosen = answer_many if handler.response_streaming else answer
        return make(chosen, None, handler.response_serializer)

    @contextlib.asynccontextmanager
    async def _open(self, method: str | None, messages: Messages | None, context: Context) -> AsyncIterator[None]:
        """Bound the streams of an open RPC; without a method, a quick call that is always answered."""
        refusal: DomainError | None = None
        try:
            if method is None:
                yield
            else:
                places = self._open_places(method)
                await self._check_place(places, messages)
                with places.take():
                    yield
        except DomainError as error:
            refusal = error
        if refusal is not None:
            await _refuse(context, refusal)

    def _open_places(self, method: str) -> Places:
        # By what the server has, and not by what callers name: those have no handler.
        most = _WATCHERS if method == _WATCH else _OPEN_STREAMS
        return self._open_streams.setdefault(method, Places(most, f"streams of {method}"))

    async def _check_place(self, places: Places, messages: Messages | None) -> None:
        """Refuse a call that would get no place; a stream is heard before.

        A status that overtakes the caller's first message can be lost on the way.
        """
        if places.are_taken:
            refusal = places.refusal()
            await self._hear(messages)
            raise refusal

    async def _hear(self, messages: Messages | None) -> None:
        """Take the first message of a stream that is refused; see `_check_place`."""
        if messages is not None and not self._heard.are_taken:
            with self._heard.take(), contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HEARD_S):
                    await messages.pass_one()

    @contextlib.asynccontextmanager
    async def _guarded(self, method: str, messages: Messages | None, context: Context) -> AsyncIterator[None]:
        """Bind the call at hand, and end it with a status where its handler raises."""
        metadata = dict(context.invocation_metadata() or ())
        telemetry.begin_request(_text(metadata.get(telemetry.REQUEST_ID_HEADER)))
        auth.bind_client(_text(metadata.get(auth.CLIENT_HEADER)))
        limit_time(context.time_remaining())
        began = time.monotonic()
        self._metrics.began(method)
        code, reason = "UNKNOWN", ""
        try:
            with _rpc_span(method, metadata) as span:
                refusal: DomainError | None = None
                try:
                    try:
                        if self._callers:
                            self._check_caller(context)
                        await self._admit(method, _text(metadata.get("authorization")))
                    except DomainError:
                        await self._hear(messages)
                        raise
                    # Behind the check: who may not call takes no place from those who may.
                    await self._check_place(self._calls, messages)
                    with self._calls.take():
                        yield
                except DomainError as error:
                    refusal = error
                    if isinstance(error, Internal):
                        logger.exception("internal_error", extra={"method": method})
                    span.fail(error)
                except TimeoutError:
                    refusal = DeadlineExceeded("the deadline has passed")
                    span.fail(refusal)
                except (asyncio.CancelledError, GeneratorExit):  # the latter where an answer's stream is left
                    code = "CANCELLED"
                    raise
                except grpc.aio.AbortError:
                    raise
                except Exception as error:  # the border of this process: nothing of the inside leaves it
                    logger.exception("internal_error", extra={"method": method})
                    refusal = Internal("internal error")
                    span.fail(error)
                code, reason = (_OK, "") if refusal is None else (refusal.code.value, refusal.reason)
                span.note(rpc__grpc__status_code=_NUMBERS[code])
                if _text(metadata.get(telemetry.REQUEST_ID_HEADER)):  # else it is what a process asks by itself
                    telemetry.log_call(method, code, reason, time.monotonic() - began)
        finally:
            self._metrics.ended(method, code, reason, time.monotonic() - began)
        if refusal is not None:
            await _refuse(context, refusal)

    def _check_caller(self, context: Context) -> None:
        """Refuse a process of the mesh that has no business here, whatever token it passes on."""
        names = caller_names(context.auth_context())
        if not names & self._callers:
            shown = ", ".join(sorted(names)) or "nobody"
            raise PermissionDenied(f"{shown} may not call this process", reason="CALLER_REFUSED")

    async def _admit(self, method: str, authorization: str | None) -> None:
        access = self._access.get(method)
        if access is None:
            raise PermissionDenied(f"{method} has no access rule", reason="PERMISSION_DENIED")
        token = auth.token_of(authorization) if authorization else ""
        who = await self._verifier.verify(token) if token and self._verifier is not None else None
        auth.bind(token if who is not None else "", who)
        auth.check(access, who, method)


async def _refuse(context: Context, refusal: DomainError) -> None:
    """End a call with a status; raises gRPC's AbortError."""
    _forget_frames(refusal)
    await context.abort_with_status(rpc_status.to_status(to_status(refusal)))


def _forget_frames(error: BaseException | None) -> None:
    """Let an error, and what led to it, go of the frames that it went through.

    They hold the request, and hold the error itself, too: as long as that, until the cyclic collector comes by, which
    counts objects and not bytes. One that was raised from itself leads round in a circle.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _rpc_span(method: str, metadata: Mapping[str, str | bytes]) -> tracing.Span:
    if not tracing.is_on():
        return tracing.NOTHING
    service, _, name = method.lstrip("/").partition("/")
    parent = {header: found for header in tracing.TRACE_HEADERS if (found := _text(metadata.get(header)))}
    return tracing.span(
        f"{service}/{name}",
        tracing.Kind.SERVER,
        parent=parent,
        rpc__system="grpc",
        rpc__service=service,
        rpc__method=name,
    )


def _behaviour(handler: Any) -> Callable[..., Any]:  # grpc's RpcMethodHandler
    """Return what answers: of its four fields the one that is set."""
    fields = (handler.unary_unary, handler.stream_unary, handler.unary_stream, handler.stream_stream)
    behaviour: Callable[..., Any] = next(field for field in fields if field is not None)
    return behaviour


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
