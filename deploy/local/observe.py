"""Shows what requests do in a mesh on one machine (`museed up --observe`): spans are drawn, or sent to a collector."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from rich.console import Console

from deploy.local.ports import LOOPBACK
from deploy.local.span_trees import SpanRow, SpanTrees
from deploy.local.state import StateError

# As a setting: draw them here.
CONSOLE = "console"
_LOOK_INTERVAL_S = 0.25
# Of the processes, while somebody watches; OpenTelemetry's own is five seconds.
_SEND_EVERY_MS = 500
_SCHEMES = {"grpc": "http", "grpcs": "https"}


def endpoint_of(collector: str) -> str:
    """Return a collector's address as OpenTelemetry wants it.

    Args:
        collector: "grpc://host:port", or "grpcs://host:port" with TLS.

    Raises:
        StateError: It is no such address.
    """
    scheme, _, place = collector.partition("://")
    host, _, port = place.rpartition(":")
    if scheme not in _SCHEMES or not host or not (port.isascii() and port.isdigit()):
        raise StateError(f"{collector!r} is no collector: give grpc://host:port, or grpcs://host:port with TLS")
    return f"{_SCHEMES[scheme]}://{place}"


@contextlib.asynccontextmanager
async def observed(where: str, console: Console) -> AsyncIterator[dict[str, str]]:
    """Take the spans of a mesh inside of an `async with`.

    Args:
        where: CONSOLE, the address of a collector, or empty for nowhere.
        console: Where trees are drawn.

    Yields:
        Variables for the processes whose spans these are.

    Raises:
        StateError: The address is none.
    """
    if where != CONSOLE:
        yield {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint_of(where)} if where else {}
        return
    trees = SpanTrees(time.monotonic)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Collector(trees.take), server)  # type: ignore[no-untyped-call]  # generated
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    drawing = asyncio.create_task(_draw(trees, console))
    try:
        yield {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": str(_SEND_EVERY_MS),
        }
    finally:
        drawing.cancel()
        await asyncio.wait({drawing})
        await server.stop(None)


async def _draw(trees: SpanTrees, console: Console) -> None:
    while True:
        for tree in trees.ready():
            console.print(tree)
        await asyncio.sleep(_LOOK_INTERVAL_S)


class _Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, take: Callable[[Iterator[SpanRow]], None]) -> None:
        self._take = take

    async def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Take what a process sends."""
        self._take(rows(request))
        return trace_service_pb2.ExportTraceServiceResponse()


def rows(request: trace_service_pb2.ExportTraceServiceRequest) -> Iterator[SpanRow]:
    """Yield the spans of a message."""
    for resource in request.resource_spans:
        told = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield SpanRow(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    service=told.get("service.name", ""),
                    name=span.name,
                    began_ns=span.start_time_unix_nano,
                    ended_ns=span.end_time_unix_nano,
                    fault=span.status.message or "failed" if span.status.code == Status.STATUS_CODE_ERROR else "",
                    process=told.get("service.instance.id", ""),
                )
