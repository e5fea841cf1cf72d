"""The Python client against a gateway: typed answers, refusals, tokens that end, sockets that are closed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from clients.python import operations
from clients.python.client import Client, accepted
from clients.python.errors import ClientError
from clients.python.generator.__main__ import TRUSTED
from clients.python.operations import (
    GeneratePlaylistInput,
    JobState,
    JobStatus,
    LogInInput,
    Refusal,
    SeedInput,
    Tokens,
)
from clients.python.wire import Operation
from deploy.local import patience
from deploy.local.client import Credentials, GatewayClient
from deploy.local.playlists import fetch_playlist, followed, make_playlist, search_tracks, seed_input
from museed.social.v1 import jobs_pb2
from services.chassis.errors import Unauthenticated, Unavailable
from services.gateway.sockets import SERVICE_RESTART
from services.gateway.trusted import TrustedDocuments, read_manifest
from tests.fakes.upstreams import new_id, timestamp
from tests.integration.gateway.conftest import Gateway, serving_gateway
from tests.integration.gateway.test_streaming import AUDIO, add_audio

T = TypeVar("T")
PASSWORD = "correct horse"
ENDED = 1_700_000_000


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway that ends sockets as the process does."""
    async with serving_gateway(tmp_path) as running:
        keeping = asyncio.create_task(running.parts.live.sockets.run())
        yield running
        keeping.cancel()


async def aside(call: Callable[[], T]) -> T:
    """Run what blocks beside the gateway, whose loop this is."""
    async with asyncio.timeout(120):
        return await asyncio.to_thread(call)


def tokens(access: str, refresh: str = "") -> Tokens:
    return Tokens.read({"accessToken": access, "accessExpiresAt": "2026-01-01T00:00:00Z", "refreshToken": refresh})


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.code


async def test_answers_are_typed(gateway: Gateway) -> None:
    first, _ = gateway.social.add_tracks(2)

    def run() -> None:
        with Client(gateway.url) as client:
            client.log_in("ann", PASSWORD)
            (track,) = search_tracks(client, "Track", 1)
            assert (track.track_id, track.title) == (first.track_id, first.title)
            assert code_of(lambda: operations.encoders(client)) == "PERMISSION_DENIED"
            request = GeneratePlaylistInput(seeds=[SeedInput(track_id=track.track_id)], length=2)
            job = accepted(operations.generate_playlist(client, request)).job
            assert (job.state, job.is_finished, job.stage) == (JobState.SUCCEEDED, True, None)
            made = fetch_playlist(client, job.playlist_id or "")
            assert [entry.track.title for entry in made.entries] == ["Track 000", "Track 001"]

    await aside(run)


async def test_refusal_is_an_answer_and_an_error_of_its_own(gateway: Gateway) -> None:
    (track,) = gateway.social.add_tracks(1)

    def run() -> tuple[object, ClientError]:
        with Client(gateway.url) as client:
            client.log_in("ann", PASSWORD)
            request = GeneratePlaylistInput(seeds=[SeedInput(track_id=track.track_id)], length=501)
            answer = operations.generate_playlist(client, request)
            with pytest.raises(ClientError) as caught:
                accepted(answer)
            return answer, caught.value

    refused, error = await aside(run)
    assert refused == Refusal(
        typename="InvalidInputError",
        code="LENGTH_OUT_OF_RANGE",
        message="length is 501, it must be 1 to 500",
        field="length",
        value="501",
        limit="500",
        retry_after_ms=None,
    )
    found = (error.code, str(error), error.field, error.value, error.limit, error.is_transient)
    assert found == ("LENGTH_OUT_OF_RANGE", "length is 501, it must be 1 to 500", "length", "501", "500", False)


async def test_token_that_ended_is_renewed_and_the_call_made_once_more(gateway: Gateway) -> None:
    old = gateway.signer.token(exp=ENDED)

    def run() -> tuple[str, int]:
        with Client(gateway.url) as client:
            client.keep(tokens(old, "refresh-ann"))
            count = operations.stats(client).track_count
            return client.token, count

    token, count = await aside(run)
    assert (token != old, count) == (True, 0)
    spent = gateway.behind.spent()
    assert (spent["RefreshSession"], spent["GetStats"]) == (1, 1)


