"""The border of a server over a real socket: how many calls at a time, and bytes that are no message."""

import asyncio
import contextlib
import gc
import logging
import tracemalloc
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from services.chassis import border
from services.chassis.auth import Access
from services.chassis.channel import from_rpc_error
from services.chassis.errors import DomainError, NotFound
from services.chassis.messages import Read
from services.chassis.server import Server

SERVICE = "/museed.embedder.v1.EmbedderService/"
MAX_CALLS = 3
GUESTS = 70
MAX_BYTES, LARGER_BYTES = 1_000_000, 1_500_000
# Field 1 has a length of 127 bytes, of which none follows.
NO_MESSAGE = b"\x0a\x7f"


class Servicer(embedder_pb2_grpc.EmbedderServiceServicer):
    """Describes itself at once; streams are held until they end."""

    def __init__(self) -> None:
        self.held = 0

    async def DescribeModel(self, request: object, context: object) -> embedder_pb2.DescribeModelResponse:
        return embedder_pb2.DescribeModelResponse()

    async def Embed(
        self, request_iterator: AsyncIterator[embedder_pb2.EmbedRequest], context: object
    ) -> embedder_pb2.EmbedResponse:
        self.held += 1
        async for _ in request_iterator:
            pass
        return embedder_pb2.EmbedResponse()

    async def EmbedBatch(
        self, request_iterator: AsyncIterator[embedder_pb2.EmbedBatchRequest], context: object
    ) -> AsyncIterator[embedder_pb2.EmbedBatchResponse]:
        async for request in request_iterator:
            while request.key == "endless":
                yield embedder_pb2.EmbedBatchResponse(key="x" * 100_000)

    async def EmbedBlob(self, request: object, context: object) -> embedder_pb2.EmbedBlobResponse:
        try:
            raise KeyError("inner")
        except KeyError as error:
            refusal = NotFound("no such blob")
            raise refusal from error

    async def EmbedText(self, request: object, context: object) -> embedder_pb2.EmbedTextResponse:
        raise NotImplementedError

    async def TagTrack(self, request: object, context: object) -> embedder_pb2.TagTrackResponse:
        raise NotImplementedError


class Caller:
    """Calls a server without the manners of `services.chassis.channel`."""

    def __init__(self, channel: grpc.aio.Channel, servicer: Servicer) -> None:
        self.channel = channel
        self.servicer = servicer
        self.stub: embedder_pb2_grpc.EmbedderServiceAsyncStub = embedder_pb2_grpc.EmbedderServiceStub(channel)
        self.health: Any = health_pb2_grpc.HealthStub(channel)
        self.reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]  # takes ours

    async def is_healthy(self) -> bool:
        found = await self.health.Check(health_pb2.HealthCheckRequest(), timeout=30)
        return bool(found.status == health_pb2.HealthCheckResponse.SERVING)

    async def describe(self) -> object:
        return await self.stub.DescribeModel(embedder_pb2.DescribeModelRequest(), timeout=30)

    @contextlib.asynccontextmanager
    async def all_places_taken(self) -> AsyncIterator[None]:
        calls = [self.stub.Embed() for _ in range(MAX_CALLS)]
        while self.servicer.held < MAX_CALLS:
            await asyncio.sleep(0.001)
        yield
        for call in calls:
            await call.done_writing()
            await call


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    public = ("DescribeModel", "Embed", "EmbedBatch", "EmbedBlob", "EmbedText")
    rows = {SERVICE + name: Access.PUBLIC for name in public}
    server = Server(
        "127.0.0.1:0",
        {**rows, SERVICE + "TagTrack": Access.USER},
        max_concurrent_rpcs=MAX_CALLS,
        max_message_bytes=MAX_BYTES,
        larger_messages={SERVICE + "EmbedBatch": LARGER_BYTES},
    )
    servicer = Servicer()
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, server.grpc)
    await server.start()
    await server.set_serving(True)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Caller(channel, servicer)
    await server.drain(0.1)


async def refusal_of(call: object) -> DomainError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]  # any of gRPC's calls
    return from_rpc_error(caught.value)


async def watched(call: "grpc.aio.UnaryStreamCall[object, health_pb2.HealthCheckResponse]") -> str:
    """Say what a health watcher is told first."""
    try:
        first = await call.read()
    except grpc.aio.AioRpcError as error:
        refusal = from_rpc_error(error)
        return f"{refusal.code} {refusal.reason} {refusal.value} {refusal.limit}"
    assert isinstance(first, health_pb2.HealthCheckResponse)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(first.status)


