"""What documents cost: told with every answer, refused beyond the bounds, and counted by viewer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import Unavailable
from services.gateway.gate import MAX_COST
from services.gateway.limits import MAX_ANSWER_CHARACTERS, MAX_VALUES
from tests.integration.gateway.conftest import Gateway, serving_gateway
from tests.integration.gateway.socket_client import initialised

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEARCH = "query($first: Int!) { searchTracks(first: $first) { nodes { title } } }"


def reasons(body: dict[str, Any]) -> list[str]:
    return [error["extensions"]["reason"] for error in body["errors"]]


def still(gateway: Gateway) -> None:
    """Let nothing come back meanwhile."""
    gateway.parts.budgets._clock = lambda: 1000.0


@pytest.fixture(autouse=True)
def _clock_is_put_back(gateway: Gateway) -> Any:
    clock = gateway.parts.budgets._clock
    yield
    gateway.parts.budgets._clock = clock


async def test_every_answer_tells_its_cost_and_what_was_not_needed_comes_back(gateway: Gateway) -> None:
    still(gateway)
    gateway.social.add_tracks(3)
    settings = gateway.parts.settings
    full = {"limit": settings.cost_capacity, "refill": settings.cost_refill_per_s}
    # 10 for the search; a connection and 50 tracks of 1.1 asked for, 3 given; 3 fields had to be read; one variable.
    first = await gateway.run(SEARCH, {"first": 50})
    assert first["extensions"]["cost"] == {"requested": 66, "actual": 15, "left": settings.cost_capacity - 18, **full}
    again = await gateway.run(SEARCH, {"first": 50})
    assert again["extensions"]["cost"]["left"] == settings.cost_capacity - 18 - 15
    # Another viewer has another bucket.
    mine = await gateway.run(SEARCH, {"first": 50}, gateway.bearer())
    assert mine["extensions"]["cost"]["left"] == settings.cost_capacity - 15
    theirs = await gateway.run(SEARCH, {"first": 50}, gateway.bearer(sub="user-2"))
    assert theirs["extensions"]["cost"]["left"] == settings.cost_capacity - 15


async def test_one_document_has_a_bound_of_its_own(gateway: Gateway) -> None:
    still(gateway)
    document = "{ myPlaylists(first: 100) { nodes { entries(first: 50) { nodes { title: entryId } } } } }"
    body = await gateway.run(document, headers=gateway.bearer())
    assert body["data"] is None
    assert body["errors"][0]["extensions"] == {
        "code": "RESOURCE_EXHAUSTED",
        "reason": "DOCUMENT_TOO_COSTLY",
        "field": "query",
        "value": "5701",
        "limit": str(MAX_COST),
    }
    assert gateway.behind.spent() == {}
    fits = await gateway.data(document.replace("50", "20"), headers=gateway.bearer())
    assert fits == {"myPlaylists": {"nodes": []}}


async def test_failing_upstreams_cost_what_was_answered(gateway: Gateway) -> None:
    still(gateway)
    gateway.social.faults["SearchTracks"] = Unavailable("away")
    body = await gateway.run(SEARCH, {"first": 50})
    assert reasons(body) == ["UNAVAILABLE"]
    assert body["extensions"]["cost"]["actual"] == 11


async def test_values_of_variables_are_bounded(gateway: Gateway) -> None:
    document = "query($first: Int!, $ids: [ID!]) { searchTracks(first: $first) { nodes { id } } me { email } }"
    body = await gateway.run(document, {"first": 1, "ids": ["x"] * MAX_VALUES})
    assert body["errors"][0]["extensions"] == {
        "code": "RESOURCE_EXHAUSTED",
        "reason": "TOO_MANY_VALUES",
        "field": "variables",
        "limit": str(MAX_VALUES),
    }
    assert gateway.behind.spent() == {}


@pytest.mark.asyncio(loop_scope="function")
async def test_an_empty_bucket_refuses_with_the_time_to_wait_whatever_the_door(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, cost_capacity=100, cost_refill_per_s=10) as gateway:
        still(gateway)
        me = gateway.bearer()
        headers = {**me, "content-type": "application/json"}
        # 66 points and 3 for reading; nothing comes back while it is under way.
        gateway.social.delays_s["SearchTracks"] = 60
        slow = asyncio.create_task(
            gateway.http.post("/graphql", json={"query": SEARCH, "variables": {"first": 50}}, headers=headers)
        )
        async with asyncio.timeout(60):
            while not gateway.social.calls["SearchTracks"]:
                await asyncio.sleep(0.01)
        refused = await gateway.run(SEARCH, {"first": 50}, me)
        assert refused["data"] is None
        assert refused["errors"][0]["message"] == "this costs 66 points and 31 are left; 10 come back a second"
        assert refused["errors"][0]["extensions"] == {
            "code": "RESOURCE_EXHAUSTED",
            "reason": "COST_LIMIT_REACHED",
            "value": "66",
            "limit": "100",
            "retryAfterMs": 3501,
        }
        assert refused["extensions"]["cost"] == {"requested": 66, "limit": 100, "left": 31, "refill": 10}
        async with asyncio.timeout(60), initialised(gateway.url, me["Authorization"]) as client:
            await client.subscribe("1", SEARCH, {"first": 50})
            message = await client.receive()
            assert message["type"] == "error"
            assert message["payload"][0]["extensions"]["reason"] == "COST_LIMIT_REACHED"
        assert gateway.social.calls["SearchTracks"] == 1
        assert reasons(await gateway.run("{ me { email } }", headers=gateway.bearer(exp=1))) == ["TOKEN_EXPIRED"]
        slow.cancel()


async def test_subscriptions_tell_their_cost_once(gateway: Gateway) -> None:
    from museed.social.v1 import jobs_pb2

    job = gateway.social.add_job(state=jobs_pb2.JOB_STATE_QUEUED)
    document = "subscription($id: ID!) { jobProgress(jobId: $id) { state } }"
    async with asyncio.timeout(60), initialised(gateway.url, gateway.bearer()["Authorization"]) as client:
        await client.subscribe("1", document, {"id": job.job_id})
        first = await client.receive()
        assert first["payload"]["extensions"]["cost"]["requested"] == 2
        assert first["payload"]["extensions"]["cost"]["actual"] == 2
        gateway.social.move_job(job.job_id, jobs_pb2.JOB_STATE_CANCELLED, 1.0)
        assert "extensions" not in await _next_payload(client)


async def _next_payload(client: Any) -> dict[str, Any]:
    message = await client.receive()
    assert message["type"] == "next"
    found: dict[str, Any] = message["payload"]
    return found


async def test_an_answer_of_too_much_text_is_not_sent(gateway: Gateway) -> None:
    for track in gateway.social.add_tracks(100):
        track.title = "곡" * 5_000
    document = "{ searchTracks(first: 100) { nodes { " + " ".join(f"a{n}: title" for n in range(20)) + " } } }"
    refusal = {
        "code": "RESOURCE_EXHAUSTED",
        "reason": "ANSWER_TOO_LARGE",
        "field": "query",
        "limit": str(MAX_ANSWER_CHARACTERS),
    }
    body = await gateway.run(document)
    assert (body["data"], [error["extensions"] for error in body["errors"]]) == (None, [refusal])
    async with asyncio.timeout(60), initialised(gateway.url, None) as client:
        await client.subscribe("1", document, {})
        message = await client.receive()
        (error,) = message["payload"]["errors"] if message["type"] == "next" else message["payload"]
        assert error["extensions"] == refusal
    # Once each is no bomb.
    assert len((await gateway.data("{ searchTracks(first: 100) { nodes { title } } }"))["searchTracks"]["nodes"]) == 100


async def test_documents_that_come_to_nothing_are_paid_for_and_known_ones_run_on(gateway: Gateway) -> None:
    still(gateway)
    known = "{ stats { trackCount } }"
    await gateway.data(known)
    # Nobody is asked for points of theirs where nothing runs.
    refused = "{ " + "a " * 290 + "} # " + "x" * 60_000
    told = [reasons(await gateway.run(f"{refused} {number}")) for number in range(30)]
    paid = told.index(["COST_LIMIT_REACHED"])
    assert set(map(tuple, told[:paid])) == {("DOCUMENT_INVALID",) * len(told[0])}
    # 948 for its text and 841 for its fields, each time, of 20,000.
    assert paid == 11
    body = await gateway.run("{ stats { trackCount } me { email } } # " + "x" * 60_000)
    assert reasons(body) == ["COST_LIMIT_REACHED"]
    assert body["errors"][0]["extensions"]["retryAfterMs"] > 0
    assert await gateway.data(known) == {"stats": {"trackCount": 0}}


async def test_plain_routes_take_points_of_their_network_and_leave_those_of_documents(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, route_capacity=210, route_refill_per_s=1) as gateway:
        for _ in range(10):
            assert (await gateway.http.get("/tracks/x/cover")).status_code == 400
        assert (await gateway.http.post("/playlists/import")).status_code == 401
        response = await gateway.http.get("/tracks/x/cover")
        assert (response.status_code, response.headers["retry-after"]) == (429, "1")
        error = response.json()["error"]
        assert (error["reason"], error["value"], error["limit"]) == ("COST_LIMIT_REACHED", "1", "210")
        answer = await gateway.run("{ __typename }")
        assert answer["data"] == {"__typename": "Query"}
        for path in ("/healthz", "/codes.json", "/.well-known/jwks.json"):
            assert (await gateway.http.get(path)).status_code == 200
