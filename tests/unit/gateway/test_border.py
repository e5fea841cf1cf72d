"""Spans of the gateway's border: named by us, whatever strangers send."""

import pytest
from starlette.types import Message, Receive, Scope, Send

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
        await Border(answer)(request("POST", "/graphql", traceparent=theirs), no_body, ignored)
    (span,) = spans.all()  # also where they would not have it recorded
    assert span.parent is None
    assert trace_of(span) != FAR_TRACE
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [(FAR_TRACE, FAR_SPAN)]


@pytest.mark.parametrize(("scheme", "said"), [("https", "max-age=31536000"), ("http", None)])
async def test_who_came_over_tls_is_told_to_stay_there(scheme: str, said: str | None) -> None:
    headers: dict[str, str] = {}

    async def take(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers.update({name.decode(): value.decode() for name, value in message["headers"]})

    await Border(answer)({**request("GET", "/"), "scheme": scheme}, no_body, take)
    assert headers.get("strict-transport-security") == said
    assert headers["cross-origin-opener-policy"] == "same-origin"
