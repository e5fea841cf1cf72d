"""Replicas behind one channel: one that ends is left before it refuses anything, and one that begins is found."""

import asyncio
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from services.chassis import channel as channels
from services.chassis import server as servers_module
from services.chassis.auth import Access
from services.chassis.channel import connect
from services.chassis.server import Server
from tests.conftest import free_port
from tests.integration.chassis.test_server import SERVICE, Servicer

REQUEST = embedder_pb2.DescribeModelRequest()


async def serving(port: int, name: str, host: str = "127.0.0.1") -> Server:
    server = Server(f"{host}:{port}", {SERVICE + "DescribeModel": Access.PUBLIC})
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


class Names(asyncio.DatagramProtocol):
    """A server of names that has the same addresses for each of them, and counts who asks."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5
        is_a = data[end - 4 : end - 2] == b"\0\x01"
        found = [socket.inet_aton(one) for one in self.addresses] if is_a else []
        self.asked += is_a
        # An answer with that question, and a row for each address: the name at byte 12, A, IN, no seconds to keep it.
        head = data[:2] + b"\x81\x80\0\x01" + len(found).to_bytes(2, "big") + b"\0\0\0\0"
        rows = b"".join(b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04" + one for one in found)
        self._transport.sendto(head + data[12:end] + rows, addr)


async def test_added_replica_is_found_when_a_connection_ends_and_no_call_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servers_module, "_CONNECTION_AGE_MS", 300)
    monkeypatch.setattr(channels, "_RESOLVE_MS", 100)
    port, hosts = free_port(), ("127.0.0.1", "127.0.0.2")
    transport, names = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Names(hosts[:1]), local_addr=("127.0.0.1", 0)
    )
    names_port = transport.get_extra_info("sockname")[1]
    servers = [await serving(port, host, host) for host in hosts[:1]]
    answered: Counter[str] = Counter()
    # No call may be repeated: none of them is said to be idempotent.
    async with connect(f"dns://127.0.0.1:{names_port}/retriever.museed.test:{port}") as channel:
        stub = embedder_pb2_grpc.EmbedderServiceStub(channel)

        async def call() -> None:
            answered[(await stub.DescribeModel(REQUEST, timeout=60)).name] += 1

        async def ask(is_over: asyncio.Event) -> None:
            async with asyncio.TaskGroup() as calls:
                while not is_over.is_set():
                    calls.create_task(call())
                    await asyncio.sleep(0.005)

        async def until_asked(count: int) -> None:
            async with asyncio.timeout(60):
                while names.asked < count:
                    await asyncio.sleep(0.01)

        is_over = asyncio.Event()
        asking = asyncio.create_task(ask(is_over))
        await until_asked(3)
        assert set(answered) == {hosts[0]}
        servers.append(await serving(port, hosts[1], hosts[1]))
        names.addresses = list(hosts)
        async with asyncio.timeout(60):
            while not answered[hosts[1]]:
                await asyncio.sleep(0.01)
        await until_asked(names.asked + 3)
        is_over.set()
        await asking
    for server in servers:
        await server.drain()
    transport.close()
