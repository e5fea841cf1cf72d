"""Spans of the gateway's border: named by us, whatever strangers send."""

import io
import json
import logging
import uuid

import pytest
from starlette.types import Message, Receive, Scope, Send

from services.chassis.telemetry import configure_logging
from services.gateway.border import Border
from tests.fakes.spans import recorded_spans, trace_of

FAR_TRACE = 0x0AF7651916CD43DD8448EB211C80319C
FAR_SPAN = 0xB7AD6B7169203331


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def ignored(message: Message) -> None:
    return None


def request(method: str, path: str, **headers: str) -> Scope:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "headers": pairs}


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/graphql", "POST /graphql"),
        ("HEAD", "/tracks/0190/stream", "HEAD /tracks"),
        ("GET", "/wp-admin", "GET /other"),
        ("eve@example.org", "/graphql", "_OTHER /graphql"),
    ],
)
async def test_span_is_named_by_what_we_know(method: str, path: str, name: str) -> None:
    with recorded_spans() as spans:
        await Border(answer)(request(method, path), no_body, ignored)
    (span,) = spans.all()
    assert span.name == name
    assert "example.org" not in span.to_json()


@pytest.mark.parametrize("flags", ["00", "01"])
async def test_strangers_trace_is_linked_and_decides_nothing(flags: str) -> None:
    theirs = f"00-{FAR_TRACE:032x}-{FAR_SPAN:016x}-{flags}"
    with recorded_spans() as spans:
        said = {"traceparent": theirs, "tracestate": ",".join(f"k{n}={'x' * 250}" for n in range(32))}
        await Border(answer)(request("POST", "/graphql", **said), no_body, ignored)
    (span,) = spans.all()  # also where they would not have it recorded
    assert span.parent is None
    assert trace_of(span) != FAR_TRACE
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [(FAR_TRACE, FAR_SPAN)]
    assert [dict(link.context.trace_state) for link in span.links] == [{}]  # kilobytes of theirs in each of ours


@pytest.mark.parametrize(
    "theirs",
    [
        "",
        "00",
        "0" * 60_000,
        "00-" + "g" * 32 + "-" + "1" * 16 + "-01",
        "00-\n-\r-01",
        "ff-" + "1" * 32 + "-" + "1" * 16 + "-01",
    ],
    ids=["empty", "short", "huge", "no number", "lines", "version"],
)
async def test_what_is_no_trace_is_not_linked(theirs: str) -> None:
    with recorded_spans() as spans:
        await Border(answer)(request("POST", "/graphql", traceparent=theirs), no_body, ignored)
    (span,) = spans.all()
    assert (span.parent, list(span.links)) == (None, [])


@pytest.mark.parametrize(
    "theirs",
    ["", "x" * 65, "a\nb", "a\r\nevent: x", "a\x1b[31m", "a\u2028b", "a\x00", "é"],
    ids=["empty", "long", "line", "header", "escape", "separator", "nul", "not ascii"],
)
async def test_request_id_that_is_none_is_not_taken_over(theirs: str) -> None:
    sent: list[Message] = []

    async def take(message: Message) -> None:
        sent.append(message)

    headers = [(b"museed-request-id", theirs.encode("utf-8"))]
    await Border(answer)({**request("GET", "/"), "headers": headers}, no_body, take)
    (chosen,) = [value.decode() for name, value in sent[0]["headers"] if name == b"museed-request-id"]
    assert uuid.UUID(chosen).version == 7


async def test_path_of_a_stranger_is_one_line_of_bounded_length(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    path = "/x\n\u2028" + '"}' + "é" * 60_000
    try:
        configure_logging("gateway")
        await Border(answer)(request("GET", path), no_body, ignored)
    finally:
        root.handlers[:], root.level = before
        logging.captureWarnings(False)
    (line,) = written.getvalue().splitlines()
    assert json.loads(line)["path"] == path[:200] + "…"
    assert len(line) < 2_000


@pytest.mark.parametrize(("scheme", "said"), [("https", "max-age=31536000"), ("http", None)])
async def test_who_came_over_tls_is_told_to_stay_there(scheme: str, said: str | None) -> None:
    headers: dict[str, str] = {}

    async def take(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers.update({name.decode(): value.decode() for name, value in message["headers"]})

    await Border(answer)({**request("GET", "/"), "scheme": scheme}, no_body, take)
    assert headers.get("strict-transport-security") == said
    assert headers["cross-origin-opener-policy"] == "same-origin"
