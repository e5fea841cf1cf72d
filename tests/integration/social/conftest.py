"""The social service in this process: real PostgreSQL, real NATS, real sockets; embedder and retriever are fakes."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import asyncpg
import grpc
import pytest
from pydantic import SecretStr

from museed.embedder.v1 import events_pb2 as embedder_events_pb2
from museed.social.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    encoders_pb2,
    encoders_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    playlists_pb2,
    playlists_pb2_grpc,
)
from services.chassis.bus import Bus
from services.chassis.channel import connect
from services.social.__main__ import running
from services.social.ids import new_id
from services.social.migrate import migrate, read_migrations
from services.social.settings import SocialSettings
from services.social.store.database import Database
from tests.conftest import NatsServer, free_port
from tests.integration.social.fakes import (
    ENCODER_ID,
    FakeEmbedder,
    FakeRetriever,
    embedding,
    serving_embedder,
    serving_retriever,
)

Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

TIMEOUT_S = 10.0
EMBEDDED = "museed.embedder.v1.track_embedded"
EMBEDDING_FAILED = "museed.embedder.v1.track_embedding_failed"


def sha(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


@dataclass(frozen=True)
class Person:
    """Somebody who is logged in."""

    user_id: str
    username: str
    password: str
    access_token: str
    refresh_token: str

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.access_token}"),)


@dataclass
class Client:
    """Typed stubs of one social process; every error comes as the DomainError that was raised."""

    channel: grpc.aio.Channel
    count: int = 0

    @property
    def accounts(self) -> "accounts_pb2_grpc.AccountServiceAsyncStub":
        return accounts_pb2_grpc.AccountServiceStub(self.channel)

    @property
    def catalog(self) -> "catalog_pb2_grpc.CatalogServiceAsyncStub":
        return catalog_pb2_grpc.CatalogServiceStub(self.channel)

    @property
    def encoders(self) -> "encoders_pb2_grpc.EncoderServiceAsyncStub":
        return encoders_pb2_grpc.EncoderServiceStub(self.channel)

    @property
    def playlists(self) -> "playlists_pb2_grpc.PlaylistServiceAsyncStub":
        return playlists_pb2_grpc.PlaylistServiceStub(self.channel)

    @property
    def jobs(self) -> "jobs_pb2_grpc.JobServiceAsyncStub":
        return jobs_pb2_grpc.JobServiceStub(self.channel)

    async def sign_up(self, username: str | None = None) -> Person:
        self.count += 1
        name = username or f"person{self.count}"
        password = f"secret of {name}"
        request = accounts_pb2.SignUpRequest(username=name, email=f"{name}@example.org", password=password)
        answer = await self.accounts.SignUp(request, timeout=TIMEOUT_S)
        return Person(
            answer.viewer.user.user_id, name, password, answer.tokens.access_token, answer.tokens.refresh_token
        )

    async def register_root(self, admin: Person, location: str = "/music") -> str:
        request = catalog_pb2.RegisterRootRequest(location=location)
        return (await self.catalog.RegisterRoot(request, timeout=TIMEOUT_S, metadata=admin.metadata)).root_id

    async def register(
        self, admin: Person, root_id: str, tracks: Sequence[catalog_pb2.TrackRegistration]
    ) -> list[catalog_pb2.RegisteredTrack]:
        request = catalog_pb2.RegisterTracksRequest(root_id=root_id, tracks=tracks)
        return list((await self.catalog.RegisterTracks(request, timeout=TIMEOUT_S, metadata=admin.metadata)).tracks)

    async def track(self, track_id: str) -> catalog_pb2.Track:
        request = catalog_pb2.BatchGetTracksRequest(track_ids=[track_id])
        return (await self.catalog.BatchGetTracks(request, timeout=TIMEOUT_S)).tracks[0]

    async def upload(self, who: Person, digest: bytes = sha("upload"), file_name: str = "demo.ogg") -> str:
        request = catalog_pb2.CreateUploadRequest(
            digest=digest, size_bytes=1000, content_type="audio/ogg", file_name=file_name
        )
        return (await self.catalog.CreateUpload(request, timeout=TIMEOUT_S, metadata=who.metadata)).upload.upload_id

    async def generate(
        self, who: Person, *seeds: jobs_pb2.GenerationSeed, wait_ms: int = 5_000, key: str = "", **recipe: object
    ) -> jobs_pb2.Job:
        request = jobs_pb2.CreateGenerationJobRequest(
            idempotency_key=key or new_id(),
            recipe=jobs_pb2.Recipe(seeds=seeds, **recipe),  # type: ignore[arg-type]  # any field of a recipe
            wait_ms=wait_ms,
        )
        return (await self.jobs.CreateGenerationJob(request, timeout=TIMEOUT_S, metadata=who.metadata)).job

    async def job(self, who: Person, job_id: str, wait_ms: int = 5_000) -> jobs_pb2.Job:
        request = jobs_pb2.GetJobRequest(job_id=job_id, wait_ms=wait_ms)
        return (await self.jobs.GetJob(request, timeout=TIMEOUT_S, metadata=who.metadata)).job

    async def roles(self) -> tuple[str, str, str]:
        """The serving encoder, the candidate, and the one before."""
        request = encoders_pb2.GetServingEncoderRequest()
        roles = (await self.encoders.GetServingEncoder(request, timeout=TIMEOUT_S)).roles
        return roles.serving_id, roles.candidate_id, roles.previous_id

    async def switch(self, admin: Person, encoder_id: str) -> encoders_pb2.EncoderRoles:
        request = encoders_pb2.SwitchEncoderRequest(encoder_id=encoder_id)
        return (await self.encoders.SwitchEncoder(request, timeout=TIMEOUT_S, metadata=admin.metadata)).roles

    async def roll_back(self, admin: Person) -> encoders_pb2.RollBackEncoderResponse:
        request = encoders_pb2.RollBackEncoderRequest()
        return await self.encoders.RollBackEncoder(request, timeout=TIMEOUT_S, metadata=admin.metadata)

    async def playlist(self, who: Person | None, playlist_id: str) -> playlists_pb2.GetPlaylistResponse:
        request = playlists_pb2.GetPlaylistRequest(playlist_id=playlist_id)
        metadata = None if who is None else who.metadata
        return await self.playlists.GetPlaylist(request, timeout=TIMEOUT_S, metadata=metadata)


def registration(name: str, **more: object) -> catalog_pb2.TrackRegistration:
    """A file whose hashes follow from its name."""
    fields: dict[str, object] = {
        "relative_path": f"{name}.ogg".encode(),
        "file_hash": sha(f"file {name}"),
        "audio_hash": sha(f"audio {name}"),
        "size_bytes": 1_000,
        "content_type": "audio/ogg",
        "title": name,
        "artist": "Somebody",
        "album": "An Album",
        "raw_genre": "Rock",
        "year": 1999,
        "duration_seconds": 60.0,
    }
    return catalog_pb2.TrackRegistration(**{**fields, **more})  # type: ignore[arg-type]  # any field


async def publish_embedded(
    bus: Bus, track_id: str, audio_hash: bytes, event_id: str = "", encoder_id: str = ENCODER_ID
) -> None:
    """What an embedder says when it has embedded a track."""
    heard = embedding(audio_hash, encoder_id)
    event = embedder_events_pb2.TrackEmbedded(track_id=track_id, audio_hash=audio_hash, embedding=heard)
    await bus.publish(EMBEDDED, event.SerializeToString(), event_id or new_id())


@dataclass
class Mesh:
    """A social process and what surrounds it."""

    settings: SocialSettings
    nats: NatsServer
    embedder: FakeEmbedder
    retriever: FakeRetriever
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def start(self) -> Client:
        """Start a social process and return its client."""
        service = await self.stack.enter_async_context(running(self.settings, self.nats.settings("social")))
        channel = connect(f"127.0.0.1:{service.server.port}")
        await self.stack.enter_async_context(channel)
        return Client(channel)

    async def bus(self, service: str = "embedder") -> Bus:
        """Connect to NATS as another service."""
        connection = await Bus.connect(self.nats.settings(service), service)
        self.stack.push_async_callback(connection.close)
        return connection


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database without a service."""
    await migrate(database_url, read_migrations())
    connected = await Database.connect(database_url, size=12, statement_timeout_ms=10_000)
    yield connected
    await connected.close()


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[Sql]:
    """A plain connection, to look and to meddle."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def settings(database_url: str) -> SocialSettings:
    return SocialSettings(
        database_url=SecretStr(database_url),
        listen=f"127.0.0.1:{free_port()}",
        embedder_address=f"127.0.0.1:{free_port()}",
        retriever_address=f"127.0.0.1:{free_port()}",
    )


@pytest.fixture
async def mesh(settings: SocialSettings, nats_server: NatsServer) -> AsyncIterator[Mesh]:
    """Everything but social itself."""
    made = Mesh(settings, nats_server, FakeEmbedder(), FakeRetriever())

    def social_address() -> str:
        return made.settings.listen

    async with (
        serving_embedder(made.embedder, settings.embedder_address, social_address),
        serving_retriever(made.retriever, settings.retriever_address, social_address),
    ):
        yield made
        await made.stack.aclose()


@pytest.fixture
async def social(mesh: Mesh) -> Client:
    """A running social service."""
    return await mesh.start()


async def until(condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
    """Wait until something is true; an awaitable answer is awaited."""
    async with asyncio.timeout(timeout_s):
        while True:
            answer = condition()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(0.02)


@dataclass
class Library:
    """A root with tracks that are INDEXED, and the admin who registered them."""

    admin: Person
    root_id: str
    track_ids: list[str]


async def make_library(mesh: Mesh, client: Client, count: int = 6) -> Library:
    """Register, embed and index some tracks; the retriever chooses from them."""
    admin = await client.sign_up("admin")
    root_id = await client.register_root(admin)
    names = [f"Track {number}" for number in range(count)]

    async def is_encoder_known() -> bool:
        return (await client.roles())[0] != ""

    await until(is_encoder_known)
    tracks = await client.register(admin, root_id, [registration(name) for name in names])
    bus = await mesh.bus()
    await until_streams(bus)
    for name, track in zip(names, tracks, strict=True):
        await publish_embedded(bus, track.track_id, sha(f"audio {name}"))

    async def is_indexed() -> bool:
        request = catalog_pb2.GetIngestProgressRequest(root_id=root_id)
        progress = await client.catalog.GetIngestProgress(request, timeout=TIMEOUT_S, metadata=admin.metadata)
        return progress.indexed == count

    await until(is_indexed)
    mesh.retriever.track_ids = [track.track_id for track in tracks]
    return Library(admin, root_id, mesh.retriever.track_ids)


async def until_streams(bus: Bus) -> None:
    """Wait until social has provisioned the streams that an embedder reads and writes."""

    async def are_there() -> bool:
        return await bus.stream_created_at("EMBEDDER_EVENTS") is not None

    await until(are_there)


@pytest.fixture
async def library(mesh: Mesh, social: Client) -> Library:
    return await make_library(mesh, social)
