"""The social service in this process: real PostgreSQL, real NATS, real sockets; embedder and retriever are fakes."""

import asyncio
import contextlib
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import argon2
import asyncpg
import pytest
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from deploy.local.postgres import Postgres
from museed.embedder.v1 import events_pb2 as embedder_events_pb2
from museed.social.v1 import catalog_pb2
from services.chassis.bus import Bus
from services.chassis.channel import connect
from services.social import __main__ as social_process
from services.social.__main__ import running
from services.social.domain import passwords
from services.social.domain.ids import new_id
from services.social.migrate import migrate, read_migrations
from services.social.settings import SocialSettings
from services.social.store.database import Database
from tests.conftest import NatsServer, free_port, fresh_database
from tests.integration.social.client import TIMEOUT_S, Client, Person, registration, sha
from tests.integration.social.fakes import (
    ENCODER_ID,
    FakeEmbedder,
    FakeRetriever,
    embedding,
    serving_embedder,
    serving_retriever,
)

__all__ = [
    "EMBEDDED",
    "EMBEDDING_FAILED",
    "TIMEOUT_S",
    "Client",
    "Library",
    "Mesh",
    "Person",
    "Sql",
    "make_library",
    "publish_embedded",
    "registration",
    "sha",
    "until",
    "until_streams",
]

Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# FirstNormalObjectId: below are types that are the same in all databases.
_FIRST_OID_OF_USERS = 16_384
_DEAR = passwords._ARGON2ID
EMBEDDED = "museed.embedder.v1.track_embedded"
EMBEDDING_FAILED = "museed.embedder.v1.track_embedding_failed"


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
        async with asyncio.timeout(TIMEOUT_S):
            await channel.channel_ready()
        return Client(channel)

    async def bus(self, service: str = "embedder") -> Bus:
        """Connect to NATS as another service."""
        connection = await Bus.connect(self.nats.settings(service), service)
        self.stack.push_async_callback(connection.close)
        return connection


@pytest.fixture(scope="module", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Hash passwords a hundred times as fast: each social process hashes one as it starts."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "_ARGON2ID", argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        yield


@pytest.fixture(scope="module", autouse=True)
def known_types() -> Iterator[None]:
    """Ask PostgreSQL once, not on each of ten connections a test, what types of its own are: each time took 15 ms."""
    asked: Callable[..., Awaitable[tuple[object, object]]] = vars(asyncpg.Connection)["_introspect_types"]
    known: dict[frozenset[int], object] = {}

    async def introspect(self: Sql, oids: Iterable[int], timeout: float | None) -> tuple[object, object]:
        key = frozenset(oids)
        if max(key) >= _FIRST_OID_OF_USERS:
            return await asked(self, oids, timeout)
        if key not in known:
            known[key], _ = await asked(self, oids, timeout)
        return known[key], types.SimpleNamespace(name="known")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(asyncpg.Connection, "_introspect_types", introspect)
        yield


@pytest.fixture(scope="module", autouse=True)
def known_migrations() -> Iterator[None]:
    """Read the migrations once, not in each social process."""
    with pytest.MonkeyPatch.context() as patched:
        known = read_migrations()
        patched.setattr(social_process, "read_migrations", lambda: known)
        yield


@pytest.fixture
def dear_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords as slowly as in production."""
    monkeypatch.setattr(passwords, "_ARGON2ID", _DEAR)


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """Name of a database with every table and no row, of which tests get copies."""

    async def make() -> str:
        name = f"migrated_{uuid7().hex}"
        connection = await asyncpg.connect(postgres.url())
        await connection.execute(f'CREATE DATABASE "{name}"')
        await connection.close()
        await migrate(postgres.url(name), read_migrations())
        return name

    return asyncio.run(make())


@pytest.fixture
async def database_url(postgres: Postgres, migrated: str) -> AsyncIterator[str]:
    """Address of a migrated database of this test's own."""
    async with fresh_database(postgres, migrated) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database without a service."""
    connected = await Database.connect(database_url, size=12, statement_timeout_ms=60_000)
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
        # What takes long here tells of the machine.
        statement_timeout_ms=60_000,
    )


@pytest.fixture
async def mesh(settings: SocialSettings, nats_server: NatsServer) -> AsyncIterator[Mesh]:
    """Everything but social itself."""
    async with surrounding(settings, nats_server, FakeEmbedder()) as made:
        yield made


@contextlib.asynccontextmanager
async def surrounding(settings: SocialSettings, nats_server: NatsServer, embedder: FakeEmbedder) -> AsyncIterator[Mesh]:
    """Serve what surrounds a social process."""
    made = Mesh(settings, nats_server, embedder, FakeRetriever())

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
