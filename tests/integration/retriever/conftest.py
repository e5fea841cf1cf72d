"""A retriever's parts on a real NATS, under the retriever's own NATS user, and a social that signs tokens."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from museed.retriever.v1 import (
    profiles_pb2_grpc,
    reference_pb2_grpc,
    retriever_pb2_grpc,
)
from museed.social.v1 import accounts_pb2, accounts_pb2_grpc, encoders_pb2, encoders_pb2_grpc, events_pb2
from services.chassis import vectors
from services.chassis.auth import Access
from services.chassis.blobs import open_blob_store
from services.chassis.bus import Bus, PublishAck, profile_subject, vector_subject
from services.chassis.channel import connect
from services.chassis.server import Server
from services.chassis.tokens import TokenVerifier
from services.retriever.clients import Kept
from services.retriever.consumer import LogConsumer
from services.retriever.live.collection import Collection, Collections
from services.retriever.live.live import LiveIndex
from services.retriever.live.snapshots import SnapshotKeeper
from services.retriever.milvus.milvus_engine import MilvusIndex
from services.retriever.profile_consumer import ProfileConsumer
from services.retriever.profiles.profiles import Profiles
from services.retriever.profiles.taste import TasteVectors
from services.retriever.reference.reference import ReferenceMatcher
from services.retriever.reference.window_cache import WindowCache
from services.retriever.reference.window_store import WindowStore
from services.retriever.servicer import profile_servicer, reference_servicer, servicer
from services.retriever.servicer.profile_servicer import ProfileServicer
from services.retriever.servicer.reference_servicer import ReferenceServicer
from services.retriever.servicer.servicer import Servicer
from services.retriever.similarity import Float32Array
from tests.conftest import NatsServer
from tests.fakes.tokens import TokenSigner

ACCESS = servicer.ACCESS | profile_servicer.ACCESS | reference_servicer.ACCESS
ENCODER_ID = "enc-0123456789abcdef"
DIMENSION = 16


def unit(seed: int, dimension: int = DIMENSION) -> Float32Array:
    """A random unit vector that is the same for the same seed."""
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


async def health_of(channel: grpc.aio.Channel) -> int:
    """What a process says of itself by gRPC health."""
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    answer = await check(health_pb2.HealthCheckRequest(), timeout=30)
    return int(answer.status)


class Log:
    """Writes the VECTORS log as social does."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._count = 0

    async def put(self, track_id: str, sound: int, version: int = 1, **changes: Any) -> PublishAck:
        """Say that a track sounds like this."""
        fields: dict[str, Any] = {
            "track_id": track_id,
            "encoder_id": ENCODER_ID,
            "version": version,
            "vector": vectors.encode(unit(sound)),
            "title": f"title of {track_id}",
            "artist": f"artist of {track_id}",
            "duration_seconds": 100.0,
        }
        message = events_pb2.TrackVector(**(fields | changes))
        return await self.put_raw(track_id, message.SerializeToString())

    async def put_raw(self, track_id: str, payload: bytes, encoder_id: str = ENCODER_ID) -> PublishAck:
        """Write any bytes; none are a tombstone."""
        self._count += 1
        return await self._bus.publish(vector_subject(encoder_id, track_id), payload, f"event-{self._count}")

    async def put_profile(
        self, profile_id: str, weights: dict[str, float], version: int = 1, *, is_listed: bool = True
    ) -> PublishAck:
        """Say what somebody listens to, on the PROFILES log."""
        message = events_pb2.ProfileWeights(
            profile_id=profile_id,
            version=version,
            tracks=[events_pb2.TrackWeight(track_id=track_id, weight=weight) for track_id, weight in weights.items()],
            is_listed=is_listed,
        )
        return await self.put_profile_raw(profile_id, message.SerializeToString())

    async def put_profile_raw(self, profile_id: str, payload: bytes) -> PublishAck:
        """Write any bytes; none are a tombstone."""
        self._count += 1
        return await self._bus.publish(profile_subject(profile_id), payload, f"event-{self._count}")


@pytest.fixture
def log(bus: Bus) -> Log:
    return Log(bus)


