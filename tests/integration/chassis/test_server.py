"""Server and channel over a real socket: errors, callers, deadlines and request ids cross both ways."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import jwt
import pytest
from grpc_health.v1 import health_pb2

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from services.chassis import auth, telemetry
from services.chassis.auth import Access
from services.chassis.channel import connect
from services.chassis.errors import (
    DeadlineExceeded,
    DomainError,
    Internal,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from services.chassis.server import Server, time_left_s
from services.chassis.tokens import TokenVerifier
from tests.fakes.tokens import TokenSigner

SERVICE = "/museed.embedder.v1.EmbedderService/"
Answer = Callable[[], embedder_pb2.DescribeModelResponse]


class Servicer(embedder_pb2_grpc.EmbedderServiceServicer):
    """Answers DescribeModel with whatever the test asks for, or raises it."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    async def DescribeModel(
        self,
        request: embedder_pb2.DescribeModelRequest,
        context: object,
    ) -> embedder_pb2.DescribeModelResponse:
        await asyncio.sleep(0)
        return self.answer()

    async def EmbedBlob(
        self, request: embedder_pb2.EmbedBlobRequest, context: object
    ) -> embedder_pb2.EmbedBlobResponse:
        raise NotImplementedError

    async def Embed(
        self, request_iterator: AsyncIterator[embedder_pb2.EmbedRequest], context: object
    ) -> embedder_pb2.EmbedResponse:
        await anext(request_iterator)
        raise ResourceExhausted("the queue holds 8 clips, limit is 8", field="queue", limit=8, retry_after_ms=250)

    async def EmbedBatch(
        self, request_iterator: AsyncIterator[embedder_pb2.EmbedBatchRequest], context: object
    ) -> AsyncIterator[embedder_pb2.EmbedBatchResponse]:
        """Answer each item that has a key, and refuse at the first that has none."""
        async for request in request_iterator:
            if not request.key:
                raise InvalidArgument("the key is empty", field="key", value="", limit=128)
            yield embedder_pb2.EmbedBatchResponse(key=f"{request.key} for {time_left_s() or 0:.0f}")

    async def EmbedText(
        self, request: embedder_pb2.EmbedTextRequest, context: object
    ) -> embedder_pb2.EmbedTextResponse:
        raise NotImplementedError

    async def TagTrack(self, request: embedder_pb2.TagTrackRequest, context: object) -> embedder_pb2.TagTrackResponse:
        raise NotImplementedError


@asynccontextmanager
async def serving(
    answer: Answer, access: Access = Access.PUBLIC, verifier: TokenVerifier | None = None
) -> AsyncIterator[tuple["embedder_pb2_grpc.EmbedderServiceAsyncStub", Server]]:
    rows = {SERVICE + "DescribeModel": access, SERVICE + "Embed": Access.PUBLIC, SERVICE + "EmbedBatch": access}
    server = Server("127.0.0.1:0", rows, verifier)
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(Servicer(answer), server.grpc)
    await server.start()
    await server.set_serving(True)
    async with connect(f"127.0.0.1:{server.port}", idempotent=[SERVICE + "DescribeModel"]) as channel:
        yield embedder_pb2_grpc.EmbedderServiceStub(channel), server
    await server.drain(0.1)


def raising(error: Exception) -> Answer:
    def answer() -> embedder_pb2.DescribeModelResponse:
        raise error

    return answer


REQUEST = embedder_pb2.DescribeModelRequest()


async def test_domain_error_arrives_as_it_was_raised() -> None:
    error = InvalidArgument(
        "length is 10000, limit is 500", reason="LENGTH_OUT_OF_RANGE", field="length", value=10000, limit=500
    )
    async with serving(raising(error)) as (stub, _):
        with pytest.raises(InvalidArgument) as caught:
            await stub.DescribeModel(REQUEST, timeout=30)
    found = caught.value
    assert (found.message, found.reason) == ("length is 10000, limit is 500", "LENGTH_OUT_OF_RANGE")
    assert found.metadata == {"field": "length", "value": "10000", "limit": "500"}


async def test_streamed_call_is_refused_with_a_retry_hint() -> None:
    async with serving(raising(Internal("unused"))) as (stub, _):

        async def body() -> AsyncIterator[embedder_pb2.EmbedRequest]:
            yield embedder_pb2.EmbedRequest(chunk=b"x")

        with pytest.raises(ResourceExhausted) as caught:
            await stub.Embed(body(), timeout=30)
    assert (caught.value.retry_after_ms, caught.value.limit) == (250, "8")


