"""What a mesh tells of itself: one trace through all services, a request id in all logs, metrics of all processes."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from deploy.local.span_trees import SpanRow
from deploy.observability.alerts import ALERTS
from deploy.observability.boards import BOARDS
from tests.contract.exports import OF_OTHERS, SERVICES
from tests.contract.promql import selectors
from tests.e2e.conftest import ERROR_FIELDS, RunningMesh, tone, write_track
from tests.e2e.spans import Spans, leads
from tests.e2e.waiting import ended, eventually

GENERATE = f"""mutation($input: GeneratePlaylistInput!) {{ generatePlaylist(input: $input) {{ __typename
  ... on GeneratePlaylistSuccess {{ job {{ jobId state }} }} {ERROR_FIELDS} }} }}"""
REQUEST_ID = "request-of-a-test-of-logs"
DOOR = "gateway: POST /graphql"


def lines(mesh: RunningMesh, service: str, request_id: str) -> list[dict[str, Any]]:
    """Log lines of a request in a service."""
    text = (mesh.folder / "logs" / f"{service}.log").read_text()
    found = [json.loads(line) for line in text.splitlines() if request_id in line]
    return [line for line in found if line["request_id"] == request_id]


def asked(mesh: RunningMesh, token: str, document: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Ask under a request id of one's own."""
    headers = {"Authorization": f"Bearer {token}", "museed-request-id": REQUEST_ID}
    body = {"query": document, "variables": variables}
    answer = httpx.post(f"{mesh.url}/graphql", json=body, headers=headers, timeout=60)
    assert answer.headers["museed-request-id"] == REQUEST_ID
    data: dict[str, Any] = answer.json()["data"]
    return data


def test_playlist_of_an_upload_is_one_trace_and_one_request_in_all_logs(
    mesh: RunningMesh, spans: Spans, tmp_path: Path
) -> None:
    song = write_track(tmp_path / "seed.flac", tone(33, 260, 4, 1.5, seed=501), title="Seed", artist="Nobody")
    with mesh.person("olga") as client:
        upload = client.upload(song)
        wanted = {"input": {"seeds": [{"uploadId": upload.upload_id}], "length": 3}}
        job = asked(mesh, client.token, GENERATE, wanted)["generatePlaylist"]["job"]
        end = ended(client, job["jobId"])
    assert (end["state"], end["failureReason"]) == ("SUCCEEDED", None)
    found = {service: eventually(partial(lines, mesh, service, REQUEST_ID)) for service in SERVICES}
    (request,) = [line for line in found["gateway"] if line["event"] == "http_request"]
    trace_id = request["trace_id"]
    assert {line["trace_id"] for told in found.values() for line in told if "trace_id" in line} == {trace_id}
    assert [line["event"] for line in found["embedder"]].count("rpc") == 1
    assert [line["event"] for line in found["retriever"]].count("rpc") >= 1

    created = "social.v1.JobService/CreateGenerationJob"
    work = (DOOR, f"gateway: {created}", f"social: {created}", "social: generate")
    embed, build = "embedder.v1.EmbedderService/EmbedBlob", "retriever.v1.RetrieverService/BuildPlaylist"
    ways = [
        (*work, f"social: {embed}", f"embedder: {embed}", "embedder: model"),
        (*work, f"social: {embed}", f"embedder: {embed}", "embedder: aggregate"),
        (*work, f"social: {build}", f"retriever: {build}", "retriever: compose", "retriever: faiss"),
        (*work, "social: publish SOCIAL_EVENTS", "gateway: process SOCIAL_EVENTS"),
    ]
    missing = eventually(lambda: unfound(spans.of(trace_id), ways), lambda left: not left)
    assert missing == []
    assert len([row for row in spans.of(trace_id) if not row.parent_id]) == 1


def test_track_on_its_way_from_registration_to_the_index_is_one_trace(
    mesh: RunningMesh, spans: Spans, tmp_path: Path
) -> None:
    write_track(tmp_path / "music" / "a.flac", tone(32, 310, 5, 0.7, seed=502), title="Traced", artist="Artist 0")
    before = {row.trace_id for row in spans.named("embedder", "process EMBED_WORK")}
    assert mesh.ingest(tmp_path / "music").outcomes == {"CREATED": 1}

    def new() -> list[str]:
        return [row.trace_id for row in spans.named("embedder", "process EMBED_WORK") if row.trace_id not in before]

    (trace_id,) = eventually(new)
    register, wanted = "social.v1.CatalogService/RegisterTracks", "social.v1.WorkService/FilterWanted"
    heard = (
        *(DOOR, f"gateway: {register}", f"social: {register}", "social: publish EMBED_WORK"),
        "embedder: process EMBED_WORK",
    )
    told = (*heard, "embedder: publish", "embedder: publish EMBEDDER_EVENTS", "social: process EMBEDDER_EVENTS")
    ways = [
        (*heard, f"embedder: {wanted}", f"social: {wanted}"),
        (*heard, "embedder: decode"),
        (*heard, "embedder: queue_wait"),
        (*heard, "embedder: model"),
        (*heard, "embedder: store_windows"),
        (*told, "social: publish VECTORS", "retriever: process VECTORS"),
    ]
    missing = eventually(lambda: unfound(spans.of(trace_id), ways), lambda left: not left)
    assert missing == []


def unfound(rows: list[SpanRow], ways: list[tuple[str, ...]]) -> list[str]:
    """The first step of each way that is not there."""
    return [
        " → ".join(way[: next(end for end in range(1, len(way) + 1) if not leads(rows, *way[:end]))])
        for way in ways
        if not leads(rows, *way)
    ]


def test_every_metric_that_is_asked_for_is_told_by_a_real_process(mesh: RunningMesh) -> None:
    urls = json.loads((mesh.folder / "mesh.json").read_text())["metrics"]
    told: dict[str, set[str]] = {}

    def read() -> dict[str, set[str]]:
        for service in SERVICES:
            text = httpx.get(urls[service], timeout=60).text
            told[service] = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
        return told

    # Social asks for its figures ten seconds apart.
    eventually(read, lambda found: "museed_social_stream_messages" in found["social"])
    families = set().union(*told.values())
    expressions = [query for board in BOARDS for _, row in board.rows for panel in row for query, _ in panel.queries]
    expressions += [alert.expression for alerts in ALERTS.values() for alert in alerts]
    asked_for = {selector.metric for expression in expressions for selector in selectors(expression)} - {"up"}
    asked_for = {name for name in asked_for if not name.startswith("museed:")}
    missing = {name for name in asked_for if not families & {name, re.sub(r"_(bucket|sum|count)$", "", name)}}
    # Told by others in a cluster, and by processes that have certificates: see test_manifests.py.
    assert missing == {*OF_OTHERS, "museed_tls_certificate_left_seconds"}
    for service in SERVICES:
        assert "museed_event_loop_lag_seconds" in told[service]
        assert any(name.startswith(f"museed_{service}_") for name in told[service])
