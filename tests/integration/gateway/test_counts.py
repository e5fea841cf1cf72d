"""What is counted of requests and operations: each once, by labels of few values."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.chassis.errors import Unavailable
from services.gateway.metrics import CountedGateway
from tests.integration.gateway.conftest import Gateway, serving_gateway

NAME = "{ __typename }"
STATS = "{ stats { trackCount } }"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def counted(tmp_path: Path, registry: CollectorRegistry) -> AsyncIterator[Gateway]:
    async with serving_gateway(tmp_path, counts=CountedGateway(registry)) as running:
        yield running


def told(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"museed_gateway_{name}"
    }


async def test_operations_are_counted_by_whose_fault_their_errors_are(
    counted: Gateway, registry: CollectorRegistry
) -> None:
    await counted.run(NAME)
    await counted.run("{ nothing }")
    await counted.run("{ me { username } }", headers={"Authorization": "Bearer nonsense"})
    counted.behind.social.faults["GetStats"] = Unavailable("away", reason="DATABASE_UNAVAILABLE")
    await counted.run(STATS)
    await counted.run("{")
    assert told(registry, "operations_total") == {("query", "ok"): 1, ("query", "refused"): 2, ("query", "failed"): 1}
    assert told(registry, "errors_total") == {
        ("INVALID_ARGUMENT", "DOCUMENT_INVALID"): 2,
        ("UNAUTHENTICATED", "TOKEN_INVALID"): 1,
        ("UNAVAILABLE", "DATABASE_UNAVAILABLE"): 1,
    }
    assert told(registry, "operation_seconds_count") == {("query",): 4}
    assert told(registry, "requests_total") == {("POST", "/graphql", "200"): 5}
    assert told(registry, "cost_points_count") == {(): 3}


async def test_requests_are_counted_by_the_first_part_of_a_known_path(
    counted: Gateway, registry: CollectorRegistry
) -> None:
    await counted.http.get("/healthz")
    await counted.http.get("/tracks/1f0e/stream")
    await counted.http.get("/secret/1f0e")
    await counted.http.request("LOCK", "/codes.json")
    found = told(registry, "requests_total")
    assert {labels[:2] for labels in found} == {("GET", "/tracks"), ("GET", "/other"), ("_OTHER", "/codes.json")}
    assert set(found.values()) == {1}
    assert told(registry, "request_seconds_count") == {("/tracks",): 1, ("/other",): 1, ("/codes.json",): 1}