@dataclass
class Retriever:
    """A running retriever of this process, with what its health was told. `kept` is what social answers."""

    collections: Collections
    stub: "retriever_pb2_grpc.RetrieverServiceAsyncStub"  # a name of the type hints only
    channel: grpc.aio.Channel
    profiles: Profiles
    profile_consumer: ProfileConsumer
    kept: Kept = field(default_factory=lambda: Kept(ENCODER_ID))
    readiness: list[bool] = field(default_factory=list)

    @property
    def profile_stub(self) -> "profiles_pb2_grpc.ProfileServiceAsyncStub":
        return profiles_pb2_grpc.ProfileServiceStub(self.channel)

    @property
    def reference_stub(self) -> "reference_pb2_grpc.ReferenceServiceAsyncStub":
        return reference_pb2_grpc.ReferenceServiceStub(self.channel)

    @property
    def live(self) -> LiveIndex:
        return self.collections.of(ENCODER_ID).live

    @property
    def consumer(self) -> LogConsumer:
        return self.collections.of(ENCODER_ID).consumer

    @property
    def keeper(self) -> SnapshotKeeper:
        keeper = self.collections.of(ENCODER_ID).keeper
        assert isinstance(keeper, SnapshotKeeper)
        return keeper

    async def until(self, is_true: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait until a claim about the live index is true."""
        assert await self.live.wait_until(is_true, timeout_s), f"not so after {timeout_s} s"

    async def ids(self) -> set[str]:
        return await self.live.run(lambda index: {track.track_id for track in index.tracks})


@contextlib.asynccontextmanager
async def running_retriever(
    nats_server: NatsServer,
    snapshot_folder: Path,
    verifier: TokenVerifier | None = None,
    open_milvus: Callable[[str], MilvusIndex] | None = None,
    blob_folder: Path | None = None,
) -> AsyncIterator[Retriever]:
    """Run a retriever until the block ends, then save its snapshot; with a folder, it has a blob store there."""
    readiness: list[bool] = []
    access = ACCESS if verifier is not None else dict.fromkeys(ACCESS, Access.PUBLIC)
    server = Server("127.0.0.1:0", access, verifier)

    async def set_serving(is_ready: bool) -> None:
        readiness.append(is_ready)
        await server.set_serving(is_ready)

    def make(encoder_id: str, on_ready: Callable[[bool], Awaitable[None]]) -> Collection:
        return Collection(encoder_id, snapshot_folder, 10_000, 3600, on_ready, open_milvus=open_milvus)

    collections = Collections(ENCODER_ID, make, set_serving)
    profiles = Profiles()
    playlists = Servicer(collections, lambda index: TasteVectors(profiles, index))
    retriever_pb2_grpc.add_RetrieverServiceServicer_to_server(playlists, server.grpc)
    consumer = ProfileConsumer(profiles)
    profile_side = ProfileServicer(collections, profiles)
    profiles_pb2_grpc.add_ProfileServiceServicer_to_server(profile_side, server.grpc)
    matcher = None
    if blob_folder is not None:
        blobs = open_blob_store(f"file://{blob_folder}")
        matcher = ReferenceMatcher(WindowStore(blobs, WindowCache(blobs, snapshot_folder / ".windows", 0, 0)))
    reference_pb2_grpc.add_ReferenceServiceServicer_to_server(ReferenceServicer(collections, matcher), server.grpc)
    await server.start()
    bus = await Bus.connect(nats_server.settings("retriever"), "retriever")
    channel = connect(f"127.0.0.1:{server.port}")
    stub = retriever_pb2_grpc.RetrieverServiceStub(channel)
    found = Retriever(collections, stub, channel, profiles, consumer, readiness=readiness)

    async def fetch_kept() -> Kept:
        return found.kept

    tasks = [asyncio.create_task(collections.run(bus, fetch_kept)), asyncio.create_task(consumer.run(bus))]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await channel.close()
        await server.drain(1.0)
        profile_side.close()
        if matcher is not None:
            matcher.close()
        await bus.close()


@pytest.fixture
async def retriever(nats_server: NatsServer, bus: Bus, tmp_path: Path) -> AsyncIterator[Retriever]:
    """A retriever that has read the empty log to its end; everybody may call everything."""
    async with running_retriever(nats_server, tmp_path / "snapshots") as running:
        await running.until(lambda: running.live.is_caught_up)
        yield running


class FakeAccounts(accounts_pb2_grpc.AccountServiceServicer):
    """Social's side of tokens."""

    def __init__(self, signer: TokenSigner) -> None:
        self.signer = signer
        self.revoked: list[str] = []

    async def GetJwks(self, request: accounts_pb2.GetJwksRequest, context: object) -> accounts_pb2.GetJwksResponse:
        return accounts_pb2.GetJwksResponse(jwks=await self.signer.jwks())

    async def ListRevokedSessions(
        self, request: accounts_pb2.ListRevokedSessionsRequest, context: object
    ) -> accounts_pb2.ListRevokedSessionsResponse:
        await asyncio.sleep(0)
        return accounts_pb2.ListRevokedSessionsResponse(session_ids=self.revoked)


class FakeEncoders(encoders_pb2_grpc.EncoderServiceServicer):
    """Social's side of encoders: one is served, and nothing else."""

    async def GetServingEncoder(
        self, request: encoders_pb2.GetServingEncoderRequest, context: object
    ) -> encoders_pb2.GetServingEncoderResponse:
        await asyncio.sleep(0)
        return encoders_pb2.GetServingEncoderResponse(roles=encoders_pb2.EncoderRoles(serving_id=ENCODER_ID))


@dataclass(frozen=True)
class Social:
    """Where the fake social listens, and its inside."""

    address: str
    accounts: FakeAccounts


@pytest.fixture
async def social() -> AsyncIterator[Social]:
    accounts = FakeAccounts(TokenSigner())  # type: ignore[abstract]  # nobody here calls the other RPCs
    service = "/museed.social.v1.AccountService"
    public = [
        f"{service}/GetJwks",
        f"{service}/ListRevokedSessions",
        "/museed.social.v1.EncoderService/GetServingEncoder",
    ]
    server = Server("127.0.0.1:0", dict.fromkeys(public, Access.PUBLIC))
    encoders = FakeEncoders()  # type: ignore[abstract]  # nobody here calls the other RPCs
    encoders_pb2_grpc.add_EncoderServiceServicer_to_server(encoders, server.grpc)
    accounts_pb2_grpc.add_AccountServiceServicer_to_server(accounts, server.grpc)
    await server.start()
    yield Social(f"127.0.0.1:{server.port}", accounts)
    await server.drain(0.1)
