"""The GraphQL endpoint's own manners: body and document limits, CSRF, GraphiQL, masked inside."""

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.gateway.conftest import Gateway, serving_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def refused(gateway: Gateway, content: bytes, status: int, **headers: str) -> dict[str, Any]:
    response = await gateway.http.post(
        "/graphql", content=content, headers={"content-type": "application/json"} | headers
    )
    assert response.status_code == status, response.text
    body = response.json()
    assert "data" not in body
    (error,) = body["errors"]
    found: dict[str, Any] = error["extensions"]
    return found


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
async def test_only_json_is_taken_so_that_forms_of_other_sites_do_nothing(gateway: Gateway, content_type: str) -> None:
    content = json.dumps({"query": "{ me { email } }"}).encode()
    extensions = await refused(gateway, content, 415, **{"content-type": content_type})
    assert (extensions["reason"], extensions["limit"]) == ("CONTENT_TYPE_REFUSED", "application/json")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b'{"query": "\xff"}',
        b'{"query": "{ me { email } }", "variables": {"x": ' + b"9" * 5000 + b"}}",
        b'{"query": "query($q: String!) { searchTracks(query: $q) { nodes { title } } }", '
        b'"variables": {"q": "\\ud800"}}',
        b'{"query": 1}',
        b'{"query": "{ me { email } }", "variables": []}',
        b'[{"query": "{ me { email } }"}]',
        b"{}",
        b'{"query": "{ me { email } }", "operationName": "Missing"}',
        b"null",
        b'"text"',
    ],
)
async def test_malformed_request_is_refused_with_a_code(gateway: Gateway, content: bytes) -> None:
    assert (await refused(gateway, content, 400))["code"] == "INVALID_ARGUMENT"
    assert gateway.behind.spent() == {}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("query A { me { email } } query B { me { email } }", "OPERATION_UNKNOWN"),
        ('subscription { jobProgress(jobId: "x") { state } }', "SUBSCRIPTION_NEEDS_SOCKET"),
        ("{ me { nickname } }", "DOCUMENT_INVALID"),
        ("{ me { email }", "DOCUMENT_INVALID"),
        ("query($first: Int!) { searchTracks(first: $first) { nodes { title } } }", "DOCUMENT_INVALID"),
    ],
)
async def test_document_that_cannot_run_is_refused_with_a_code(gateway: Gateway, document: str, reason: str) -> None:
    body = await gateway.run(document)
    assert body["data"] is None
    assert [error["extensions"]["reason"] for error in body["errors"]] == [reason]
    assert gateway.behind.spent() == {}


async def test_one_of_several_operations_is_run_by_its_name(gateway: Gateway) -> None:
    document = "query A { me { email } } query B { stats { trackCount } }"
    response = await gateway.http.post("/graphql", json={"query": document, "operationName": "B"})
    assert response.json()["data"] == {"stats": {"trackCount": 0}}


async def test_characters_beyond_the_first_plane_may_be_escaped(gateway: Gateway) -> None:
    (track,) = gateway.social.add_tracks(1)
    track.title = "🎵 one"
    document = "query($q: String!) { searchTracks(query: $q) { nodes { title } } }"
    content = json.dumps({"query": document, "variables": {"q": "\U0001f3b5"}}).encode()
    assert b"\\ud83c" in content
    response = await gateway.http.post("/graphql", content=content, headers={"content-type": "application/json"})
    assert response.json()["data"]["searchTracks"]["nodes"] == [{"title": "🎵 one"}]


