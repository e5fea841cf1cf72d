"""Callers of a unary RPC and a server that only echoes, each to be run in a process of its own."""

import asyncio
import contextlib
import itertools
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import grpc
import numpy as np
import uvloop

ECHO = "/museed.benchmark.Echo/Echo"
SEARCH = "/museed.retriever.v1.RetrieverService/Search"
BUILD_PLAYLIST = "/museed.retriever.v1.RetrieverService/BuildPlaylist"
_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Heard:
    """What callers got.

    Attributes:
        began: Clock (`time.monotonic`) when the first call was made.
        seconds: From then to the last answer.
        ends_s: When each answer came, after `began`.
        latencies_s: How long each took, in the order of `ends_s`.
        answers: The first answer to each different request, by its place; None where there was none.
    """

    began: float = 0.0
    seconds: float = 0.0
    ends_s: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    answers: list[bytes | None] = field(default_factory=list)

    @property
    def p50_s(self) -> float:
        """Middle latency."""
        return float(np.median(self.latencies_s))

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.latencies_s) / self.seconds

    def p99_s(self, since: float = 0.0, until: float = float("inf")) -> float:
        """Return the 99th percentile of what ended in a part of the time, in s; NaN where nothing did."""
        part = [
            taken
            for end, taken in zip(self.ends_s, self.latencies_s, strict=True)
            if since <= self.began + end <= until
        ]
        return float(np.percentile(part, 99)) if part else float("nan")


def call_in_turn(
    address: str, method: str, token: str, requests: Sequence[bytes], callers: int, seconds: float
) -> Heard:
    """Let some callers send requests one after another, for a time and at least until each was sent once; blocks.

    Raises:
        grpc.aio.AioRpcError: A call was refused.
    """

    async def run() -> Heard:
        async with grpc.aio.insecure_channel(address, options=(("grpc.enable_retries", 0),)) as channel:
            call = channel.unary_unary(method)
            metadata = (("authorization", f"Bearer {token}"),) if token else ()
            for request in requests[:3]:  # the connection, the keys of tokens
                await call(request, timeout=_TIMEOUT_S, metadata=metadata)
            heard = Heard(time.monotonic(), answers=[None] * len(requests))
            numbers = itertools.count()

            async def caller() -> None:
                while True:
                    number = next(numbers)
                    started = time.monotonic()
                    if started - heard.began > seconds and number >= len(requests):
                        return
                    answer = await call(requests[number % len(requests)], timeout=_TIMEOUT_S, metadata=metadata)
                    ended = time.monotonic()
                    heard.ends_s.append(ended - heard.began)
                    heard.latencies_s.append(ended - started)
                    if number < len(requests):
                        heard.answers[number] = answer

            await asyncio.gather(*(caller() for _ in range(callers)))
            heard.seconds = time.monotonic() - heard.began
            return heard

    return asyncio.run(run())


@contextlib.contextmanager
def echoing(answer: bytes) -> Iterator[str]:
    """Serve an RPC that takes anything and gives `answer`, on the loop the services run on; yields its address."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_echo, args=(answer, theirs), daemon=True)
    process.start()
    try:
        yield f"127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join(10)


def _echo(answer: bytes, told: "Connection[int, int]") -> None:
    async def echo(request: bytes, context: object) -> bytes:
        return answer

    async def serve() -> None:
        server = grpc.aio.server()
        handlers = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}  # type: ignore[arg-type]  # aio takes coroutines
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("museed.benchmark.Echo", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        told.send(port)
        await server.wait_for_termination()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
