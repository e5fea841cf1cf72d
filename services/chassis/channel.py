"""Client channels: every call has a deadline, carries caller and request id on, and raises domain errors."""

import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Sequence
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.chassis import auth, telemetry
from services.chassis.errors import BY_CODE, Code, DeadlineExceeded, DomainError, Internal
from services.chassis.renewed_channel import RenewedChannel
from services.chassis.server import MAX_MESSAGE_BYTES, time_left_s
from services.chassis.telemetry import tracing
from services.chassis.tls import Identity, Pem

LONGEST_RECONNECT_MS = 1000
# Until the other end of a new connection speaks, which gRPC's `min_reconnect_backoff` means; how long to wait after one
# that was refused is told by the others. A process that waits for a core accepts late, and is there all the same.
_CONNECT_MS = 5_000
# A name is resolved when a connection ends, and no sooner after the last time; gRPC's own 30 s would add to the cache
# that a cluster's DNS has.
_RESOLVE_MS = 5_000
# A peer that is gone without a word (no power, a firewall that forgot) ends no connection. Without asking it again and
# again, every call over that connection would run into its deadline until the kernel gives up, after 15 minutes.
_KEEPALIVE_MS = 10_000
_KEEPALIVE_TIMEOUT_MS = 5_000


def connect(
    address: str, *, idempotent: Sequence[str] = (), identity: Identity | None = None, peer: str = ""
) -> grpc.aio.Channel:
    """Open a channel to a service of the mesh.

    Calls without a timeout are a fault of the program and raise ValueError. A timeout is cut to what the caller of the
    request at hand still waits. Token, network and request id of that request travel along, the token unless the call
    sets its own `authorization`.

    Of a service with several addresses, calls go only to those that say by gRPC health that they serve: one that is
    about to end says so before it refuses anything, and one that has just begun is found within a second.

    Args:
        address: gRPC target, for example "127.0.0.1:7401", "dns:///retriever.museed:7403" or
            "ipv4:127.0.0.1:7401,127.0.0.1:7411".
        idempotent: Full method names, "/package.Service/Method", that are tried up to four times while UNAVAILABLE.
        identity: Who this process is; None speaks without TLS.
        peer: Whom its certificate must name, at whichever of the addresses: "social". Needed with an identity.
    """
    names = [dict(zip(("service", "method"), method.lstrip("/").split("/"), strict=True)) for method in idempotent]
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if "," in address or address.startswith("dns:"):
        # Not of a single one: its own refusals say more than that nobody serves.
        config["healthCheckConfig"] = {"serviceName": ""}
    if names:
        config["methodConfig"] = [
            {
                "name": names,
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 3,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    options: list[tuple[str, str | int]] = [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.min_reconnect_backoff_ms", _CONNECT_MS),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", LONGEST_RECONNECT_MS),
        ("grpc.dns_min_time_between_resolutions_ms", _RESOLVE_MS),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", _KEEPALIVE_TIMEOUT_MS),  # the one that counts where a ping is unanswered
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    borders = [_UnaryBorder(), _StreamBorder(), _ExchangeBorder()]
    if identity is None:
        return grpc.aio.insecure_channel(address, options=options, interceptors=borders)
    if not peer:
        raise ValueError(f"who is at {address} must be said")
    options.append(("grpc.ssl_target_name_override", peer))

    def open_with(pem: Pem) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(pem.ca, pem.key, pem.chain)
        return grpc.aio.secure_channel(address, credentials, options=options, interceptors=borders)

    return RenewedChannel(identity, open_with)


def _prepare(details: grpc.aio.ClientCallDetails, span: tracing.Span) -> grpc.aio.ClientCallDetails:
    if details.timeout is None:
        raise ValueError(f"{details.method!r} was called without a timeout")
    left = time_left_s()
    timeout = details.timeout if left is None else min(details.timeout, left)
    if timeout <= 0:
        raise DeadlineExceeded("the deadline has passed")
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    if metadata.get("authorization") is None and auth.bearer_token():
        metadata.add("authorization", f"Bearer {auth.bearer_token()}")
    if telemetry.request_id():
        metadata.add(telemetry.REQUEST_ID_HEADER, telemetry.request_id())
    if auth.client():
        metadata.add(auth.CLIENT_HEADER, auth.client())
    for header, value in span.headers().items():
        metadata.add(header, value)
    return grpc.aio.ClientCallDetails(details.method, timeout, metadata, details.credentials, details.wait_for_ready)


class _UnaryBorder(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        with _call_span(client_call_details) as span:
            call = await continuation(_prepare(client_call_details, span), request)
            try:
                return await call
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from error


class _StreamBorder(grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        span = _call_span(client_call_details)
        return _TranslatedCall(await _begun(continuation, client_call_details, span, request_iterator), span)


class _ExchangeBorder(grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: Any,
    ) -> AsyncIterator[Any]:
        span = _call_span(client_call_details)
        return _translated(await _begun(continuation, client_call_details, span, request_iterator), span)


async def _begun(
    continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
    details: grpc.aio.ClientCallDetails,
    span: tracing.Span,
    request_iterator: Any,
) -> Any:
    """Begin a streaming call, whose span ends with it, or here where it does not come to that."""
    try:
        return await continuation(_prepare(details, span), request_iterator)
    except BaseException as error:
        span.fail(error)
        span.end()
        raise


def _call_span(details: grpc.aio.ClientCallDetails) -> tracing.Span:
    if not tracing.is_on():
        return tracing.NOTHING
    method = details.method.decode() if isinstance(details.method, bytes) else details.method
    service, _, name = method.lstrip("/").partition("/")
    return tracing.span(
        f"{service}/{name}", tracing.Kind.CLIENT, rpc__system="grpc", rpc__service=service, rpc__method=name
    )


async def _translated(call: AsyncIterable[Any], span: tracing.Span) -> AsyncIterator[Any]:
    try:
        async for response in call:
            yield response
    except grpc.aio.AioRpcError as error:
        refusal = from_rpc_error(error)
        span.fail(refusal)
        raise refusal from error
    except BaseException as error:
        span.fail(error)
        raise
    finally:
        span.end()


class _TranslatedCall:
    """A call whose failure is raised as a domain error. grpc wants a call from this interceptor, not its response."""

    def __init__(self, call: Any, span: tracing.Span) -> None:
        self._call = call
        self._span = span

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            return (yield from self._call.__await__())
        except grpc.aio.AioRpcError as error:
            refusal = from_rpc_error(error)
            self._span.fail(refusal)
            raise refusal from error
        except BaseException as error:
            self._span.fail(error)
            raise
        finally:
            self._span.end()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def from_rpc_error(error: grpc.aio.AioRpcError) -> DomainError:
    """Turn a status that came over the wire back into the error that was raised on the other side."""
    name = error.code().name
    kind = BY_CODE[Code(name)] if name in Code.__members__ else Internal
    message = error.details() or f"the call failed with {name}"
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # has what a Call is asked for here
    except ValueError:  # details that do not match the code: somebody else's server
        status = None
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            found = dict(info.metadata)
            retry = found.get("retry_after_ms")
            return kind(
                message,
                reason=info.reason,
                field=found.get("field"),
                value=found.get("value"),
                limit=found.get("limit"),
                retry_after_ms=int(retry) if retry and retry.isdigit() else None,
            )
    return kind(message)
