"""API tokens and the caller's network at the border of a server, over a real socket."""

from collections.abc import AsyncIterator

import grpc
import pytest

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from services.chassis import auth
from services.chassis.auth import Access
from services.chassis.channel import connect
from services.chassis.errors import PermissionDenied
from services.chassis.server import Server
from services.chassis.tokens import TokenVerifier
from tests.fakes.tokens import TokenSigner

SERVICE = "/museed.embedder.v1.EmbedderService/"
SIGNER = TokenSigner()


class Servicer(embedder_pb2_grpc.EmbedderServiceServicer):
    """Answers with the caller's network; where it is told of a next server, with what that answers."""

    def __init__(self) -> None:
        self.calls = 0
        self.next: embedder_pb2_grpc.EmbedderServiceAsyncStub | None = None

    async def DescribeModel(self, request: object, context: object) -> embedder_pb2.DescribeModelResponse:
        self.calls += 1
        if self.next is not None:
            return await self.next.DescribeModel(embedder_pb2.DescribeModelRequest(), timeout=30)
        return embedder_pb2.DescribeModelResponse(encoder_id=auth.client())

    async def EmbedText(self, request: object, context: object) -> embedder_pb2.EmbedTextResponse:
        self.calls += 1
        return embedder_pb2.EmbedTextResponse()


class Mesh:
    """Servers of one servicer each, and a channel to each."""

    def __init__(self, servers: list[Server], channels: list[grpc.aio.Channel], servicers: list[Servicer]) -> None:
        self.servers = servers
        self.channels = channels
        self.servicers = servicers

    async def serve(self, access: Access) -> "embedder_pb2_grpc.EmbedderServiceAsyncStub":
        """Start one more server, all of whose RPCs have this access."""
        rows = {SERVICE + name: access for name in ("DescribeModel", "EmbedText")}
        server = Server("127.0.0.1:0", rows, TokenVerifier(SIGNER.jwks, frozenset({"session-ended"})))
        servicer = Servicer()  # type: ignore[abstract]  # nobody calls the other RPCs
        embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, server.grpc)
        await server.start()
        channel = connect(f"127.0.0.1:{server.port}")
        self.servers.append(server)
        self.channels.append(channel)
        self.servicers.append(servicer)
        stub: embedder_pb2_grpc.EmbedderServiceAsyncStub = embedder_pb2_grpc.EmbedderServiceStub(channel)
        return stub


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    made = Mesh([], [], [])
    yield made
    for channel in made.channels:
        await channel.close()
    for server in made.servers:
        await server.drain(0.1)


READS, WRITES = "DescribeModel", "EmbedText"
MISSING, SESSION, ROLE = "SCOPE_MISSING", "SESSION_REQUIRED", "PERMISSION_DENIED"
TABLE = [
    # access, RPC, scopes, role, reason of the refusal, what the token has, what it lacks
    (Access.PUBLIC, READS, "read", "user", None, None, None),
    (Access.PUBLIC, READS, "write admin", "user", MISSING, "write admin", "read"),
    (Access.PUBLIC, WRITES, "read", "user", MISSING, "read", "write"),
    (Access.USER, READS, "read", "user", None, None, None),
    (Access.USER, READS, "write", "user", MISSING, "write", "read"),
    (Access.USER, READS, "none", "user", MISSING, "none", "read"),
    (Access.USER, READS, "readable", "user", MISSING, "none", "read"),
    (Access.USER, WRITES, "read", "user", MISSING, "read", "write"),
    (Access.USER, WRITES, "write", "user", None, None, None),
    (Access.USER, WRITES, "read admin", "admin", MISSING, "read admin", "write"),
    (Access.USER, WRITES, "future write", "user", None, None, None),
    (Access.SESSION, READS, "read write admin", "admin", SESSION, None, None),
    (Access.SESSION, WRITES, "read write admin", "admin", SESSION, None, None),
    (Access.ADMIN, READS, "read write", "admin", MISSING, "read write", "admin"),
    (Access.ADMIN, READS, "read write", "user", MISSING, "read write", "admin"),
    (Access.ADMIN, READS, "read write admin", "user", ROLE, None, None),
    (Access.ADMIN, WRITES, "admin", "admin", None, None, None),
    (Access.WORKER, READS, "read write admin", "admin", ROLE, None, None),
]


@pytest.mark.parametrize(("access", "rpc", "scopes", "role", "reason", "has", "lacks"), TABLE)
async def test_api_token_needs_the_scope_of_the_rpc(
    access: Access,
    rpc: str,
    scopes: str,
    role: str,
    reason: str | None,
    has: str | None,
    lacks: str | None,
    mesh: Mesh,
) -> None:
    stub = await mesh.serve(access)
    metadata = (("authorization", f"Bearer {SIGNER.api_token(scopes, role=role)}"),)

    async def call() -> None:
        if rpc == READS:
            await stub.DescribeModel(embedder_pb2.DescribeModelRequest(), timeout=30, metadata=metadata)
        else:
            await stub.EmbedText(embedder_pb2.EmbedTextRequest(), timeout=30, metadata=metadata)

    if reason is None:
        await call()
    else:
        with pytest.raises(PermissionDenied) as caught:
            await call()
        assert (caught.value.reason, caught.value.value, caught.value.limit) == (reason, has, lacks)
        if reason == MISSING:
            assert caught.value.message == f"the token's scope is {has}, this needs {lacks}"
    assert mesh.servicers[0].calls == (1 if reason is None else 0)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("2001:db8::/64", "2001:db8::/64"),
        ("x" * 64, "x" * 64),
        ("x" * 65, ""),
        ("203.0.113.0 ", ""),
        ("a;b", ""),
        ("", ""),
        (None, ""),
    ],
)
async def test_network_is_taken_where_it_looks_like_one(said: str | None, heard: str, mesh: Mesh) -> None:
    stub = await mesh.serve(Access.PUBLIC)
    metadata = ((auth.CLIENT_HEADER, said),) if said is not None else ()
    answer = await stub.DescribeModel(embedder_pb2.DescribeModelRequest(), timeout=30, metadata=metadata)
    assert answer.encoder_id == heard


async def test_network_travels_with_each_call_that_is_made_for_a_request(mesh: Mesh) -> None:
    first = await mesh.serve(Access.PUBLIC)
    second = await mesh.serve(Access.PUBLIC)
    mesh.servicers[0].next = second
    request = embedder_pb2.DescribeModelRequest()
    metadata = ((auth.CLIENT_HEADER, "203.0.113.0/24"),)
    assert (await first.DescribeModel(request, timeout=30, metadata=metadata)).encoder_id == "203.0.113.0/24"
    assert (await first.DescribeModel(request, timeout=30)).encoder_id == ""  # and does not stay
    auth.bind_client("198.51.100.0/24")
    assert (await first.DescribeModel(request, timeout=30)).encoder_id == "198.51.100.0/24"
