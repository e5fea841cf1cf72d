"""Replicas behind one channel: one that ends is left before it refuses anything, and one that begins is found."""

import asyncio
from collections import Counter

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from services.chassis.auth import Access
from services.chassis.channel import connect
from services.chassis.server import Server
from tests.conftest import free_port
from tests.integration.chassis.test_server import SERVICE, Servicer

REQUEST = embedder_pb2.DescribeModelRequest()


async def serving(port: int, name: str) -> Server:
    server = Server(f"127.0.0.1:{port}", {SERVICE + "DescribeModel": Access.PUBLIC})
    servicer = Servicer(lambda: embedder_pb2.DescribeModelResponse(name=name))
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, server.grpc)
    await server.start()
    await server.set_serving(True)
    return server


async def test_no_call_fails_while_replicas_take_turns() -> None:
    ports = free_port(), free_port()
    answered: Counter[str] = Counter()
    servers = [await serving(ports[0], "0")]
    # No call may be repeated: none of them is said to be idempotent.
    async with connect(f"ipv4:127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}") as channel:
        stub = embedder_pb2_grpc.EmbedderServiceStub(channel)

        async def call() -> None:
            answered[(await stub.DescribeModel(REQUEST, timeout=60)).name] += 1

        async def until_answered_by(name: str) -> None:
            async with asyncio.timeout(60):
                while not answered[name]:
                    await asyncio.sleep(0.01)

        async def ask(is_over: asyncio.Event) -> None:
            async with asyncio.TaskGroup() as calls:
                while not is_over.is_set():
                    calls.create_task(call())
                    await asyncio.sleep(0.005)

        is_over = asyncio.Event()
        asking = asyncio.create_task(ask(is_over))
        await until_answered_by("0")
        for turn in range(1, 5):
            servers.append(await serving(ports[turn % 2], str(turn)))
            await until_answered_by(str(turn))
            await servers[-2].drain()
        is_over.set()
        await asking
    await servers[-1].drain()
    assert set(answered) == {"0", "1", "2", "3", "4"}


async def test_a_replica_that_does_not_serve_yet_gets_no_calls() -> None:
    ports = free_port(), free_port()
    servers = [await serving(port, name) for port, name in zip(ports, "ab", strict=True)]
    await servers[1].set_serving(False)
    async with connect(f"ipv4:127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}") as channel:
        stub = embedder_pb2_grpc.EmbedderServiceStub(channel)
        names = [(await stub.DescribeModel(REQUEST, timeout=60)).name for _ in range(20)]
        assert names == ["a"] * 20
        await servers[1].set_serving(True)
        async with asyncio.timeout(60):
            while (await stub.DescribeModel(REQUEST, timeout=60)).name != "b":
                pass
    for server in servers:
        await server.drain()