async def test_token_that_cannot_be_renewed_is_told(gateway: Gateway) -> None:
    old = gateway.signer.token(exp=ENDED)

    def run() -> list[str]:
        with Client(gateway.url) as client:
            client.keep(tokens(old))
            found = [code_of(lambda: operations.stats(client))]
            client.keep(tokens(old, "used"))
            return [*found, code_of(lambda: operations.stats(client)), code_of(lambda: operations.stats(client))]

    gateway.social.faults["RefreshSession"] = Unauthenticated("it was used before", reason="SESSION_REVOKED")
    assert await aside(run) == ["TOKEN_EXPIRED"] * 3


async def test_session_outlives_a_moment_in_which_it_cannot_be_renewed(gateway: Gateway) -> None:
    old = gateway.signer.token(exp=ENDED)
    gateway.social.faults["RefreshSession"] = Unavailable("social is away", reason="UNAVAILABLE")

    def run() -> None:
        with Client(gateway.url) as client:
            client.keep(tokens(old, "refresh-ann"))
            with pytest.raises(ClientError) as caught:
                operations.stats(client)
            assert caught.value.is_transient
            del gateway.social.faults["RefreshSession"]
            assert operations.stats(client).track_count == 0

    await aside(run)


async def test_command_logs_in_by_itself_and_again_when_its_session_has_ended(gateway: Gateway) -> None:
    old = gateway.signer.token(exp=ENDED)

    def run() -> None:
        with GatewayClient(gateway.url, Credentials("ann", PASSWORD)) as client:
            assert client.token == ""
            assert operations.stats(client).track_count == 0
            client.keep(tokens(old))
            assert operations.stats(client).track_count == 0
            assert client.token not in ("", old)
        with GatewayClient(gateway.url, None) as guest:
            assert operations.stats(guest).track_count == 0
            assert code_of(guest.enter) == "LOGIN_REQUIRED"
        with GatewayClient(gateway.url, Credentials("ann", "wrong")) as wrong:
            assert code_of(lambda: operations.stats(wrong)) == "LOGIN_FAILED"

    await aside(run)
    assert gateway.behind.spent()["LogIn"] == 3


async def test_bytes_go_up_and_come_back_in_ranges(gateway: Gateway, tmp_path: Path) -> None:
    song = tmp_path / "ein schönes Lied.ogg"
    song.write_bytes(b"OggS" + bytes(1000))
    track_id = add_audio(gateway, tmp_path)
    track = gateway.social.add_tracks(1)[0]
    track.track_id = track_id
    gateway.social.tracks[track_id] = track

    def run() -> None:
        with Client(gateway.url) as client:
            assert code_of(lambda: client.upload(song)) == "LOGIN_REQUIRED"
            client.log_in("ann", PASSWORD)
            upload = client.upload(song)
            assert (upload.size_bytes, upload.content_type) == (1004, "audio/ogg")
            with GatewayClient(gateway.url, Credentials("ann", PASSWORD)) as other:
                assert seed_input(other, str(song)).upload_id not in (None, upload.upload_id)
            assert code_of(lambda: client.upload(tmp_path / "nowhere")) == "UNREADABLE"
            found = client.query("query($id: ID!) { track(id: $id) { streamUrl } }", id=track_id)
            part = client.read_range(found["track"]["streamUrl"], 5, 9)
            assert (part.content, part.headers["Content-Range"]) == (AUDIO[5:10], f"bytes 5-9/{len(AUDIO)}")
            assert code_of(lambda: client.read_range("/healthz", 0, 1)) == "STREAM_FAILED"

    await aside(run)


