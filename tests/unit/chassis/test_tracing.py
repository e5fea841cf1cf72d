import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
from opentelemetry.trace import StatusCode

from services.chassis.errors import InvalidArgument
from services.chassis.settings import SettingsError, load
from services.chassis.telemetry import configure_logging, tracing
from services.chassis.telemetry.settings import OtlpSettings
from tests.fakes.spans import Spans, context_of, is_child, recorded_spans, trace_of

FAR = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
FAR_TRACE = 0x0AF7651916CD43DD8448EB211C80319C


@pytest.fixture
def spans() -> Iterator[Spans]:
    with recorded_spans() as found:
        yield found


def test_span_inside_of_another_is_its_child(spans: Spans) -> None:
    with tracing.span("outer"), tracing.span("inner", museed__windows=3):
        pass
    inner, outer = spans.all()
    assert is_child(inner, outer)
    assert dict(inner.attributes or {}) == {"museed.windows": 3}
    assert outer.parent is None
    assert tracing.headers() == {}


def test_span_of_another_process_goes_on_here(spans: Spans) -> None:
    with tracing.span("here", tracing.Kind.SERVER, parent=FAR):
        told = tracing.headers()["traceparent"]
    here = spans.named("here")
    assert here.parent is not None
    assert (trace_of(here), here.parent.span_id) == (FAR_TRACE, 0xB7AD6B7169203331)
    assert told == f"00-{FAR_TRACE:032x}-{context_of(here).span_id:016x}-01"


@pytest.mark.parametrize("headers", [{}, {"traceparent": "nonsense"}, {"traceparent": "00-" + "0" * 32 + "-1-01"}])
def test_without_sane_headers_a_trace_begins_even_inside_of_another(spans: Spans, headers: dict[str, str]) -> None:
    with tracing.span("outer"), tracing.span("root", parent=headers):
        pass
    root, outer = spans.all()
    assert root.parent is None
    assert trace_of(root) != trace_of(outer)


def test_what_was_kept_with_a_row_is_the_parent_later(spans: Spans) -> None:
    with tracing.span("promise"):
        kept = tracing.parent_header()
    with tracing.within_header(kept), tracing.span("publish"):
        pass
    with tracing.within_header(""), tracing.span("alone"):
        pass
    assert is_child(spans.named("publish"), spans.named("promise"))
    assert spans.named("alone").parent is None


def test_record_tells_of_what_is_over(spans: Spans) -> None:
    with tracing.span("file"):
        tracing.record("queue_wait", 2.0, museed__lane="bulk")
    waited = spans.named("queue_wait")
    assert is_child(waited, spans.named("file"))
    assert waited.end_time is not None
    assert waited.start_time is not None
    assert 2.0 <= (waited.end_time - waited.start_time) / 1e9 < 3.0


def test_batch_is_linked_to_its_members(spans: Spans) -> None:
    members = []
    for name in ("one", "two"):
        with tracing.span(name):
            members.append(tracing.headers())
    with tracing.span("batch", links=[*members, {}]):
        pass
    batch = spans.named("batch")
    assert [link.context.span_id for link in batch.links] == [
        context_of(spans.named(name)).span_id for name in ("one", "two")
    ]


def test_failure_is_told_by_code_and_reason_and_never_by_text(spans: Spans) -> None:
    refusal = InvalidArgument("mail is eve@example.org", reason="MAIL_TAKEN", field="mail", value="eve@example.org")
    with pytest.raises(InvalidArgument), tracing.span("refused"):
        raise refusal
    with pytest.raises(ValueError, match="eve"), tracing.span("broken"):
        raise ValueError("eve@example.org")
    refused, broken = spans.all()
    assert dict(refused.attributes or {}) == {"error.type": "MAIL_TAKEN", "museed.code": "INVALID_ARGUMENT"}
    assert (refused.status.status_code, refused.status.description) == (StatusCode.ERROR, "MAIL_TAKEN")
    assert dict(broken.attributes or {}) == {"error.type": "ValueError"}
    assert not refused.events
    assert "example.org" not in refused.to_json() + broken.to_json()


async def test_cancelled_is_no_failure(spans: Spans) -> None:
    with pytest.raises(asyncio.CancelledError), tracing.span("left"):
        raise asyncio.CancelledError
    left = spans.named("left")
    assert left.status.status_code is StatusCode.UNSET
    assert dict(left.attributes or {}) == {"museed.cancelled": True}


async def test_tasks_keep_their_spans_apart(spans: Spans) -> None:
    async def work(name: str) -> None:
        with tracing.span(name):
            await asyncio.sleep(0)
            with tracing.span(f"{name} inner"):
                await asyncio.sleep(0)

    await asyncio.gather(work("a"), work("b"))
    assert is_child(spans.named("a inner"), spans.named("a"))
    assert is_child(spans.named("b inner"), spans.named("b"))
    assert trace_of(spans.named("a")) != trace_of(spans.named("b"))


def test_nothing_is_recorded_while_it_is_off() -> None:
    with tracing.span("off", museed__windows=1) as span, tracing.within(FAR):
        span.note(more=1)
        assert (tracing.headers(), span.headers(), tracing.ids(), tracing.is_on()) == ({}, {}, None, False)
    tracing.record("off", 1.0)


def test_log_lines_tell_the_trace_only_where_there_is_one(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure_logging("test")
        logging.getLogger("test").info("outside")
        with tracing.span("inside"):
            logging.getLogger("test").info("inside")
    finally:
        root.handlers[:], root.level = before
        logging.captureWarnings(False)
    outside, inside = (json.loads(line) for line in written.getvalue().splitlines())
    found = context_of(spans.named("inside"))
    assert (inside["trace_id"], inside["span_id"]) == (f"{found.trace_id:032x}", f"{found.span_id:016x}")
    assert "trace_id" not in outside


@pytest.mark.parametrize(
    ("variables", "is_on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_standard_variables_switch_it_on(
    variables: dict[str, str], is_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert load(OtlpSettings).is_on is is_on


def test_protocol_that_is_not_spoken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_PROTOCOL: Input should be 'grpc'"):
        load(OtlpSettings)
