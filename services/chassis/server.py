"""The gRPC server of every process: health, reflection, errors, callers, request ids, and a clean end."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

import grpc
import uvloop
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from services.chassis import auth, telemetry
from services.chassis.errors import Code, DeadlineExceeded, DomainError, Internal, PermissionDenied
from services.chassis.telemetry import tracing
from services.chassis.telemetry.metrics import RpcMetrics

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
ERROR_DOMAIN = "museed"
# Without our ACCESS table: the protocols that probes and tools speak.
_OPEN_PREFIXES = ("/grpc.health.v1.", "/grpc.reflection.")

# By whether requests and responses are streams.
_MAKERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}

_OK = "OK"
_NUMBERS: dict[str, int] = {_OK: 0} | {code.value: grpc.StatusCode[code.value].value[0] for code in Code}

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


class _BorderInterceptor(grpc.aio.ServerInterceptor):
    """Binds caller, request id and deadline to each call, checks its access, translates what it raises, and counts."""

    def __init__(
        self, access: Mapping[str, auth.Access], verifier: auth.TokenVerifier | None, metrics: RpcMetrics
    ) -> None:
        self._access = access
        self._verifier = verifier
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # grpc's RpcMethodHandler, whose fields grpc types loosely
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_OPEN_PREFIXES):
            return handler
        behaviour = _behaviour(handler)

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            async with self._guarded(method, context):
                return await behaviour(request, context)

        async def answer_many(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            async with self._guarded(method, context):
                async for response in behaviour(request, context):
                    yield response

        make = _MAKERS[handler.request_streaming, handler.response_streaming]
        guarded = answer_many if handler.response_streaming else answer
        return make(guarded, handler.request_deserializer, handler.response_serializer)

    @contextlib.asynccontextmanager
    async def _guarded(self, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
        """Bind the call at hand, and end it with a status where its handler raises."""
        metadata = dict(context.invocation_metadata() or ())
        telemetry.begin_request(_text(metadata.get(telemetry.REQUEST_ID_HEADER)))
        remaining = context.time_remaining()
        _deadline.set(None if remaining is None else time.monotonic() + remaining)
        began = time.monotonic()
        self._metrics.began(method)
        code, reason = "UNKNOWN", ""
        try:
            with _rpc_span(method, metadata) as span:
                refusal: DomainError | None = None
                try:
                    await self._admit(method, _text(metadata.get("authorization")))
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
        finally:
            self._metrics.ended(method, code, reason, time.monotonic() - began)
        if refusal is not None:
            await context.abort_with_status(rpc_status.to_status(to_status(refusal)))

    async def _admit(self, method: str, authorization: str | None) -> None:
        access = self._access.get(method)
        if access is None:
            raise PermissionDenied(f"{method} has no access rule", reason="PERMISSION_DENIED")
        token = (authorization or "").removeprefix("Bearer ").strip()
        who = await self._verifier.verify(token) if token and self._verifier is not None else None
        auth.bind(token if who is not None else "", who)
        auth.check(access, who)


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


class Server:
    """A grpc.aio server with the manners of the mesh. Add servicers to `grpc`, then start, then `set_serving`.

    Args:
        address: Where to listen, for example "127.0.0.1:7101"; port 0 picks a free one.
        access: Who may call each RPC, by full method name "/package.Service/Method"; an RPC without a row is refused.
        verifier: Verifies callers' tokens; None where no RPC needs one.
        max_concurrent_rpcs: Further calls are refused with RESOURCE_EXHAUSTED.
        metrics: Counts calls; None counts nothing.
    """

    def __init__(
        self,
        address: str,
        access: Mapping[str, auth.Access],
        verifier: auth.TokenVerifier | None = None,
        max_concurrent_rpcs: int = 512,
        metrics: RpcMetrics | None = None,
    ) -> None:
        self.grpc = grpc.aio.server(
            interceptors=[_BorderInterceptor(access, verifier, metrics or RpcMetrics())],
            maximum_concurrent_rpcs=max_concurrent_rpcs,
            options=[
                ("grpc.so_reuseport", 0),  # a taken port must be an error, not a second server behind it
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_connection_age_ms", 30 * 60 * 1000),  # lets clients find new replicas
                ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
            ],
        )
        self._address = address
        self._services = sorted({method.split("/")[1] for method in access})
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        reflection.enable_server_reflection([*self._services, health.SERVICE_NAME], self.grpc)
        self.port = 0

    async def start(self) -> None:
        """Listen; health says NOT_SERVING until `set_serving(True)`.

        Raises:
            SystemExit: The address is taken; the text names it.
        """
        await self.set_serving(False)
        try:
            self.port = self.grpc.add_insecure_port(self._address)
        except RuntimeError as error:
            raise SystemExit(f"cannot listen on {self._address}: is the port taken by another process?") from error
        await self.grpc.start()
        logger.info("listening", extra={"address": self._address, "port": self.port})

    async def set_serving(self, is_serving: bool) -> None:
        """Say by gRPC health whether this process should get calls."""
        state = health_pb2.HealthCheckResponse.SERVING if is_serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._services):
            await self._health.set(name, state)

    async def drain(self, grace_s: float = 10.0) -> None:
        """Take no new calls, let those in flight end, then close."""
        await self._health.enter_graceful_shutdown()
        await self.grpc.stop(grace_s)


async def wait_for_signal() -> None:
    """Return when the process is asked to end, by SIGTERM or SIGINT."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    await asked.wait()
    logger.info("stopping")


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a process's main coroutine on uvloop."""

    async def call() -> None:
        await main()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(call())
