"""jobProgress over a real WebSocket and a real NATS: at once, at every bell, and when bells are lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from museed.social.v1 import jobs_pb2
from services.chassis.bus import SOCIAL_EVENTS, Bus
from services.gateway.live import hub
from tests.conftest import NatsServer
from tests.fakes.upstreams import new_id, timestamp
from tests.integration.gateway.conftest import Gateway, serving_gateway
from tests.integration.gateway.live_steps import failure, hearing, ring
from tests.integration.gateway.socket_client import SocketClient, dialled, initialised

PROGRESS = """subscription($id: ID!) { jobProgress(jobId: $id) {
  state progress stage { unit done total } etaSeconds isFinished failureReason
  playlist { title entries(first: 5) { nodes { track { title } } } } } }"""


@pytest.fixture
def gateway(own_gateway: Gateway) -> Gateway:
    """NATS is in each test's own loop, and so is the gateway."""
    return own_gateway


@pytest.fixture
async def live(gateway: Gateway, bus: Bus, nats_server: NatsServer) -> AsyncIterator[Gateway]:
    """A gateway that follows a real NATS."""
    async with hearing(gateway, bus, nats_server):
        yield gateway


async def next_job(client: SocketClient, id_: str = "1") -> dict[str, Any]:
    message = await client.receive()
    assert (message["id"], message["type"]) == (id_, "next"), message
    assert "errors" not in message["payload"], message
    found: dict[str, Any] = message["payload"]["data"]["jobProgress"]
    return found


async def test_job_is_followed_from_its_state_to_its_playlist(
    live: Gateway, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "REREAD_S", 600.0)  # the bell brings it, or nothing
    job = live.social.add_job()
    tracks = live.social.add_tracks(2)
    async with asyncio.timeout(60), initialised(live.url, live.bearer()["Authorization"]) as client:
        await client.subscribe("1", PROGRESS, {"id": job.job_id})
        seen = [await next_job(client)]
        counted: dict[str, Any] = {"stage_unit": "seeds", "stage_total": 3}
        for state, progress, more in (
            (jobs_pb2.JOB_STATE_EMBEDDING, 0.25, counted | {"stage_done": 1, "eta_seconds": 12.5}),
            # Only what the state counts is another.
            (jobs_pb2.JOB_STATE_EMBEDDING, 0.25, counted | {"stage_done": 2, "eta_seconds": 6.0}),
            (jobs_pb2.JOB_STATE_SEARCHING, 0.5, {"stage_unit": "tracks", "stage_done": 10, "stage_total": 25}),
        ):
            live.social.move_job(job.job_id, state, progress, **more)
            await ring(bus, job.job_id)
            seen.append(await next_job(client))
        playlist = live.social.add_playlist(tracks)
        live.social.move_job(
            job.job_id, jobs_pb2.JOB_STATE_SUCCEEDED, 1, playlist_id=playlist.playlist_id, finished_at=timestamp()
        )
        await ring(bus, job.job_id)
        seen.append(await next_job(client))
        assert await client.receive() == {"id": "1", "type": "complete"}
    under_way = {"isFinished": False, "failureReason": None, "playlist": None}

    def stage(unit: str, done: int, total: int) -> dict[str, Any]:
        return {"stage": {"unit": unit, "done": done, "total": total}}

    assert seen == [
        {"state": "QUEUED", "progress": 0.0, "stage": None, "etaSeconds": None, **under_way},
        {"state": "EMBEDDING", "progress": 0.25, **stage("seeds", 1, 3), "etaSeconds": 12.5, **under_way},
        {"state": "EMBEDDING", "progress": 0.25, **stage("seeds", 2, 3), "etaSeconds": 6.0, **under_way},
        {"state": "SEARCHING", "progress": 0.5, **stage("tracks", 10, 25), "etaSeconds": 6.0, **under_way},
        {
            "state": "SUCCEEDED",
            "progress": 1.0,
            "stage": None,
            "etaSeconds": 6.0,
            "isFinished": True,
            "failureReason": None,
            "playlist": {
                "title": "Like Track 000",
                "entries": {"nodes": [{"track": {"title": "Track 000"}}, {"track": {"title": "Track 001"}}]},
            },
        },
    ]
    assert live.parts.live.hub.bells.watcher_count == 0


