"""Where spans of a mesh on one machine go."""

import asyncio
from io import StringIO

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from rich.console import Console
from typer.testing import CliRunner

from deploy.local import span_trees
from deploy.local.cli import app
from deploy.local.observe import CONSOLE, endpoint_of, observed
from deploy.local.state import StateError


def export(service: str, *spans: Span, process: str = "") -> trace_service_pb2.ExportTraceServiceRequest:
    told = {"service.name": service} | ({"service.instance.id": process} if process else {})
    attributes = [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in told.items()]
    scopes = [ScopeSpans(spans=spans)]
    return trace_service_pb2.ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=Resource(attributes=attributes), scope_spans=scopes)]
    )


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        ("grpc://127.0.0.1:4317", "http://127.0.0.1:4317"),
        ("grpcs://otel.example.org:443", "https://otel.example.org:443"),
    ],
)
def test_collector_is_told_as_opentelemetry_wants_it(given: str, endpoint: str) -> None:
    assert endpoint_of(given) == endpoint


@pytest.mark.parametrize(
    "given", ["", "127.0.0.1:4317", "http://127.0.0.1:4317", "grpc://host", "grpc://:1", "grpc://host:x"]
)
def test_what_is_no_collector_is_refused(given: str) -> None:
    with pytest.raises(StateError, match="is no collector: give grpc://host:port"):
        endpoint_of(given)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [(["--observe", "http://x:1"], "is no collector"), (["grpc://x:1"], "only of use with --observe")],
)
def test_museed_up_refuses_a_collector_before_anything_starts(arguments: list[str], fault: str) -> None:
    done = CliRunner().invoke(app, ["up", "--state", "/nowhere/at/all", *arguments])
    assert done.exit_code == 2
    assert fault in " ".join(done.output.split())


async def test_nobody_watches_unless_asked_for() -> None:
    async with observed("", Console(file=StringIO())) as variables:
        assert variables == {}


async def test_collector_elsewhere_gets_the_spans() -> None:
    async with observed("grpc://127.0.0.1:4317", Console(file=StringIO())) as variables:
        assert variables == {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}


@pytest.mark.parametrize(
    ("width", "last"),
    [
        (100, ["    └── social.v1.A/Get  social.2  0.0 ms  +0.0  TRACK_NOT_FOUND"]),
        (50, ["    └── social.v1.A/Get  social.2  0.0 ms  +0.0", "        TRACK_NOT_FOUND"]),  # and it is not cut off
    ],
)
async def test_request_is_drawn_on_the_console(monkeypatch: pytest.MonkeyPatch, width: int, last: list[str]) -> None:
    monkeypatch.setattr(span_trees, "QUIET_S", 0.0)
    shown = StringIO()
    trace, root, child = b"t" * 16, b"r" * 8, b"c" * 8
    failed = Status(code=Status.STATUS_CODE_ERROR, message="TRACK_NOT_FOUND")
    async with observed(CONSOLE, Console(file=shown, width=width)) as variables:
        place = variables["OTEL_EXPORTER_OTLP_ENDPOINT"].removeprefix("http://")
        async with grpc.aio.insecure_channel(place) as channel:
            stub = trace_service_pb2_grpc.TraceServiceStub(channel)  # type: ignore[no-untyped-call]
            below = Span(
                trace_id=trace, span_id=child, parent_span_id=root, name="museed.social.v1.A/Get", status=failed
            )
            await stub.Export(export("social", below, process="social.2"), timeout=30)
            door = Span(trace_id=trace, span_id=root, name="POST /graphql")
            made_up = "b776de24-4cc4-4dcf-9111-0aceed746f12"  # by OpenTelemetry, of a process that says none
            await stub.Export(export("gateway", door, process=made_up), timeout=30)
        async with asyncio.timeout(60):
            while "TRACK_NOT_FOUND" not in shown.getvalue():
                await asyncio.sleep(0.01)
    lines = [line.rstrip() for line in shown.getvalue().splitlines()]
    assert lines == [
        f"trace {trace.hex()}",
        "└── POST /graphql  gateway  0.0 ms  +0.0",
        *last,
    ]
