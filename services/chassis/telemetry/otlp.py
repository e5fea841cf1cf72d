"""Records spans with OpenTelemetry and sends them to a collector over OTLP; imported only where that is asked for."""

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_NAMESPACE, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.chassis.telemetry import tracing
from services.chassis.telemetry.tracing import Attribute, Headers, Kind, Recorder

logger = logging.getLogger(__name__)

_PROPAGATOR = TraceContextTextMapPropagator()
_FLUSH_TIMEOUT_S = 3.0
_KINDS = {kind: trace.SpanKind[kind.value] for kind in Kind}


class _Recorder:
    """A span of the SDK."""

    def __init__(self, span: trace.Span) -> None:
        self.span = span

    def note(self, attributes: Mapping[str, Attribute]) -> None:
        self.span.set_attributes(attributes)

    def fail(self, description: str) -> None:
        self.span.set_status(trace.StatusCode.ERROR, description)

    def end(self) -> None:
        self.span.end()

    def headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        _PROPAGATOR.inject(found, trace.set_span_in_context(self.span, Context()))
        return found

    def ids(self) -> tuple[str, str]:
        own = self.span.get_span_context()
        return trace.format_trace_id(own.trace_id), trace.format_span_id(own.span_id)


class OpenTelemetryTracer:
    """A `tracing.Tracer` of the SDK.

    Args:
        service: Name of the process.
        processor: Takes the spans that ended; must not block.
    """

    def __init__(self, service: str, processor: SpanProcessor) -> None:
        self._processor = processor
        resource = Resource.create({SERVICE_NAME: service, SERVICE_NAMESPACE: "museed"})
        # Not at exit: that could wait for a collector that is away.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("museed")

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: Recorder | Headers | None,
        links: Sequence[Headers],
        attributes: Mapping[str, Attribute],
        began_ns: int | None,
    ) -> Recorder:
        """Begin a span; see `tracing.Tracer`."""
        span = self._tracer.start_span(
            name,
            _context(parent),
            _KINDS[kind],
            attributes,
            [trace.Link(found) for each in links if (found := _span_context(each)).is_valid],
            began_ns,
            record_exception=False,
            set_status_on_exception=False,
        )
        return _Recorder(span)

    def close(self) -> None:
        """Send what is left; blocks."""
        self._provider.shutdown()


class Exporting:
    """Spans on their way to the collector: a bounded queue that drops when full, and a thread of its own."""

    def __init__(self, service: str) -> None:
        self._exporter = OTLPSpanExporter()
        self._tracer = OpenTelemetryTracer(service, BatchSpanProcessor(self._exporter))
        tracing.install(self._tracer)
        logger.info("tracing_to_collector")

    async def close(self) -> None:
        """Send what is left; a collector that does not take it in time does not get it."""
        tracing.install(None)
        ended = threading.Event()

        def flush() -> None:
            self._tracer.close()
            ended.set()

        # A daemon, unlike a pool's thread: a collector that hangs must not keep the process.
        threading.Thread(target=flush, name="spans-flush", daemon=True).start()
        if not await asyncio.to_thread(ended.wait, _FLUSH_TIMEOUT_S):
            logger.warning("spans_not_sent", extra={"timeout_s": _FLUSH_TIMEOUT_S})
            await asyncio.to_thread(self._exporter.shutdown)


def _context(parent: Recorder | Headers | None) -> Context:
    if isinstance(parent, _Recorder):
        return trace.set_span_in_context(parent.span, Context())
    if isinstance(parent, Mapping):
        return _PROPAGATOR.extract(parent, Context())
    return Context()


def _span_context(headers: Headers) -> trace.SpanContext:
    return trace.get_current_span(_PROPAGATOR.extract(headers, Context())).get_span_context()