async def test_lost_bell_is_made_up_for_within_seconds(gateway: Gateway) -> None:
    job = gateway.social.add_job()
    async with asyncio.timeout(60), initialised(gateway.url, gateway.bearer()["Authorization"]) as client:
        await client.subscribe("1", PROGRESS, {"id": job.job_id})
        await next_job(client)
        gateway.social.move_job(job.job_id, jobs_pb2.JOB_STATE_FAILED, 0.5, failure_reason="TOO_SHORT")
        last = await next_job(client)
        assert hub.REREAD_S <= 3.0
        assert (last["state"], last["failureReason"]) == ("FAILED", "TOO_SHORT")
        assert await client.receive() == {"id": "1", "type": "complete"}


async def test_finished_job_comes_once(gateway: Gateway) -> None:
    job = gateway.social.add_job(state=jobs_pb2.JOB_STATE_CANCELLED)
    async with asyncio.timeout(60), initialised(gateway.url, gateway.bearer()["Authorization"]) as client:
        await client.subscribe("1", PROGRESS, {"id": job.job_id})
        assert (await next_job(client))["state"] == "CANCELLED"
        assert await client.receive() == {"id": "1", "type": "complete"}
    assert gateway.behind.spent() == {"GetJob": 1}


async def test_two_hundred_watchers_share_one_consumer(live: Gateway, bus: Bus) -> None:
    jobs = [live.social.add_job() for _ in range(200)]
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(60):
        clients = [
            await stack.enter_async_context(initialised(live.url, live.bearer()["Authorization"])) for _ in range(4)
        ]
        for number, job in enumerate(jobs):
            await clients[number // 50].subscribe(str(number), PROGRESS, {"id": job.job_id})
        for number in range(200):
            await clients[number // 50].receive()
        assert live.parts.live.hub.bells.watcher_count == 200
        info = await bus.jetstream.stream_info(SOCIAL_EVENTS)
        assert info.state.consumer_count == 1
        refused = clients[0]
        await refused.subscribe("more", PROGRESS, {"id": jobs[0].job_id})
        message = await refused.receive()
        assert (message["id"], message["type"]) == ("more", "error")
    async with asyncio.timeout(60):
        while live.parts.live.hub.bells.watcher_count:
            await asyncio.sleep(0.01)


async def test_foreign_and_unknown_jobs_are_coded_errors(gateway: Gateway) -> None:
    foreign = gateway.social.add_job("somebody-else")
    unknown = new_id()
    async with asyncio.timeout(60), initialised(gateway.url, gateway.bearer()["Authorization"]) as client:
        for job_id in (foreign.job_id, unknown):
            await client.subscribe("1", PROGRESS, {"id": job_id})
            assert await failure(client) == {
                "code": "NOT_FOUND",
                "reason": "JOB_NOT_FOUND",
                "field": "jobId",
                "value": job_id,
            }
            assert await client.receive() == {"id": "1", "type": "complete"}
        await client.subscribe("1", PROGRESS, {"id": "x"})
        assert (await failure(client))["reason"] == "ID_INVALID"
    assert gateway.parts.live.hub.bells.watcher_count == 0


async def test_guest_may_connect_and_is_told_to_log_in(gateway: Gateway) -> None:
    job = gateway.social.add_job()
    async with asyncio.timeout(60), initialised(gateway.url, None) as client:
        await client.subscribe("1", PROGRESS, {"id": job.job_id})
        assert (await failure(client))["reason"] == "LOGIN_REQUIRED"


async def test_queries_run_over_the_socket_with_loaders_of_their_own(gateway: Gateway) -> None:
    (track,) = gateway.social.add_tracks(1)
    document = "query($id: ID!) { track(id: $id) { title } me { email } }"
    async with asyncio.timeout(60), initialised(gateway.url, gateway.bearer()["Authorization"]) as client:
        for title in ("Track 000", "Another"):
            gateway.social.tracks[track.track_id].title = title
            await client.subscribe("1", document, {"id": track.track_id})
            message = await client.receive()
            assert message["payload"]["data"] == {"track": {"title": title}, "me": {"email": "mina@example.org"}}
            assert (await client.receive())["type"] == "complete"


@pytest.mark.parametrize(("claims", "reason"), [({"exp": 1}, "TOKEN_EXPIRED"), ({"aud": "others"}, "TOKEN_INVALID")])
async def test_bad_token_closes_the_socket_with_its_reason(
    gateway: Gateway, claims: dict[str, Any], reason: str
) -> None:
    async with asyncio.timeout(60), dialled(gateway.url) as client:
        await client.send(type="connection_init", payload=gateway.bearer(**claims))
        with pytest.raises(ConnectionClosed):
            await client.receive()
        assert (client.connection.close_code, client.connection.close_reason) == (4403, reason)


async def test_only_graphql_transport_ws_is_spoken(gateway: Gateway) -> None:
    async with asyncio.timeout(60):
        async with dialled(gateway.url, Subprotocol("graphql-ws")) as client:
            with pytest.raises(ConnectionClosed):
                await client.receive()
            assert client.connection.close_code == 4406
        async with dialled(gateway.url) as client:
            await client.subscribe("1", "{ me { email } }", {})
            with pytest.raises(ConnectionClosed):
                await client.receive()
            assert client.connection.close_code == 4401


@pytest.mark.parametrize("text", ["{", "[]", "1", '"x"', "[" * 100_000, '{"type": "\\ud800"}', '{"type": "nonsense"}'])
async def test_malformed_messages_close_the_socket(gateway: Gateway, text: str) -> None:
    async with asyncio.timeout(60), dialled(gateway.url) as client:
        await client.connection.send(text)
        with pytest.raises(ConnectionClosed):
            await client.receive()
        assert client.connection.close_code == 4400


async def test_document_bombs_are_refused_over_the_socket_too(gateway: Gateway) -> None:
    async with asyncio.timeout(60), initialised(gateway.url, None) as client:
        await client.subscribe("1", "{ " + " ".join(f"a{n}: __typename" for n in range(21)) + " }", {})
        assert (await failure(client))["reason"] == "TOO_MANY_ALIASES"


async def test_pages_of_other_sites_cannot_open_a_socket(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, cors_origins=("https://app.example",)) as gateway, asyncio.timeout(60):
        async with dialled(gateway.url, origin="https://app.example") as client:
            await client.send(type="connection_init")
            assert (await client.receive())["type"] == "connection_ack"
        with pytest.raises(InvalidStatus):
            async with dialled(gateway.url, origin="https://evil.example"):
                pass


async def test_one_operation_too_many_is_a_coded_error_and_ends_no_other(gateway: Gateway) -> None:
    job = gateway.social.add_job()
    async with asyncio.timeout(60), initialised(gateway.url, gateway.bearer()["Authorization"]) as client:
        for number in range(50):
            await client.subscribe(str(number), PROGRESS, {"id": job.job_id})
            assert (await next_job(client, str(number)))["state"] == "QUEUED"
        await client.subscribe("50", PROGRESS, {"id": job.job_id})
        assert await failure(client, "50") == {
            "code": "RESOURCE_EXHAUSTED",
            "reason": "TOO_MANY_OPERATIONS",
            "value": "50",
            "limit": "50",
        }
        await client.send(id="7", type="complete")
        await client.subscribe("50", PROGRESS, {"id": job.job_id})
        assert (await next_job(client, "50"))["state"] == "QUEUED"


async def test_a_person_has_so_many_sockets_and_operations_and_a_network_eight_times_as_many(tmp_path: Path) -> None:
    async with (
        serving_gateway(tmp_path, max_sockets_of_one=2, max_operations_of_one=3) as gateway,
        asyncio.timeout(60),
        contextlib.AsyncExitStack() as stack,
    ):
        mine, theirs = gateway.bearer()["Authorization"], gateway.bearer(sub="user-2")["Authorization"]
        job = gateway.social.add_job()
        first, second = [await stack.enter_async_context(initialised(gateway.url, mine)) for _ in range(2)]
        assert await refusal_of_socket(gateway, mine) == (1013, "TOO_MANY_SOCKETS")
        for number, client in enumerate((first, first, second)):
            await client.subscribe(str(number), PROGRESS, {"id": job.job_id})
            assert (await next_job(client, str(number)))["state"] == "QUEUED"
        await second.subscribe("3", PROGRESS, {"id": job.job_id})
        error = await failure(second, "3")
        assert (error["reason"], error["value"], error["limit"]) == ("TOO_MANY_OPERATIONS", "3", "3")
        async with initialised(gateway.url, theirs) as other:
            await other.subscribe("1", "{ __typename }", {})
            assert (await other.receive())["type"] == "next"
        await first.connection.close()
        await second.subscribe("3", PROGRESS, {"id": job.job_id})
        assert (await next_job(second, "3"))["state"] == "QUEUED"
        async with initialised(gateway.url, mine):
            for _ in range(16):
                await stack.enter_async_context(initialised(gateway.url, None))
            assert await refusal_of_socket(gateway, None) == (1013, "TOO_MANY_SOCKETS")


async def refusal_of_socket(gateway: Gateway, authorization: str | None) -> tuple[int | None, str | None]:
    async with dialled(gateway.url) as client:
        await client.send(type="connection_init", payload={"authorization": authorization} if authorization else {})
        with pytest.raises(ConnectionClosed):
            await client.receive()
        return client.connection.close_code, client.connection.close_reason
