"""Callers of the embedder, to be run in a process of their own: a fixed number of them, or a fixed rate of calls."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from services.embedder.servicer import ACCEPTED

_CHUNK_BYTES = 512 * 1024
_UNANSWERED = 64
_NO_RETRIES = (("grpc.enable_retries", 0),)

Call = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Heard:
    """What callers got.

    Attributes:
        seconds: Time in which calls were made.
        ended_s: Time until the last of them had its answer.
        served_s: Latencies of answers, in s.
        refused_s: Latencies of RESOURCE_EXHAUSTED, in s.
        hints: How many refusals had a retry hint.
        other: How many calls ended in another way, by status.
        sent: Calls that were made.
    """

    seconds: float = 0.0
    ended_s: float = 0.0
    served_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    hints: int = 0
    other: dict[str, int] = field(default_factory=dict)
    sent: int = 0

    async def note(self, call: Call) -> None:
        """Make one call and note its end."""
        self.sent += 1
        began = time.perf_counter()
        try:
            await call()
        except grpc.aio.AioRpcError as error:
            taken = time.perf_counter() - began
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                self.refused_s.append(taken)
                self.hints += _has_hint(error)
            else:
                self.other[error.code().name] = self.other.get(error.code().name, 0) + 1
        else:
            self.served_s.append(time.perf_counter() - began)


def embed_in_turn(
    address: str, token: str, data: bytes, encoding: int, callers: int, seconds: float, timeout_s: float = 60
) -> Heard:
    """Let some callers send the same audio again and again; blocks for about `seconds`."""

    async def run() -> Heard:
        async with grpc.aio.insecure_channel(address, options=_NO_RETRIES) as channel:
            call = _embed(channel, token, data, encoding, timeout_s)
            await call()  # the connection and the keys of tokens
            heard = Heard()
            began = time.perf_counter()

            async def caller() -> None:
                while time.perf_counter() - began < seconds:
                    await heard.note(call)

            await asyncio.gather(*(caller() for _ in range(callers)))
            heard.seconds = time.perf_counter() - began
            return heard

    return asyncio.run(run())


def embed_at_rate(
    address: str, token: str, data: bytes, encoding: int, per_second: float, seconds: float, timeout_s: float
) -> Heard:
    """Send the same audio at a rate that does not depend on the answers; blocks until the last answer is there."""

    async def run() -> Heard:
        async with grpc.aio.insecure_channel(address, options=_NO_RETRIES) as channel:
            call = _embed(channel, token, data, encoding, timeout_s)
            heard = Heard()
            began = time.perf_counter()
            calls = []
            for number in range(int(per_second * seconds)):
                await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
                calls.append(asyncio.create_task(heard.note(call)))
            heard.seconds = time.perf_counter() - began
            await asyncio.gather(*calls)
            heard.ended_s = time.perf_counter() - began
            return heard

    return asyncio.run(run())


def embed_batch(address: str, token: str, digests: list[bytes], seconds: float, warm_up: int) -> Heard:
    """Send digests in one stream again and again, and note when each answer comes; blocks for about `seconds`.

    Args:
        address: Of the embedder.
        token: Of a worker.
        digests: Blobs in the embedder's store.
        seconds: Time that is measured.
        warm_up: Answers that come before the clock is started.
    """

    async def run() -> Heard:
        heard = Heard()
        # As a caller does who answers for memory of its own: sending without end would cost a third of a core.
        unanswered = asyncio.Semaphore(_UNANSWERED)

        async def items() -> AsyncIterator[embedder_pb2.EmbedBatchRequest]:
            for digest in itertools.cycle(digests):
                await unanswered.acquire()
                heard.sent += 1
                yield embedder_pb2.EmbedBatchRequest(key=str(heard.sent), digest=digest)

        async with grpc.aio.insecure_channel(address) as channel:
            stub = embedder_pb2_grpc.EmbedderServiceStub(channel)
            answers = stub.EmbedBatch(items(), timeout=seconds + 600, metadata=_authorization(token))
            iterator = aiter(answers)
            for _ in range(warm_up):
                await anext(iterator)
                unanswered.release()
            began = time.perf_counter()
            while heard.seconds < seconds:
                answer = await anext(iterator)
                unanswered.release()
                heard.seconds = time.perf_counter() - began
                if answer.HasField("embedding"):
                    heard.served_s.append(heard.seconds)
                else:
                    heard.other[answer.error.reason] = heard.other.get(answer.error.reason, 0) + 1
            answers.cancel()
            return heard

    return asyncio.run(run())


def _has_hint(error: grpc.aio.AioRpcError) -> bool:
    status = rpc_status.from_call(error)
    return status is not None and any(part.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for part in status.details)


def _embed(channel: grpc.aio.Channel, token: str, data: bytes, encoding: int, timeout_s: float) -> Call:
    stub = embedder_pb2_grpc.EmbedderServiceStub(channel)
    header = embedder_pb2.EmbedHeader(size_bytes=len(data), encoding=encoding)
    first = embedder_pb2.EmbedRequest(header=header)
    chunks = [embedder_pb2.EmbedRequest(chunk=data[at : at + _CHUNK_BYTES]) for at in range(0, len(data), _CHUNK_BYTES)]

    async def call() -> object:
        accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def stream() -> AsyncIterator[embedder_pb2.EmbedRequest]:
            yield first
            if await accepted:
                for chunk in chunks:
                    yield chunk

        answer = stub.Embed(stream(), timeout=timeout_s, metadata=_authorization(token))
        accepted.set_result(ACCEPTED in tuple(await answer.initial_metadata()))
        return await answer

    return call


def _authorization(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)