async def test_streams_answer_item_by_item_until_one_is_refused() -> None:
    keys = ["first", "second", "", "never"]

    async def items() -> AsyncIterator[embedder_pb2.EmbedBatchRequest]:
        for key in keys:
            yield embedder_pb2.EmbedBatchRequest(key=key)

    async with serving(raising(Internal("unused"))) as (stub, _):
        responses = aiter(stub.EmbedBatch(items(), timeout=30))
        answered = [(await anext(responses)).key for _ in range(2)]
        with pytest.raises(InvalidArgument) as caught:
            await anext(responses)
    assert answered == ["first for 30", "second for 30"]
    assert caught.value.metadata == {"field": "key", "value": "", "limit": "128"}


async def test_stream_needs_its_caller_too() -> None:
    async with serving(raising(Internal("unused")), Access.USER) as (stub, _):
        with pytest.raises(Unauthenticated):
            await anext(aiter(stub.EmbedBatch(aiter_of(), timeout=30)))


async def aiter_of(*items: embedder_pb2.EmbedBatchRequest) -> AsyncIterator[embedder_pb2.EmbedBatchRequest]:
    for item in items:
        yield item


async def test_unexpected_error_tells_nothing_of_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(raising(RuntimeError("password is 1234"))) as (stub, _):
        with pytest.raises(Internal) as caught:
            await stub.DescribeModel(REQUEST, timeout=30)
    assert caught.value.message == "internal error"
    assert "password is 1234" in caplog.text


async def test_call_without_a_timeout_is_a_fault() -> None:
    async with serving(embedder_pb2.DescribeModelResponse) as (stub, _):
        with pytest.raises(ValueError, match="without a timeout"):
            await stub.DescribeModel(REQUEST)


async def test_unavailable_is_retried_on_idempotent_calls() -> None:
    calls = []

    def answer() -> embedder_pb2.DescribeModelResponse:
        calls.append(1)
        if len(calls) < 3:
            raise Unavailable("away")
        return embedder_pb2.DescribeModelResponse(name="back")

    async with serving(answer) as (stub, _):
        response = await stub.DescribeModel(REQUEST, timeout=30)
    assert (response.name, len(calls)) == ("back", 3)


async def test_absent_server_is_unavailable() -> None:
    async with connect("127.0.0.1:1") as channel:
        stub = embedder_pb2_grpc.EmbedderServiceStub(channel)
        with pytest.raises(Unavailable):
            await stub.DescribeModel(REQUEST, timeout=30)


async def test_request_id_and_time_left_cross_two_hops() -> None:
    seen: list[tuple[str, float]] = []

    def last() -> embedder_pb2.DescribeModelResponse:
        seen.append((telemetry.request_id(), time_left_s() or 0.0))
        return embedder_pb2.DescribeModelResponse()

    async with serving(last) as (far, _):

        class Middle(Servicer):
            async def DescribeModel(
                self, request: embedder_pb2.DescribeModelRequest, context: object
            ) -> embedder_pb2.DescribeModelResponse:
                return await far.DescribeModel(request, timeout=60)

        server = Server("127.0.0.1:0", {SERVICE + "DescribeModel": Access.PUBLIC})
        embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(Middle(last), server.grpc)
        await server.start()
        async with connect(f"127.0.0.1:{server.port}") as channel:
            near = embedder_pb2_grpc.EmbedderServiceStub(channel)
            await near.DescribeModel(REQUEST, timeout=7, metadata=((telemetry.REQUEST_ID_HEADER, "request-1"),))
        await server.drain(0.1)
    assert seen[0][0] == "request-1"
    assert 6 < seen[0][1] < 7.5  # gRPC rounds a deadline up


async def test_passed_deadline_is_refused_before_the_call() -> None:
    async with serving(embedder_pb2.DescribeModelResponse) as (stub, _):
        with pytest.raises(DeadlineExceeded):
            await stub.DescribeModel(REQUEST, timeout=-1)