async def test_watchers_of_health_take_no_place_of_others(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(border, "_WATCHERS", 16)
    request = health_pb2.HealthCheckRequest()
    calls = [caller.health.Watch(request) for _ in range(GUESTS)]
    told = [await watched(call) for call in calls]
    assert told.count("SERVING") == 16
    assert set(told) == {"SERVING", "RESOURCE_EXHAUSTED SERVER_BUSY 16 16"}
    await caller.describe()
    assert await caller.is_healthy()
    for call in calls:
        call.cancel()
    while await watched(caller.health.Watch(request)) != "SERVING":  # until the server has heard of it
        await asyncio.sleep(0.001)


async def test_health_checks_need_no_place(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(border, "_WATCHERS", 0)
    assert await watched(caller.health.Watch(health_pb2.HealthCheckRequest())) == "RESOURCE_EXHAUSTED SERVER_BUSY 0 0"
    assert await caller.is_healthy()


async def test_silent_reflection_takes_no_place_of_others(caller: Caller) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    calls = [caller.reflection.ServerReflectionInfo() for _ in range(16)]
    for call in calls:
        await call.write(request)
        answer = await call.read()
        assert "museed.embedder.v1.EmbedderService" in {one.name for one in answer.list_services_response.service}
    further = [caller.reflection.ServerReflectionInfo() for _ in range(GUESTS - 16)]
    for call in further:
        await call.write(request)
    refusals = [await refusal_of(call.read()) for call in further]
    assert {(refusal.reason, refusal.limit) for refusal in refusals} == {("SERVER_BUSY", "16")}
    await caller.describe()
    assert await caller.is_healthy()
    for call in calls:
        call.cancel()


async def test_calls_beyond_the_bound_are_told_so_and_health_is_answered(caller: Caller) -> None:
    async with caller.all_places_taken():
        unary = await refusal_of(caller.describe())
        batch = caller.stub.EmbedBatch()
        await batch.write(embedder_pb2.EmbedBatchRequest(key="a"))
        streamed = await refusal_of(batch.read())
        tag = caller.stub.TagTrack(embedder_pb2.TagTrackRequest(), timeout=30)
        assert (await refusal_of(tag)).reason == "LOGIN_REQUIRED"
        assert await caller.is_healthy()
    for refusal in (unary, streamed):
        assert (refusal.code, refusal.reason, refusal.retry_after_ms) == ("RESOURCE_EXHAUSTED", "SERVER_BUSY", 1000)
        assert (refusal.message, refusal.value, refusal.limit) == ("3 calls are being answered, limit is 3", "3", "3")
    await caller.describe()


async def test_callers_who_leave_before_they_have_read_all_leave_no_place_taken(caller: Caller) -> None:
    calls = [caller.stub.EmbedBatch() for _ in range(MAX_CALLS)]
    for call in calls:
        await call.write(embedder_pb2.EmbedBatchRequest(key="endless"))
        await call.read()
    assert (await refusal_of(caller.describe())).reason == "SERVER_BUSY"
    for call in calls:
        call.cancel()
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await caller.describe()
                break
    async with caller.all_places_taken():
        pass


async def test_refusal_of_a_stream_follows_its_first_message(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(border, "_HEARD_S", 60.0)
    async with caller.all_places_taken():
        call = caller.stub.Embed()
        for _ in range(20):
            assert (await refusal_of(caller.describe())).reason == "SERVER_BUSY"
        assert not call.done()
        await call.write(embedder_pb2.EmbedRequest(chunk=b"x"))
        assert (await refusal_of(call)).reason == "SERVER_BUSY"


async def test_silent_streams_are_refused_without_being_heard_where_many_are(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(border, "_HEARD_S", 60.0)
    async with caller.all_places_taken():
        calls = [caller.stub.Embed() for _ in range(33)]
        ended, silent = await asyncio.wait(
            [asyncio.create_task(refusal_of(call)) for call in calls], return_when=asyncio.FIRST_COMPLETED
        )
        assert [(task.result().reason, task.result().limit) for task in ended] == [("SERVER_BUSY", "3")]
        for call in calls:
            call.cancel()
        await asyncio.gather(*silent, return_exceptions=True)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (SERVICE + "DescribeModel", "MESSAGE_MALFORMED"),
        (SERVICE + "Embed", "MESSAGE_MALFORMED"),
        (SERVICE + "EmbedBatch", "MESSAGE_MALFORMED"),
        (SERVICE + "TagTrack", "LOGIN_REQUIRED"),
        ("/grpc.health.v1.Health/Check", "MESSAGE_MALFORMED"),
        ("/grpc.health.v1.Health/Watch", "MESSAGE_MALFORMED"),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "MESSAGE_MALFORMED"),
    ],
)
async def test_bytes_that_are_no_message_are_refused_as_bad_input(
    method: str, reason: str, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    call: grpc.aio.StreamStreamCall[bytes, bytes] = caller.channel.stream_stream(method)()
    await call.write(NO_MESSAGE)
    await call.done_writing()
    refusal = await refusal_of(call.read())
    assert refusal.reason == reason
    if reason == "MESSAGE_MALFORMED":
        assert (refusal.code, refusal.message) == ("INVALID_ARGUMENT", "the bytes are no message of this RPC")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def of_size(size: int) -> bytes:
    """Return a message of every kind: a field that nobody knows, of 3 bytes of length."""
    length = size - 4
    return b"\x7a" + bytes((length & 127 | 128, length >> 7 & 127 | 128, length >> 14)) + bytes(length)


async def outcome(caller: Caller, method: str, data: bytes) -> str:
    """Send bytes as the one message of an RPC of whatever kind; return the reason of its refusal, or OK."""
    call: grpc.aio.StreamStreamCall[bytes, bytes] = caller.channel.stream_stream(method)()
    try:
        await call.write(data)
        await call.done_writing()
        await call.read()
        assert await call.code() is grpc.StatusCode.OK
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error).reason
    return "OK"


async def test_messages_are_read_only_for_callers_who_are_let_in(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []

    def noting(original: Read, max_bytes: int) -> Read:
        def noted(data: bytes) -> Any:
            read.append(data)
            return original(data)

        return noted

    monkeypatch.setattr(border, "reading", noting)
    data = of_size(100_000)
    methods = [SERVICE + name for name in ("TagTrack", "NoSuch")]
    assert [await outcome(caller, method, data) for method in methods] == ["LOGIN_REQUIRED", "UNIMPLEMENTED"]
    async with caller.all_places_taken():
        for method in ("DescribeModel", "Embed", "EmbedBatch"):
            assert await outcome(caller, SERVICE + method, data) == "SERVER_BUSY"
        assert await caller.is_healthy()
    assert read == [b""]  # the health check
    for method in ("DescribeModel", "Embed", "EmbedBatch"):
        assert await outcome(caller, SERVICE + method, data) == "OK"
    assert read == [b"", data, data, data]


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (SERVICE + "TagTrack", "LOGIN_REQUIRED"),
        (SERVICE + "DescribeModel", "OK"),
        (SERVICE + "EmbedBlob", "NOT_FOUND"),
        (SERVICE + "EmbedText", "INTERNAL"),
        (SERVICE + "Embed", "OK"),
        (SERVICE + "EmbedBatch", "OK"),
        ("/grpc.health.v1.Health/Check", "OK"),
    ],
)
async def test_a_request_is_freed_with_its_call_without_the_collector(
    method: str, reason: str, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(border.logger, "exception", lambda *_, **__: None)  # pytest keeps tracebacks that are logged
    assert await ten_calls(caller, method) == {reason}


async def test_calls_that_are_refused_for_want_of_a_place_are_freed_too(caller: Caller) -> None:
    async with caller.all_places_taken():
        for name in ("DescribeModel", "Embed", "EmbedBatch"):
            assert await ten_calls(caller, SERVICE + name) == {"SERVER_BUSY"}


async def test_watchers_of_health_that_are_refused_are_freed_too(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(border, "_WATCHERS", 0)
    assert await ten_calls(caller, "/grpc.health.v1.Health/Watch") == {"SERVER_BUSY"}


async def ten_calls(caller: Caller, method: str) -> set[str]:
    """Return how ten calls with messages of MAX_BYTES ended; checks that they leave nothing to the collector."""
    data = of_size(MAX_BYTES)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        outcomes = {await outcome(caller, method, data) for _ in range(10)}
        held = tracemalloc.get_traced_memory()[0] - before
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        ours = [
            one
            for one in gc.garbage
            if isinstance(one, TracebackType) and one.tb_frame.f_code.co_filename == border.__file__
        ]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        tracemalloc.stop()
        gc.enable()
    assert held < 2 * MAX_BYTES  # the last call's may be on its way out
    assert ours == []
    return outcomes


@pytest.mark.parametrize(
    ("name", "limit"), [("DescribeModel", MAX_BYTES), ("Embed", MAX_BYTES), ("EmbedBatch", LARGER_BYTES)]
)
async def test_each_rpc_has_its_bound_of_a_message(name: str, limit: int, caller: Caller) -> None:
    assert await outcome(caller, SERVICE + name, of_size(limit)) == "OK"
    call: grpc.aio.StreamStreamCall[bytes, bytes] = caller.channel.stream_stream(SERVICE + name)()
    await call.write(of_size(limit + 1))
    refusal = await refusal_of(call.read())
    if limit == LARGER_BYTES:  # then it is gRPC that refuses
        assert refusal.code == "RESOURCE_EXHAUSTED"
        return
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "MESSAGE_TOO_LARGE")
    assert (refusal.message, refusal.value, refusal.limit) == (
        "the message has 1000001 bytes, limit is 1000000",
        "1000001",
        "1000000",
    )


def test_a_refusal_that_was_raised_from_itself_is_no_endless_way() -> None:
    refusal = NotFound("no")
    try:
        raise refusal from refusal
    except NotFound:
        border._forget_frames(refusal)
    assert refusal.__traceback__ is None
