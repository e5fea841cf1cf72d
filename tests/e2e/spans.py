"""A collector that a mesh sends its spans to, and ways from span to span."""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from deploy.local.observe import rows
from deploy.local.span_trees import SpanRow

# Of the newest; a whole run of tests makes many more.
_MOST_SPANS = 100_000


class Spans(trace_service_pb2_grpc.TraceServiceServicer):
    """What came, and where it comes to."""

    def __init__(self) -> None:
        self.address = ""
        self._rows: deque[SpanRow] = deque(maxlen=_MOST_SPANS)
        self._lock = threading.Lock()

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        with self._lock:
            self._rows.extend(rows(request))
        return trace_service_pb2.ExportTraceServiceResponse()

    def of(self, trace_id: str) -> list[SpanRow]:
        with self._lock:
            return [row for row in self._rows if row.trace_id == trace_id]

    def named(self, service: str, name: str) -> list[SpanRow]:
        with self._lock:
            return [row for row in self._rows if (row.service, row.name) == (service, name)]


def leads(rows: list[SpanRow], *steps: str) -> bool:
    """Whether each step, "service: name", is a child of a span of the step before; the first begins the trace."""
    parents = {""}
    for step in steps:
        service, _, name = step.partition(": ")
        parents = {
            row.span_id
            for row in rows
            if row.parent_id in parents and row.service == service and row.name.rpartition("museed.")[2] == name
        }
    return bool(parents)


@contextlib.contextmanager
def collected() -> Iterator[Spans]:
    server = grpc.server(ThreadPoolExecutor(2, "collector"), options=[("grpc.so_reuseport", 0)])
    found = Spans()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(found, server)  # type: ignore[no-untyped-call]
    found.address = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield found
    server.stop(None).wait()