async def test_job_is_followed_to_its_end_though_sockets_are_closed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_RETRY_INTERVAL_S", 0.01)
    job = gateway.social.add_job()
    seen: list[JobStatus] = []
    token = gateway.bearer()["Authorization"].removeprefix("Bearer ")

    def follow() -> None:
        with GatewayClient(gateway.url, None) as client:
            client.keep(tokens(token))
            seen.extend(followed(client, job.job_id))

    async def until(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.01)

    following = asyncio.create_task(aside(follow))
    await until(lambda: seen)
    # As a process that drains does, whose successor answers at once.
    await gateway.parts.live.sockets.send_away(1.0)
    gateway.parts.live.sockets.are_sent_away = False
    await until(lambda: len(seen) == 2)
    stage = {"stage_unit": "windows", "stage_done": 3, "stage_total": 12, "eta_seconds": 4.0}
    gateway.social.move_job(job.job_id, jobs_pb2.JOB_STATE_EMBEDDING, 0.25, **stage)
    await until(lambda: seen[-1].state == JobState.EMBEDDING)  # a silent bus: it is read every 2 s
    gateway.social.move_job(
        job.job_id, jobs_pb2.JOB_STATE_SUCCEEDED, 1.0, playlist_id=new_id(), finished_at=timestamp()
    )
    await following
    assert [one.state for one in seen] == ["QUEUED", "QUEUED", "EMBEDDING", "SUCCEEDED"]
    heard = seen[2]
    assert heard.stage is not None
    assert (heard.stage.unit, heard.stage.done, heard.stage.total, heard.eta_seconds) == ("windows", 3, 12, 4.0)


async def test_end_of_a_session_is_told_by_its_code(gateway: Gateway) -> None:
    job = gateway.social.add_job()
    token = gateway.signer.token(sid="session-9")

    def run() -> str:
        with Client(gateway.url) as client:
            client.keep(tokens(token))
            events = operations.job_progress(client, job.job_id)
            assert next(events).state is JobState.QUEUED
            gateway.parts.authenticator.revocations.hear_of("session-9")
            return code_of(lambda: next(events))

    assert await aside(run) == "SESSION_REVOKED"


async def test_errors_of_subscriptions_are_told(gateway: Gateway) -> None:
    old = gateway.signer.token(exp=ENDED)

    def run() -> None:
        with Client(gateway.url) as client:
            assert code_of(lambda: next(operations.job_progress(client, new_id()))) == "LOGIN_REQUIRED"
            client.log_in("ann", PASSWORD)
            assert code_of(lambda: next(operations.job_progress(client, new_id()))) == "JOB_NOT_FOUND"
            client.keep(tokens(old, "refresh-ann"))
            assert code_of(lambda: next(operations.job_progress(client, new_id()))) == "JOB_NOT_FOUND"

    await aside(run)
    gateway.parts.live.sockets.are_sent_away = True

    def again() -> ClientError:
        with Client(gateway.url) as client, pytest.raises(ClientError) as caught:
            next(operations.job_progress(client, new_id()))
        return caught.value

    error = await aside(again)
    assert (error.code, error.is_transient, str(SERVICE_RESTART) in str(error)) == ("UNAVAILABLE", True, True)


async def test_playlist_is_made_and_each_step_is_told(gateway: Gateway) -> None:
    (track,) = gateway.social.add_tracks(1)
    told: list[JobStatus] = []

    def run() -> None:
        with GatewayClient(gateway.url, Credentials("ann", PASSWORD)) as client:
            made = make_playlist(client, [SeedInput(track_id=track.track_id)], told.append, length=1, max_per_artist=1)
            assert [entry.track.title for entry in made.entries] == ["Track 000"]
            with pytest.raises(TypeError, match="lenght"):
                make_playlist(client, [], told.append, lenght=1)

    await aside(run)
    assert [one.state for one in told] == ["SUCCEEDED"]


async def test_gateway_that_runs_only_what_it_knows_knows_this_client(tmp_path: Path) -> None:
    trusted = TrustedDocuments(read_manifest(TRUSTED), is_closed=True)
    async with serving_gateway(tmp_path, trusted) as gateway:
        job = gateway.social.add_job(state=jobs_pb2.JOB_STATE_CANCELLED)
        token = gateway.bearer()["Authorization"].removeprefix("Bearer ")

        def run() -> None:
            with Client(gateway.url) as client:
                client.keep(tokens(token))
                assert operations.stats(client).track_count == 0
                assert [one.state for one in operations.job_progress(client, job.job_id)] == ["CANCELLED"]
                assert code_of(lambda: client.query("{ stats { trackCount } }")) == "DOCUMENT_NOT_TRUSTED"

        await aside(run)