async def test_body_over_the_limit_is_refused_announced_or_not(gateway: Gateway) -> None:
    limit = gateway.parts.settings.max_body_bytes
    body = json.dumps({"query": "{ me { email } }", "extensions": {"pad": "x" * limit}}).encode()
    announced = await refused(gateway, body, 413)

    async def chunked() -> Any:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    response = await gateway.http.post("/graphql", content=chunked(), headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert announced == response.json()["errors"][0]["extensions"]
    assert announced == {
        "code": "RESOURCE_EXHAUSTED",
        "reason": "BODY_TOO_LARGE",
        "field": "body",
        "limit": str(limit),
    }
    padded = {"query": "{ me { email } }", "extensions": {"pad": "x" * (limit - 1000)}}
    fits = await gateway.http.post("/graphql", json=padded)
    assert fits.json()["data"] == {"me": None}


FIELD = "me { email } "
BOMBS = {
    "tokens": ("{ " + "a " * 1000 + "}", "DOCUMENT_TOO_LARGE", "1000"),
    "comments": ("#\n" * 1001 + "{ me { email } }", "DOCUMENT_TOO_LARGE", "1000"),
    "text": ("{ me { email } } #" + "x" * 70_000, "DOCUMENT_TOO_LARGE", "65536"),
    "fields": ("{ " + FIELD * 240 + "}", "TOO_MANY_FIELDS", "300"),
    "aliases": ("{ " + " ".join(f"a{n}: __typename" for n in range(21)) + " }", "TOO_MANY_ALIASES", "20"),
    "depth": ("{ a" * 17 + " }" * 17, "DOCUMENT_TOO_DEEP", "16"),
    "nesting": ("{ a" * 300 + " }" * 300, "DOCUMENT_TOO_DEEP", None),
    "lists": ("{ track(id: " + "[" * 450 + "]" * 450 + ") { id } }", "DOCUMENT_TOO_DEEP", None),
    "spreading": (
        "{ ...f0 } "
        + " ".join(f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(60))
        + " fragment f60 on Query { me { email } }",
        "TOO_MANY_FIELDS",
        "300",
    ),
    "aliases in fragments": (
        "{ ...a ...b } fragment a on Query { ...c } fragment b on Query { ...c } fragment c on Query { "
        + " ".join(f"a{n}: __typename" for n in range(11))
        + " }",
        "TOO_MANY_ALIASES",
        "20",
    ),
    "circle": ("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }", "DOCUMENT_INVALID", None),
    "circle through fields": (
        "{ user(username: 1) { ...a } } fragment a on User { playlists { nodes { owner { ...a ...b } } } } "
        "fragment b on User { followers { nodes { ...a ...b } } }",
        "DOCUMENT_INVALID",
        None,
    ),
    "circle of one": ("{ ...a } fragment a on Query { me { email } ...a }", "DOCUMENT_INVALID", None),
    "introspection": (
        "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }",
        "DOCUMENT_INVALID",
        None,
    ),
}


# 270,000 calls are what the costliest document within the limits takes; validation grows with the square of fields.
MOST_CALLS = 600_000
MOST_CALLS_FOR_A_BOMB = 150_000


@dataclass
class Work:
    calls: int = 0


@contextlib.contextmanager
def counting() -> Iterator[Work]:
    """Count the calls of functions in this thread meanwhile: work, however busy the machine is."""
    work = Work()

    def called(frame: object, event: str, argument: object) -> None:
        work.calls += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        yield work
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("name", BOMBS)
async def test_document_bomb_is_refused_quickly_and_costs_no_call(gateway: Gateway, name: str) -> None:
    document, reason, limit = BOMBS[name]
    with counting() as work:
        body = await gateway.run(document)
    assert body["data"] is None
    assert {(error["extensions"]["reason"], error["extensions"].get("limit")) for error in body["errors"]} == {
        (reason, limit)
    }
    assert gateway.behind.spent() == {}
    assert work.calls < MOST_CALLS_FOR_A_BOMB


async def test_costliest_document_within_the_limits_is_validated_quickly(gateway: Gateway) -> None:
    document = "{ " + "me { " + "email " * 299 + "} }"
    with counting() as work:
        assert await gateway.data(document) == {"me": None}
    assert work.calls < MOST_CALLS


async def test_known_documents_are_checked_for_each_sender_anew(gateway: Gateway) -> None:
    document = "query($first: Int!) { me { email } searchTracks(first: $first) { nodes { title } } }"
    for _ in range(2):
        assert (await gateway.data(document, {"first": 5}, gateway.bearer()))["me"] is not None
        assert (await gateway.data(document, {"first": 5}))["me"] is None
        body = await gateway.run(document, {"first": 5}, gateway.bearer(exp=1))
        assert body["errors"][0]["extensions"]["reason"] == "TOKEN_EXPIRED"
        body = await gateway.run(document, {"first": 101})
        assert body["errors"][0]["extensions"]["reason"] == "PAGE_SIZE_OUT_OF_RANGE"
        body = await gateway.run(document, {"first": "five"})
        assert body["errors"][0]["extensions"]["reason"] == "DOCUMENT_INVALID"


async def test_full_introspection_passes_the_limits(gateway: Gateway) -> None:
    from graphql import get_introspection_query

    found = await gateway.data(get_introspection_query(input_value_deprecation=True))
    assert found["__schema"]["queryType"]["name"] == "Query"


async def test_graphiql_is_a_page_with_a_policy_and_get_runs_nothing(gateway: Gateway) -> None:
    page = await gateway.http.get("/graphql", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "MUSEED GraphiQL" in page.text
    assert "https://unpkg.com" in page.headers["content-security-policy"]
    for options in (
        {"params": {"query": "{ me { email } }"}, "headers": {"accept": "text/html"}},
        {"headers": {"accept": "application/json"}},
    ):
        response = await gateway.http.get("/graphql", **options)  # type: ignore[arg-type]  # two kinds of options
        assert response.status_code == 405
        assert response.json()["errors"][0]["extensions"]["reason"] == "METHOD_NOT_ALLOWED"


async def test_graphiql_can_be_turned_off(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, explorable=False) as gateway:
        page = await gateway.http.get("/graphql", headers={"accept": "text/html"})
        assert page.status_code == 404
        assert await gateway.data("{ me { email } }") == {"me": None}


async def test_every_answer_has_security_headers_and_a_request_id(gateway: Gateway) -> None:
    answers = [
        await gateway.http.get("/"),
        await gateway.http.get("/healthz"),
        await gateway.http.get("/nothing"),
        await gateway.http.post("/graphql", json={"query": "{ me { email } }"}),
        await gateway.http.put("/uploads"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 200, 405]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert len(answer.headers["museed-request-id"]) == 36
    assert answers[2].json() == {
        "error": {
            "code": "NOT_FOUND",
            "reason": "NOT_FOUND",
            "value": "/nothing",
            "message": "there is nothing here",
        }
    }
    assert answers[4].json()["error"]["reason"] == "METHOD_NOT_ALLOWED"


async def test_unexpected_error_of_a_plain_route_is_masked(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> dict[str, bool]:
        raise RuntimeError("the inside")

    monkeypatch.setattr(gateway.parts.upstream, "health", broken)
    response = await gateway.http.get("/readyz", headers={"museed-request-id": "request-5"})
    assert response.status_code == 500
    assert response.json() == {
        "error": {"code": "INTERNAL", "reason": "INTERNAL", "message": "internal error, its id is request-5"}
    }
    assert "the inside" in caplog.text


async def test_only_listed_origins_may_read_answers(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, cors_origins=("https://app.example",)) as gateway:

        async def preflight(origin: str) -> httpx.Response:
            return await gateway.http.options(
                "/graphql",
                headers={
                    "Origin": origin,
                    "Access-Control-Request-Method": "POST",
                    "Access-Control-Request-Headers": "authorization,content-type",
                },
            )

        assert (await preflight("https://app.example")).headers["access-control-allow-origin"] == "https://app.example"
        assert (await preflight("https://evil.example")).status_code == 400


@pytest.mark.asyncio(loop_scope="function")
async def test_ready_means_that_everything_is_there(own_gateway: Gateway) -> None:
    gateway = own_gateway

    class Connected:
        is_connected = True

    response = await gateway.http.get("/readyz")
    assert response.status_code == 503
    assert response.json()["parts"] == {
        "social": "serving",
        "retriever": "serving",
        "bus": "away",
        "gateway": "serving",
    }
    assert (await gateway.http.get("/readyz?exclude=retriever")).status_code == 503
    assert (await gateway.http.get("/readyz?exclude=retriever&exclude=bus&exclude=x")).status_code == 200
    gateway.health.bus = Connected()  # type: ignore[assignment]  # all that is asked of it
    assert (await gateway.http.get("/readyz")).json()["status"] == "ready"
    await gateway.behind.retriever_server.set_serving(False)
    assert (await gateway.http.get("/readyz")).json()["parts"]["retriever"] == "away"
    await gateway.behind.retriever_server.set_serving(True)
    assert (await gateway.http.get("/readyz")).status_code == 200
    await gateway.behind.social_server.set_serving(False)
    assert (await gateway.http.get("/readyz?exclude=retriever&exclude=bus")).status_code == 503
    await gateway.behind.social_server.set_serving(True)
    assert (await gateway.http.get("/readyz")).status_code == 200
    gateway.health.is_draining = True
    assert (await gateway.http.get("/readyz")).status_code == 503
    assert (await gateway.http.get("/healthz")).json() == {"status": "alive"}
