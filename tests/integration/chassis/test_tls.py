"""Servers and channels that speak mutual TLS: who is let in, whom a caller believes, and certificates that change."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from services.chassis import health, tls
from services.chassis.auth import Access
from services.chassis.channel import connect
from services.chassis.errors import PermissionDenied, Unavailable, Unimplemented
from services.chassis.server import Server
from services.chassis.tls import Identity
from tests.fakes.certificates import Authority
from tests.integration.chassis.test_server import SERVICE, Servicer

_REQUEST = embedder_pb2.DescribeModelRequest()
_METHOD = SERVICE + "DescribeModel"
_PATIENCE_S = 60.0


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_LOOK_INTERVAL_S", 0.0)


@asynccontextmanager
async def serving(identity: Identity) -> AsyncIterator[Server]:
    server = Server("127.0.0.1:0", {_METHOD: Access.PUBLIC}, identity=identity)
    servicer = Servicer(lambda: embedder_pb2.DescribeModelResponse(name="here"))
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, server.grpc)
    await server.start()
    await server.set_serving(True)
    try:
        yield server
    finally:
        await server.drain(0)


async def ask(port: int, identity: Identity | None, peer: str = "embedder") -> str:
    async with connect(f"127.0.0.1:{port}", identity=identity, peer=peer) as channel:
        return await asked(channel)


async def asked(channel: grpc.aio.Channel) -> str:
    answer = await embedder_pb2_grpc.EmbedderServiceStub(channel).DescribeModel(_REQUEST, timeout=_PATIENCE_S)
    return str(answer.name)


async def test_both_sides_show_certificates(authority: Authority, tmp_path: Path) -> None:
    social = authority.issue(tmp_path / "social", "social").identity()
    async with serving(authority.issue(tmp_path / "embedder", "embedder").identity()) as server:
        assert await ask(server.port, social) == "here"


async def test_caller_without_tls_or_without_a_certificate_is_refused(authority: Authority, tmp_path: Path) -> None:
    async with serving(authority.issue(tmp_path / "embedder", "embedder").identity()) as server:
        with pytest.raises(Unavailable):
            await ask(server.port, None)
        credentials = grpc.ssl_channel_credentials(authority.certificate)
        options = [("grpc.ssl_target_name_override", "embedder")]
        async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", credentials, options) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await asked(channel)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_caller_of_another_ca_or_with_an_old_certificate_is_refused(authority: Authority, tmp_path: Path) -> None:
    foreign = Authority().issue(tmp_path / "foreign", "social", ca=authority.certificate).identity()
    expired = authority.issue(tmp_path / "expired", "social", is_expired=True).identity()
    async with serving(authority.issue(tmp_path / "embedder", "embedder").identity()) as server:
        for caller in (foreign, expired):
            with pytest.raises(Unavailable):
                await ask(server.port, caller)


async def test_server_that_is_somebody_else_is_not_believed(authority: Authority, tmp_path: Path) -> None:
    social = authority.issue(tmp_path / "social", "social").identity()
    retriever = authority.issue(tmp_path / "retriever", "retriever").identity()
    foreign = Authority().issue(tmp_path / "foreign", "embedder", ca=authority.certificate).identity()
    expired = authority.issue(tmp_path / "expired", "embedder", is_expired=True).identity()
    for identity in (retriever, foreign, expired):
        async with serving(identity) as server:
            with pytest.raises(Unavailable):
                await ask(server.port, social)


async def test_server_without_tls_is_told_nothing(authority: Authority, tmp_path: Path) -> None:
    social = authority.issue(tmp_path / "social", "social").identity()
    server = Server("127.0.0.1:0", {_METHOD: Access.PUBLIC})
    await server.start()
    with pytest.raises(Unavailable):
        await ask(server.port, social)
    await server.drain(0)


async def test_only_named_callers_come_in(authority: Authority, tmp_path: Path) -> None:
    social = authority.issue(tmp_path / "social", "social.museed", "social").identity()
    gateway = authority.issue(tmp_path / "gateway", "gateway", "gateway.museed").identity()
    async with serving(authority.issue(tmp_path / "embedder", "embedder").identity(("social", "operator"))) as server:
        assert await ask(server.port, social) == "here"
        with pytest.raises(PermissionDenied) as raised:
            await ask(server.port, gateway)
        assert (raised.value.reason, raised.value.message) == (
            "CALLER_REFUSED",
            "gateway, gateway.museed may not call this process",
        )
        # Whoever calls one of several addresses must be able to watch its health, and processes ask themselves.
        assert await health.fault_of(f"127.0.0.1:{server.port}", server_identity(authority, tmp_path)) is None


def server_identity(authority: Authority, tmp_path: Path) -> Identity:
    return authority.issue(tmp_path / "self", "embedder").identity()


async def test_peer_must_be_named(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"who is at 127\.0\.0\.1:1 must be said"):
        connect("127.0.0.1:1", identity=authority.issue(tmp_path, "social").identity())


async def test_several_addresses_are_one_peer(authority: Authority, tmp_path: Path) -> None:
    social = authority.issue(tmp_path / "social", "social").identity()
    embedder = authority.issue(tmp_path / "embedder", "embedder").identity()
    async with serving(embedder) as first, serving(embedder) as second:
        addresses = f"ipv4:127.0.0.1:{first.port},127.0.0.1:{second.port}"
        async with connect(addresses, identity=social, peer="embedder") as channel:
            await first.set_serving(False)
            assert [await asked(channel) for _ in range(10)] == ["here"] * 10


async def test_renewed_certificates_are_used_and_open_connections_go_on(authority: Authority, tmp_path: Path) -> None:
    """Both sides change to another CA, one after the other: only what the files hold now can have been shown."""
    other = Authority("the-next-ca")
    both = authority.certificate + other.certificate
    social = authority.issue(tmp_path / "social", "social").identity()
    embedder = authority.issue(tmp_path / "embedder", "embedder").identity()
    async with (
        serving(embedder) as server,
        connect(address := f"127.0.0.1:{server.port}", identity=social, peer="embedder") as channel,
    ):
        assert await asked(channel) == "here"
        authority.issue(tmp_path / "embedder", "embedder", ca=both)
        authority.issue(tmp_path / "social", "social", ca=both)
        other.issue(tmp_path / "embedder", "embedder", ca=both)
        assert await asked(channel) == "here"
        stranger = other.issue(tmp_path / "new", "social").identity()
        async with connect(address, identity=stranger, peer="embedder") as new:
            assert await asked(new) == "here"
        other.issue(tmp_path / "social", "social")
        other.issue(tmp_path / "embedder", "embedder")
        assert await asked(channel) == "here"
        left = authority.issue(tmp_path / "left", "social", ca=both).identity()
        with pytest.raises(Unavailable):
            await ask(server.port, left)
        assert await asked(channel) == "here"


async def test_probes_hear_of_health_and_nothing_else(authority: Authority, tmp_path: Path) -> None:
    identity = authority.issue(tmp_path, "embedder").identity((), "127.0.0.1:0")
    async with serving(identity) as server:
        address = f"127.0.0.1:{server.probes_port}"
        assert await health.fault_of(address) is None
        await server.set_serving(False)
        assert await health.fault_of(address) == "NOT_SERVING"
        with pytest.raises(Unimplemented):
            await ask(server.probes_port, None)


async def test_health_command_shows_the_process_s_own_certificate(authority: Authority, tmp_path: Path) -> None:
    files = authority.issue(tmp_path, "embedder")
    async with serving(files.identity(("social",))) as server:
        command = [sys.executable, "-m", "services.chassis.health", f"127.0.0.1:{server.port}"]
        process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **files.environment()})
        assert await process.wait() == 0
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        assert await process.wait() == 1
