"""What is away or hangs costs its own part of an answer, with a code, and never the rest."""

import inspect
from pathlib import Path

import pytest
from strawberry.types.base import StrawberryOptional

from services.chassis.errors import Unavailable
from services.gateway.schema import make_schema
from tests.integration.gateway.conftest import Gateway, serving_gateway

DOCUMENT = """query($id: ID!) {
  track(id: $id) { title }
  similarTracks(trackId: $id) { nodes { title } }
  stats { trackCount }
}"""


def test_whatever_another_service_must_answer_may_be_null() -> None:
    """An error in a field that may not be null would take its parent with it, up to the whole answer."""
    strict = []
    for name, kind in make_schema().schema_converter.type_map.items():
        for field in getattr(kind.definition, "fields", ()):
            resolver = field.base_resolver
            is_asked = resolver is not None and inspect.iscoroutinefunction(resolver.wrapped_func)
            if is_asked and name != "Mutation" and not isinstance(field.type, StrawberryOptional):
                strict.append(f"{name}.{field.python_name}")
    assert strict == []


async def test_retriever_that_is_away_costs_what_it_would_have_answered(own_gateway: Gateway) -> None:
    (track,) = own_gateway.social.add_tracks(1)
    await own_gateway.behind.retriever_server.drain(0.05)
    body = await own_gateway.run(DOCUMENT, {"id": track.track_id})
    assert body["data"] == {"track": {"title": "Track 000"}, "similarTracks": None, "stats": {"trackCount": 1}}
    (error,) = body["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["similarTracks"], "UNAVAILABLE")


async def test_social_that_is_away_leaves_what_the_retriever_knows_and_says_so(own_gateway: Gateway) -> None:
    await own_gateway.behind.social_server.drain(0.05)
    body = await own_gateway.run("{ stats { trackCount } searchTracks { nodes { title } } __typename }")
    assert body["data"] == {"stats": None, "searchTracks": None, "__typename": "Query"}
    assert {error["extensions"]["code"] for error in body["errors"]} == {"UNAVAILABLE"}
    assert sorted(error["path"] for error in body["errors"]) == [["searchTracks"], ["stats"]]


@pytest.mark.parametrize("rpc", ["GetStats", "BatchGetTracks"])
async def test_one_call_that_fails_leaves_its_neighbours(own_gateway: Gateway, rpc: str) -> None:
    gateway = own_gateway
    (track,) = gateway.social.add_tracks(1)
    gateway.social.faults[rpc] = Unavailable("away", reason="DATABASE_UNAVAILABLE", retry_after_ms=250)
    body = await gateway.run(DOCUMENT, {"id": track.track_id})
    lost = {"GetStats": "stats", "BatchGetTracks": "track"}[rpc]
    assert body["data"][lost] is None
    assert body["data"]["similarTracks"] == {"nodes": []}
    (error,) = body["errors"]
    assert error["extensions"] == {"code": "UNAVAILABLE", "reason": "DATABASE_UNAVAILABLE", "retryAfterMs": 250}


async def test_a_service_that_hangs_leaves_time_for_those_that_are_asked_after_it(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, request_timeout_s=6.0, upstream_timeout_s=60.0) as gateway:
        (track,) = gateway.social.add_tracks(1)
        gateway.retriever.delays_s["Search"] = 60.0
        body = await gateway.run(DOCUMENT, {"id": track.track_id})
        assert body["data"] == {"track": {"title": "Track 000"}, "similarTracks": None, "stats": {"trackCount": 1}}
        (error,) = body["errors"]
        assert error["extensions"]["code"] == "DEADLINE_EXCEEDED"
        given = gateway.retriever.seen_time_left_s["Search"]
        assert given is not None
        assert given <= 3.0

        # One after the other: what hangs first has half of the time, and the next half of what is left.
        gateway.retriever.delays_s.clear()
        gateway.retriever.hits = [(track.track_id, 0.5)]
        gateway.retriever.delays_s["Search"] = 2.0
        gateway.social.delays_s["BatchGetTracks"] = 60.0
        body = await gateway.run(
            "query($id: ID!) { similarTracks(trackId: $id) { nodes { title } } }", {"id": track.track_id}
        )
        assert body["errors"][0]["extensions"]["code"] == "DEADLINE_EXCEEDED"
        given = gateway.social.seen_time_left_s["BatchGetTracks"]
        assert given is not None
        assert given <= 2.0