async def test_method_without_an_access_rule_is_refused() -> None:
    server = Server("127.0.0.1:0", {})
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(Servicer(embedder_pb2.DescribeModelResponse), server.grpc)
    await server.start()
    async with connect(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(PermissionDenied):
            await embedder_pb2_grpc.EmbedderServiceStub(channel).DescribeModel(REQUEST, timeout=30)
    await server.drain(0.1)


async def test_health_follows_serving_and_drain() -> None:
    async with serving(embedder_pb2.DescribeModelResponse) as (_, server):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            request = health_pb2.HealthCheckRequest(service="museed.embedder.v1.EmbedderService")
            states = [(await check(request, timeout=30)).status]
            await server.set_serving(False)
            states.append((await check(request, timeout=30)).status)
    assert [health_pb2.HealthCheckResponse.ServingStatus.Name(state) for state in states] == ["SERVING", "NOT_SERVING"]


async def test_process_is_alive_while_it_does_not_serve() -> None:
    """An orchestrator starts nothing again that only restores what it needs."""
    server = Server("127.0.0.1:0", {})
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        states = [
            (await check(health_pb2.HealthCheckRequest(service=name), timeout=30)).status for name in ("", "live")
        ]
    await server.drain(0)
    assert [health_pb2.HealthCheckResponse.ServingStatus.Name(state) for state in states] == ["NOT_SERVING", "SERVING"]


async def test_taken_port_is_named() -> None:
    async with serving(embedder_pb2.DescribeModelResponse) as (_, first):
        second = Server(f"127.0.0.1:{first.port}", {})
        with pytest.raises(SystemExit, match=str(first.port)):
            await second.start()
        await second.drain(0)


SIGNER = TokenSigner()
STRANGER = TokenSigner()  # same key id, another key

NOBODY = None
TOKENS: list[tuple[str, str | None, Access, type[DomainError] | None]] = [
    ("guest at a public RPC", NOBODY, Access.PUBLIC, None),
    ("guest at a user's RPC", NOBODY, Access.USER, Unauthenticated),
    ("user at a user's RPC", SIGNER.token(), Access.USER, None),
    ("user at an admin's RPC", SIGNER.token(), Access.ADMIN, PermissionDenied),
    ("admin at an admin's RPC", SIGNER.token(role="admin"), Access.ADMIN, None),
    ("user at a worker's RPC", SIGNER.token(), Access.WORKER, PermissionDenied),
    ("worker at a worker's RPC", SIGNER.job_token(), Access.WORKER, None),
    ("worker at a user's RPC", SIGNER.job_token(), Access.USER, PermissionDenied),
    ("user at a session's RPC", SIGNER.token(), Access.SESSION, None),
    ("guest at a session's RPC", NOBODY, Access.SESSION, Unauthenticated),
    ("worker at a session's RPC", SIGNER.job_token(), Access.SESSION, PermissionDenied),
    ("worker at a public RPC", SIGNER.job_token(), Access.PUBLIC, None),
    ("program at a reading RPC", SIGNER.api_token("read"), Access.USER, None),
    ("program at a worker's RPC", SIGNER.api_token("read write admin"), Access.WORKER, PermissionDenied),
    ("admin's program at an admin's RPC", SIGNER.api_token("admin", role="admin"), Access.ADMIN, None),
    ("program of an ended session", SIGNER.api_token(sid="session-ended"), Access.PUBLIC, Unauthenticated),
    ("program that cannot be revoked", SIGNER.api_token(sid=None), Access.PUBLIC, Unauthenticated),
    ("program without scopes", SIGNER.token(kind="api"), Access.PUBLIC, Unauthenticated),
    ("session with a scope", SIGNER.token(scope="read"), Access.SESSION, None),
    ("forged signature", STRANGER.token(), Access.PUBLIC, Unauthenticated),
    ("unknown key", TokenSigner("key-9").token(), Access.PUBLIC, Unauthenticated),
    ("algorithm none", jwt.encode({"sub": "user-1"}, "", algorithm="none"), Access.PUBLIC, Unauthenticated),
    ("HMAC", jwt.encode({"sub": "x"}, "k" * 32, headers={"kid": "key-1"}), Access.PUBLIC, Unauthenticated),
    ("wrong audience", SIGNER.token(aud="other"), Access.PUBLIC, Unauthenticated),
    ("wrong issuer", SIGNER.token(iss="other"), Access.PUBLIC, Unauthenticated),
    ("expired", SIGNER.token(exp=int(time.time()) - 60), Access.PUBLIC, Unauthenticated),
    ("no end", SIGNER.token(exp=None), Access.PUBLIC, Unauthenticated),
    ("no kind", SIGNER.token(kind=None), Access.PUBLIC, Unauthenticated),
    ("unknown kind", SIGNER.token(kind="root"), Access.PUBLIC, Unauthenticated),
    ("ended session", SIGNER.token(sid="session-ended"), Access.PUBLIC, Unauthenticated),
    ("garbage", "garbage", Access.PUBLIC, Unauthenticated),
]


@pytest.mark.parametrize(("token", "access", "refusal"), [row[1:] for row in TOKENS], ids=[row[0] for row in TOKENS])
async def test_caller_is_verified(token: str | None, access: Access, refusal: type[DomainError] | None) -> None:
    verifier = TokenVerifier(SIGNER.jwks, frozenset({"session-ended"}))
    seen: list[auth.Viewer | None] = []

    def answer() -> embedder_pb2.DescribeModelResponse:
        seen.append(auth.viewer())
        return embedder_pb2.DescribeModelResponse()

    metadata = (("authorization", f"Bearer {token}"),) if token is not None else ()
    async with serving(answer, access, verifier) as (stub, _):
        if refusal is None:
            await stub.DescribeModel(REQUEST, timeout=30, metadata=metadata)
        else:
            with pytest.raises(refusal):
                await stub.DescribeModel(REQUEST, timeout=30, metadata=metadata)
    assert len(seen) == (1 if refusal is None else 0)
    if token is not None and refusal is None:
        assert seen[0] is not None
        assert seen[0].user_id == "user-1"


async def test_forged_key_ids_do_not_hammer_social() -> None:
    asked = []

    async def fetch() -> str:
        asked.append(1)
        return await SIGNER.jwks()

    verifier = TokenVerifier(fetch)
    for number in range(20):
        with pytest.raises(Unauthenticated):
            await verifier.verify(TokenSigner(f"forged-{number}").token())
    assert len(asked) == 1


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_case_of_the_scheme_does_not_matter(scheme: str) -> None:
    async with serving(embedder_pb2.DescribeModelResponse, Access.USER, TokenVerifier(SIGNER.jwks)) as (stub, _):
        metadata = (("authorization", f"{scheme} {SIGNER.token()}"),)
        await stub.DescribeModel(REQUEST, timeout=30, metadata=metadata)


@pytest.mark.parametrize("authorization", ["Basic bWluYTp4", "Bearer", "token"])
async def test_another_scheme_is_refused(authorization: str) -> None:
    async with serving(embedder_pb2.DescribeModelResponse, Access.PUBLIC, TokenVerifier(SIGNER.jwks)) as (stub, _):
        with pytest.raises(Unauthenticated) as caught:
            await stub.DescribeModel(REQUEST, timeout=30, metadata=(("authorization", authorization),))
    assert caught.value.reason == "TOKEN_INVALID"


async def test_absent_keys_are_asked_for_once_for_all_and_give_a_hint() -> None:
    asked, answer = [], asyncio.Event()
    metadata = (("authorization", f"Bearer {SIGNER.token()}"),)

    async def fetch() -> str:
        asked.append(time_left_s())
        await answer.wait()
        raise Unavailable("social is away")

    verifier = TokenVerifier(fetch)
    async with (
        serving(embedder_pb2.DescribeModelResponse, Access.USER, verifier) as (_, server),
        connect(f"127.0.0.1:{server.port}") as channel,  # which tries nothing again
    ):
        stub = embedder_pb2_grpc.EmbedderServiceStub(channel)

        def calls(count: int, timeout_s: float) -> "asyncio.Future[list[object]]":
            made = [stub.DescribeModel(REQUEST, timeout=timeout_s, metadata=metadata) for _ in range(count)]
            return asyncio.gather(*made, return_exceptions=True)

        (impatient,) = await calls(1, 0.1)
        assert isinstance(impatient, DeadlineExceeded)
        waiting = calls(3, 10)
        await asyncio.sleep(0.1)
        answer.set()
        refusals = [*await waiting, *await calls(1, 10)]
    hints = [(error.reason, error.retry_after_ms) for error in refusals if isinstance(error, Unavailable)]
    assert hints == [("KEYS_UNAVAILABLE", 1000)] * 4
    assert asked == [None]  # and no caller's deadline bounded it
