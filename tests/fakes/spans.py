"""Spans kept in memory, and a collector that takes them over OTLP, each for as long as a test needs it."""

import contextlib
from collections.abc import AsyncIterator, Iterator

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from services.chassis.telemetry import tracing
from services.chassis.telemetry.otlp import OpenTelemetryTracer


class Spans:
    """What was recorded, in the order in which it ended."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def names(self) -> list[str]:
        return [span.name for span in self.all()]

    def named(self, name: str) -> ReadableSpan:
        """The only span of a name."""
        (found,) = [span for span in self.all() if span.name == name]
        return found


@contextlib.contextmanager
def recorded_spans() -> Iterator[Spans]:
    """Record the spans of this process in memory."""
    exporter = InMemorySpanExporter()
    tracer = OpenTelemetryTracer("test", SimpleSpanProcessor(exporter))
    tracing.install(tracer)
    try:
        yield Spans(exporter)
    finally:
        tracing.install(None)
        tracer.close()


def context_of(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


def trace_of(span: ReadableSpan) -> int:
    return context_of(span).trace_id


def is_child(child: ReadableSpan, parent: ReadableSpan) -> bool:
    return child.parent is not None and child.parent.span_id == context_of(parent).span_id


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans as OpenTelemetry's own collector does."""

    def __init__(self) -> None:
        self.spans: dict[str, list[str]] = {}

    async def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            attributes = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            names = [span.name for scope in resource.scope_spans for span in scope.spans]
            self.spans.setdefault(attributes["service.name"], []).extend(names)
        return trace_service_pb2.ExportTraceServiceResponse()


@contextlib.asynccontextmanager
async def collector(address: str) -> AsyncIterator[Collector]:
    """Serve a collector at "host:port"."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    served = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(served, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(address)
    await server.start()
    try:
        yield served
    finally:
        await server.stop(0)
