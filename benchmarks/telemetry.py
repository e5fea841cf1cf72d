"""What does a span cost where none is recorded, and where each is?

Microseconds a span with one attribute, inside of another one, without the loop around it; best of five rounds that
take turns. Recorded spans go through the SDK's queue and its thread to an exporter that throws them away: what a
collector takes is not counted.

Usage: python -m benchmarks.telemetry [SPANS]
"""

import sys
import time
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from services.chassis.telemetry import tracing
from services.chassis.telemetry.otlp import OpenTelemetryTracer

_ROUNDS = 5


class Nowhere(SpanExporter):
    """Throws every span away."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take spans."""
        return SpanExportResult.SUCCESS


def loop_us(spans: int) -> float:
    """Time a loop that does nothing."""
    began = time.perf_counter()
    for _ in range(spans):
        pass
    return 1e6 * (time.perf_counter() - began) / spans


def spans_us(spans: int) -> float:
    """Time as many spans."""
    with tracing.span("batch"):
        began = time.perf_counter()
        for number in range(spans):
            with tracing.span("decode", museed__windows=number):
                pass
        return 1e6 * (time.perf_counter() - began) / spans


def main() -> None:
    """Print both costs."""
    spans = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    tracer = OpenTelemetryTracer("benchmark", BatchSpanProcessor(Nowhere()))
    taken: list[tuple[float, float, float]] = []
    for _ in range(_ROUNDS):
        loop, off = loop_us(spans), spans_us(spans)
        tracing.install(tracer)
        taken.append((loop, off, spans_us(spans)))
        tracing.install(None)
    tracer.close()
    loop, off, on = (min(column) for column in zip(*taken, strict=True))
    print(f"without a collector {off - loop:.2f} µs a span, with one {on - loop:.1f} µs")


if __name__ == "__main__":
    main()
