"""What a process tells of itself, over real sockets: one trace across calls and messages, counts, a collector."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from services.chassis.auth import Access
from services.chassis.bus import SOCIAL_EVENTS, Bus, Delivery, WorkConsumer
from services.chassis.channel import connect
from services.chassis.errors import DeadlineExceeded, DomainError, Internal, InvalidArgument, NotFound, Unauthenticated
from services.chassis.server import Server
from services.chassis.telemetry import told, tracing
from services.chassis.telemetry.metrics import RpcMetrics
from services.chassis.telemetry.prometheus import CountedMessages, CountedRpcs
from tests.conftest import NatsServer, free_port
from tests.fakes.spans import Spans, collector, context_of, is_child, recorded_spans, trace_of

SERVICE = "museed.embedder.v1.EmbedderService"
SUBJECT = "museed.social.v1.job_progressed"
REQUEST = embedder_pb2.DescribeModelRequest()


class Servicer(embedder_pb2_grpc.EmbedderServiceServicer):
    """Does as `answer` does; streams read everything first."""

    def __init__(self, answer: Callable[[], object]) -> None:
        self._answer = answer

    async def DescribeModel(
        self, request: embedder_pb2.DescribeModelRequest, context: object
    ) -> embedder_pb2.DescribeModelResponse:
        result = self._answer()
        if asyncio.iscoroutine(result):
            await result
        return embedder_pb2.DescribeModelResponse()

    async def Embed(
        self, request_iterator: AsyncIterator[embedder_pb2.EmbedRequest], context: object
    ) -> embedder_pb2.EmbedResponse:
        async for _ in request_iterator:
            pass
        self._answer()
        return embedder_pb2.EmbedResponse()

    async def EmbedBatch(
        self, request_iterator: AsyncIterator[embedder_pb2.EmbedBatchRequest], context: object
    ) -> AsyncIterator[embedder_pb2.EmbedBatchResponse]:
        async for request in request_iterator:
            while request.key == "endless":
                yield embedder_pb2.EmbedBatchResponse(key="x" * 100_000)
            yield embedder_pb2.EmbedBatchResponse(key=request.key)
        self._answer()

    async def EmbedBlob(self, request: object, context: object) -> embedder_pb2.EmbedBlobResponse:
        raise NotImplementedError

    async def EmbedText(self, request: object, context: object) -> embedder_pb2.EmbedTextResponse:
        raise NotImplementedError

    async def TagTrack(self, request: object, context: object) -> embedder_pb2.TagTrackResponse:
        raise NotImplementedError


@asynccontextmanager
async def serving(
    answer: Callable[[], object], metrics: RpcMetrics | None = None
) -> AsyncIterator["embedder_pb2_grpc.EmbedderServiceAsyncStub"]:
    rows = {f"/{SERVICE}/{name}": Access.PUBLIC for name in ("DescribeModel", "Embed", "EmbedBatch")}
    server = Server("127.0.0.1:0", {**rows, f"/{SERVICE}/TagTrack": Access.USER}, metrics=metrics)
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(Servicer(answer), server.grpc)
    await server.start()
    async with connect(f"127.0.0.1:{server.port}") as channel:
        yield embedder_pb2_grpc.EmbedderServiceStub(channel)
    await server.drain(0.1)


def raising(error: Exception) -> Callable[[], object]:
    def answer() -> object:
        raise error

    return answer


def halves(spans: Spans, name: str) -> tuple[object, ...]:
    """Client's and server's span of the only call of a name."""
    found = {span.kind.name: span for span in spans.all() if span.name == name}
    assert set(found) == {"CLIENT", "SERVER"}
    assert is_child(found["SERVER"], found["CLIENT"])
    return found["CLIENT"], found["SERVER"]


async def sounds() -> AsyncIterator[embedder_pb2.EmbedRequest]:
    yield embedder_pb2.EmbedRequest(chunk=b"x")


async def items() -> AsyncIterator[embedder_pb2.EmbedBatchRequest]:
    yield embedder_pb2.EmbedBatchRequest(key="a")


async def test_trace_goes_through_every_kind_of_call() -> None:
    with recorded_spans() as spans:
        async with serving(lambda: None) as stub:
            with tracing.span("caller"):
                await stub.DescribeModel(REQUEST, timeout=30)
                await stub.Embed(sounds(), timeout=30)
                assert [answer.key async for answer in stub.EmbedBatch(items(), timeout=30)] == ["a"]
    caller = spans.named("caller")
    for name in ("DescribeModel", "Embed", "EmbedBatch"):
        client, server = halves(spans, f"{SERVICE}/{name}")
        assert is_child(client, caller)  # type: ignore[arg-type]  # both are spans
        assert server.attributes["rpc.grpc.status_code"] == 0  # type: ignore[attr-defined]
    assert {trace_of(span) for span in spans.all()} == {trace_of(caller)}


async def test_refusals_of_every_kind_of_call_are_told_on_both_sides() -> None:
    error = NotFound("no track of eve@example.org", reason="TRACK_NOT_FOUND")
    with recorded_spans() as spans:
        async with serving(raising(error)) as stub:
            with pytest.raises(NotFound):
                await stub.DescribeModel(REQUEST, timeout=30)
            with pytest.raises(NotFound):
                await stub.Embed(sounds(), timeout=30)
            with pytest.raises(NotFound):
                _ = [answer async for answer in stub.EmbedBatch(items(), timeout=30)]
    assert len(spans.all()) == 6
    for span in spans.all():
        attributes = dict(span.attributes or {})
        assert (attributes["error.type"], attributes["museed.code"]) == ("TRACK_NOT_FOUND", "NOT_FOUND")
        assert attributes.get("rpc.grpc.status_code") == (5 if span.kind.name == "SERVER" else None)
        assert "example.org" not in span.to_json()


async def test_handlers_downstream_calls_are_part_of_the_trace() -> None:
    with recorded_spans() as spans:
        async with serving(lambda: None) as far:

            async def call_on() -> None:
                await far.DescribeModel(REQUEST, timeout=30)

            async with serving(call_on) as near:
                await near.DescribeModel(REQUEST, timeout=30)
    kinds = [span.kind.name for span in spans.all()]
    assert sorted(kinds) == ["CLIENT", "CLIENT", "SERVER", "SERVER"]
    assert len({trace_of(span) for span in spans.all()}) == 1
    by_id = {context_of(span).span_id: span for span in spans.all()}
    (inner,) = [span for span in spans.all() if span.kind.name == "CLIENT" and span.parent is not None]
    assert inner.parent is not None
    assert by_id[inner.parent.span_id].kind.name == "SERVER"


async def test_calls_are_counted_by_method_code_and_reason() -> None:
    registry = CollectorRegistry()
    metrics = CountedRpcs(registry)
    errors: list[Exception] = [
        NotFound("no", reason="TRACK_NOT_FOUND"),
        InvalidArgument("bad", reason="LENGTH_OUT_OF_RANGE"),
        RuntimeError("broken"),
        TimeoutError(),
    ]
    async with serving(lambda: None, metrics) as stub:
        await stub.DescribeModel(REQUEST, timeout=30)
        with pytest.raises(Unauthenticated):
            await stub.TagTrack(embedder_pb2.TagTrackRequest(), timeout=30)
    for error in errors:
        async with serving(raising(error), metrics) as stub:
            with pytest.raises(DomainError):
                await stub.DescribeModel(REQUEST, timeout=30)
    found = {
        (sample.labels["method"].rpartition("/")[2], sample.labels["code"], sample.labels["reason"]): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "museed_rpc_handled_total"
    }
    assert found == {
        ("DescribeModel", "OK", ""): 1,
        ("TagTrack", "UNAUTHENTICATED", "LOGIN_REQUIRED"): 1,
        ("DescribeModel", "NOT_FOUND", "TRACK_NOT_FOUND"): 1,
        ("DescribeModel", "INVALID_ARGUMENT", "LENGTH_OUT_OF_RANGE"): 1,
        ("DescribeModel", "INTERNAL", "INTERNAL"): 1,
        ("DescribeModel", "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"): 1,
    }
    labels = {"method": f"/{SERVICE}/DescribeModel"}
    assert registry.get_sample_value("museed_rpc_in_flight", labels) == 0
    assert registry.get_sample_value("museed_rpc_duration_seconds_count", labels) == 5


async def test_caller_who_leaves_is_counted_as_such() -> None:
    registry = CollectorRegistry()
    arrived, left = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    async with serving(wait, CountedRpcs(registry)) as stub:
        call = asyncio.ensure_future(stub.DescribeModel(REQUEST, timeout=30))
        await arrived.wait()
        call.cancel()
        await left.wait()
        await asyncio.sleep(0)
        labels = {"method": f"/{SERVICE}/DescribeModel", "code": "CANCELLED", "reason": ""}
        async with asyncio.timeout(60):
            while registry.get_sample_value("museed_rpc_handled_total", labels) != 1:
                await asyncio.sleep(0.01)
    assert registry.get_sample_value("museed_rpc_in_flight", {"method": f"/{SERVICE}/DescribeModel"}) == 0


async def test_caller_who_leaves_a_stream_is_counted_as_such() -> None:
    registry = CollectorRegistry()
    method = f"/{SERVICE}/EmbedBatch"

    async def endless() -> AsyncIterator[embedder_pb2.EmbedBatchRequest]:
        yield embedder_pb2.EmbedBatchRequest(key="endless")

    async with serving(lambda: None, CountedRpcs(registry)) as stub:
        call = stub.EmbedBatch(endless(), timeout=30)
        answers = aiter(call)
        await anext(answers)
        await asyncio.sleep(0.2)  # what nobody reads holds up the one who answers
        call.cancel()
        async with asyncio.timeout(60):
            while registry.get_sample_value("museed_rpc_in_flight", {"method": method}) != 0:
                await asyncio.sleep(0.01)
        labels = {"method": method, "code": "CANCELLED", "reason": ""}
        assert registry.get_sample_value("museed_rpc_handled_total", labels) == 1


async def test_call_that_does_not_begin_has_a_span_that_ends() -> None:
    with recorded_spans() as spans:
        async with serving(lambda: None) as stub:
            with pytest.raises(DeadlineExceeded):
                await stub.Embed(sounds(), timeout=-1)
            with pytest.raises(DeadlineExceeded):
                await anext(aiter(stub.EmbedBatch(items(), timeout=-1)))
    assert sorted(spans.names()) == [f"{SERVICE}/Embed", f"{SERVICE}/EmbedBatch"]
    assert {dict(span.attributes or {})["error.type"] for span in spans.all()} == {"DEADLINE_EXCEEDED"}


async def test_stream_that_its_caller_leaves_is_marked_on_the_callers_side() -> None:
    async def waits() -> AsyncIterator[embedder_pb2.EmbedBatchRequest]:
        yield embedder_pb2.EmbedBatchRequest(key="a")
        await asyncio.Event().wait()

    arrived = asyncio.Event()

    async def read(stub: "embedder_pb2_grpc.EmbedderServiceAsyncStub") -> None:
        async for _ in stub.EmbedBatch(waits(), timeout=30):
            arrived.set()

    with recorded_spans() as spans:
        async with serving(lambda: None) as stub:
            reading = asyncio.create_task(read(stub))
            await arrived.wait()
            reading.cancel()
            await asyncio.wait({reading})

            def ended() -> list[bool]:
                found = [span for span in spans.all() if span.kind.name == "CLIENT"]
                return [bool(dict(span.attributes or {}).get("museed.cancelled")) for span in found]

            async with asyncio.timeout(60):
                while not ended():
                    await asyncio.sleep(0.01)
            assert ended() == [True]


async def test_trace_and_counts_go_through_nats(nats_server: NatsServer, bus: Bus) -> None:
    registry = CollectorRegistry()
    counted = await Bus.connect(nats_server.settings("social"), "social", CountedMessages(registry))
    done = asyncio.Event()
    attempts: list[int] = []

    async def handler(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if len(attempts) == 1:
            raise Internal("first")
        with tracing.span("inside"):
            done.set()

    consumer = WorkConsumer(counted, stream=SOCIAL_EVENTS, durable="test", subject=SUBJECT, handler=handler)
    with recorded_spans() as spans:
        with tracing.span("request"):
            await counted.publish(SUBJECT, b"payload", "event-1")
            await counted.publish(SUBJECT, b"payload", "event-1")
        working = asyncio.create_task(consumer.run())
        async with asyncio.timeout(60):
            await done.wait()
        consumer.stop()
        await working
        await counted.close()
    request = spans.named("request")
    published = [span for span in spans.all() if span.name == "publish SOCIAL_EVENTS"]
    failed, handled = [span for span in spans.all() if span.name == "process SOCIAL_EVENTS"]
    assert all(is_child(span, request) for span in published)
    # The second was a duplicate: what is stored names the first.
    assert is_child(failed, published[0])
    assert is_child(handled, published[0])
    assert is_child(spans.named("inside"), handled)
    assert [dict(span.attributes or {})["museed.attempt"] for span in (failed, handled)] == [1, 2]
    assert dict(failed.attributes or {})["error.type"] == "INTERNAL"

    def count(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"museed_bus_{name}", {"stream": SOCIAL_EVENTS, **labels})

    assert count("published_total", outcome="stored") == 1
    assert count("published_total", outcome="duplicate") == 1
    assert count("deliveries_total") == 2
    assert count("redeliveries_total") == 1
    assert count("handled_total", outcome="retried") == 1
    assert count("handled_total", outcome="acked") == 1
    assert count("in_flight") == 0
    # Of the first delivery alone.
    assert count("wait_seconds_count") == 1


async def test_calls_for_a_request_have_a_log_line_and_what_processes_ask_by_themselves_has_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def told_lines() -> list[dict[str, Any]]:  # others log what ends late
        return [vars(record) for record in caplog.records if record.name == "services.chassis.telemetry.logs"]

    caplog.set_level("INFO", "services.chassis.telemetry.logs")
    async with serving(lambda: None) as stub:
        await stub.DescribeModel(REQUEST, timeout=30)
    assert told_lines() == []
    async with serving(raising(NotFound("no", reason="TRACK_NOT_FOUND"))) as stub:
        request = (("museed-request-id", "one"),)
        with pytest.raises(NotFound):
            await stub.DescribeModel(REQUEST, timeout=30, metadata=request)
    (line,) = told_lines()
    told = {name: line[name] for name in ("msg", "method", "code", "reason")}
    method = f"/{SERVICE}/DescribeModel"
    assert told == {"msg": "rpc", "method": method, "code": "NOT_FOUND", "reason": "TRACK_NOT_FOUND"}


async def test_spans_reach_a_collector_before_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    async with collector(f"127.0.0.1:{port}") as served:
        async with told("embedder", "", "UNUSED"):
            with tracing.span("decode"), tracing.span("model"):
                pass
        assert served.spans == {"embedder": ["model", "decode"]}
    assert not tracing.is_on()


async def test_collector_that_is_away_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "32")
    monkeypatch.setattr("services.chassis.telemetry.otlp._FLUSH_TIMEOUT_S", 0.3)
    async with asyncio.timeout(20):  # of the 30 s that the SDK by itself would wait
        async with told("embedder", "", "UNUSED"):
            for _ in range(1000):
                with tracing.span("decode"):
                    pass
    assert "spans_not_sent" in caplog.text
    assert not tracing.is_on()