async def test_every_operation_that_was_generated_runs(gateway: Gateway) -> None:
    """No answer of made-up upstreams is of a form that a generated class cannot read."""
    token = gateway.signer.token(role="admin")
    (track,) = gateway.social.add_tracks(1)
    generated = [value for value in vars(operations).values() if isinstance(value, Operation)]
    ids = {"playlistId": new_id(), "rootId": new_id(), "encoderId": "fake-0123456789abcdef"}
    variables = {"query": "", "first": 3, "pageSize": 3, **ids}

    def run() -> list[str]:
        found = []
        with Client(gateway.url) as client:
            client.keep(tokens(token))
            for operation in generated:
                if operation.kind == "query" and operation.name != "PlaylistPage":
                    named = {name: value for name, value in variables.items() if f"${name}:" in operation.text}
                    client.execute(operation, named)
                    found.append(operation.name)
        return found

    assert len(await aside(run)) == sum(one.kind == "query" for one in generated) - 1
    assert track.title == "Track 000"


@pytest.mark.parametrize(
    ("status", "body", "code", "is_transient"),
    [
        (502, "<html>Bad Gateway</html>", "UNAVAILABLE", False),
        (503, "", "UNAVAILABLE", True),
        (413, '{"error": {"code": "INVALID_ARGUMENT", "reason": "BODY_TOO_LARGE"}}', "BODY_TOO_LARGE", False),
        (200, '{"errors": [{"message": "m", "extensions": {"code": "UNAVAILABLE"}}]}', "UNAVAILABLE", True),
        (200, '{"errors": [{"message": "m", "extensions": {"reason": "X", "retryAfterMs": 5}}]}', "X", True),
        (200, '{"data": {"stats": {"trackCount": 1}}}', "ANSWER_UNREADABLE", False),
        (200, '{"data": {"stats": null}}', "ANSWER_UNREADABLE", False),
        (200, '{"data": null}', "ANSWER_UNREADABLE", False),
    ],
)
def test_whatever_answers_is_told_in_one_way(status: int, body: str, code: str, is_transient: bool) -> None:
    answers = httpx.MockTransport(lambda request: httpx.Response(status, text=body))
    with Client("http://gateway.example") as client:
        client._transport._http = httpx.Client(base_url=client.url, transport=answers)
        with pytest.raises(ClientError) as caught:
            operations.stats(client)
    assert (caught.value.code, caught.value.is_transient) == (code, is_transient)


def test_nobody_there_is_told() -> None:
    with Client("http://127.0.0.1:9") as client:
        for call in (lambda: operations.stats(client), lambda: next(operations.job_progress(client, "id"))):
            with pytest.raises(ClientError) as caught:
                call()
            assert (caught.value.code, caught.value.is_transient) == ("UNAVAILABLE", True)


def test_wait_is_as_long_as_the_gateway_says(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("deploy.local.patience.time.sleep", waited.append)
    errors = [ClientError("later", "COST_LIMIT_REACHED", retry_after_ms=1500), ClientError("away", is_transient=True)]

    def call() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    assert (patience.patiently(call), waited) == ("done", [1.5, 1.0])
    errors.append(ClientError("never", "REFUSED"))
    assert code_of(lambda: patience.patiently(call)) == "REFUSED"
    monkeypatch.setattr(patience, "_PATIENCE_S", -1.0)
    errors.append(ClientError("away", is_transient=True))
    assert code_of(lambda: patience.patiently(call)) == "UNAVAILABLE"
    assert waited == [1.5, 1.0]


def test_login_holds_no_password_in_what_it_shows() -> None:
    assert repr(LogInInput(login="ann", password="secret")) == "LogInInput(login='ann', refresh_token_place=None)"
    assert "secret" not in repr(tokens("secret", "secret"))
