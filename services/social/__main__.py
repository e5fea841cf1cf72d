"""Wires the social service and serves it: `python -m services.social` migrates the database first."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from museed.social.v1 import (
    accounts_pb2_grpc,
    catalog_pb2_grpc,
    encoders_pb2_grpc,
    jobs_pb2_grpc,
    playlists_pb2_grpc,
    work_pb2_grpc,
)
from services.chassis import server
from services.chassis.auth import Revocations, TokenVerifier
from services.chassis.blobs import open_blob_store
from services.chassis.bus import Bus, BusSettings
from services.chassis.settings import load
from services.chassis.telemetry import Metrics, configure_logging, told
from services.social.background import Bells, Nudge, raise_if_cancelled
from services.social.clients import EmbedderClient, Embedders, RetrieverClient, connect_embedder, connect_retriever
from services.social.consumer import EmbedderEvents
from services.social.generation import Generator, Patience
from services.social.migrate import migrate, read_migrations
from services.social.passwords import FailedLogins, PasswordHasher
from services.social.publisher import Publisher
from services.social.reconciler import EncoderKeeper, StreamKeeper, Sweeper
from services.social.replay import Replayer
from services.social.servicer.access import ACCESS
from services.social.servicer.accounts import REVOCATION_MEMORY, AccountServicer
from services.social.servicer.catalog import CatalogServicer
from services.social.servicer.encoders import EncoderServicer
from services.social.servicer.jobs import JobServicer
from services.social.servicer.playlists import PlaylistServicer
from services.social.servicer.work import WorkServicer
from services.social.settings import SocialSettings
from services.social.store import accounts
from services.social.store.database import Database
from services.social.store.locks import LaneLocks
from services.social.streams import BusDoor
from services.social.switching import EncoderSwitch
from services.social.tokens import TokenIssuer, new_signing_key
from services.social.worker import Worker, WorkerBounds

# What is in the consumer's hands when the process ends; longer, and it is delivered again.
_CONSUMER_GRACE_S = 10.0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Running:
    """The service while it serves. `background` ends only by a fault of the program."""

    server: server.Server
    background: "asyncio.Task[None]"


@contextlib.asynccontextmanager
async def running(
    settings: SocialSettings, bus_settings: BusSettings, process_metrics: Metrics | None = None
) -> AsyncIterator[Running]:
    """Migrate the database and serve inside of an `async with`; drains at its end. NATS may come later.

    Args:
        settings: Of this service.
        bus_settings: Where NATS is.
        process_metrics: Of this process; None counts nothing.

    Yields:
        The server, which says SERVING.
    """
    metrics = process_metrics or Metrics()
    url = settings.database_url.get_secret_value()
    await migrate(url, read_migrations())
    async with contextlib.AsyncExitStack() as stack:
        committed, due, bells = Nudge(), Nudge(), Bells()
        database = await Database.connect(
            url,
            size=settings.database_pool_size,
            statement_timeout_ms=settings.statement_timeout_ms,
            on_commit=committed.ring,
        )
        stack.push_async_callback(database.close)
        async with database.transaction() as connection:
            issuer = TokenIssuer(await accounts.signing_keys(connection, new_signing_key()))
        addresses = filter(None, (settings.embedder_address, settings.second_embedder_address))
        channels = [await stack.enter_async_context(connect_embedder(address)) for address in addresses]
        embedders = Embedders([EmbedderClient(channel) for channel in channels])
        retriever = RetrieverClient(await stack.enter_async_context(connect_retriever(settings.retriever_address)))
        begun = Nudge()
        switch = EncoderSwitch(database, embedders, retriever, begun)
        hasher = PasswordHasher(settings.password_concurrency, settings.password_queue_size)
        stack.callback(hasher.close)
        worker = _worker(settings, database, embedders, retriever, issuer, bells, due)
        revocations = _revocations(database)
        verifier = TokenVerifier(_own_keys(issuer), revocations)
        grpc_server = server.Server(settings.listen, ACCESS, verifier, metrics=metrics.rpc)
        _add_servicers(grpc_server, settings, database, hasher, issuer, worker, bells, due)
        encoder_servicer = EncoderServicer(database, embedders, switch)
        encoders_pb2_grpc.add_EncoderServiceServicer_to_server(encoder_servicer, grpc_server.grpc)
        door, events = BusDoor(), EmbedderEvents(database)
        work_servicer = WorkServicer(database, door, Replayer(database, door, events))
        work_pb2_grpc.add_WorkServiceServicer_to_server(work_servicer, grpc_server.grpc)
        blobs = open_blob_store(settings.blob_store_url) if settings.blob_store_url else None
        background = asyncio.create_task(
            _together(
                worker.run(),
                revocations.run(),
                EncoderKeeper(database, embedders, switch, begun).run(),
                Sweeper(database, blobs, _now).run(),
                _on_bus(settings, bus_settings, metrics, door, events, database, committed),
                metrics.watch_loop(),
            )
        )
        stack.push_async_callback(_ended, background)
        await grpc_server.start()
        stack.push_async_callback(grpc_server.drain)
        await grpc_server.set_serving(True)
        yield Running(grpc_server, background)


async def _on_bus(
    settings: SocialSettings,
    bus_settings: BusSettings,
    metrics: Metrics,
    door: BusDoor,
    events: EmbedderEvents,
    database: Database,
    committed: Nudge,
) -> None:
    """Do everything that needs NATS, from when it can be reached."""
    bus = door.bus = await Bus.connect(bus_settings, "social", metrics.bus)
    try:
        keeper = StreamKeeper(database, bus, settings.work_lost_after_s)
        locks = LaneLocks(settings.database_url.get_secret_value())
        consumer = events.consumer(bus)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Publisher(database, locks, bus, committed).run())
            tasks.create_task(keeper.run())
            consuming = tasks.create_task(consumer.run())
            try:
                await asyncio.Event().wait()
            finally:
                consumer.stop()
                await asyncio.wait({consuming}, timeout=_CONSUMER_GRACE_S)
    finally:
        await bus.close()


def _worker(
    settings: SocialSettings,
    database: Database,
    embedders: Embedders,
    retriever: RetrieverClient,
    issuer: TokenIssuer,
    bells: Bells,
    due: Nudge,
) -> Worker:
    patience = Patience(settings.embed_timeout_s, settings.search_timeout_s)
    generator = Generator(database, embedders, retriever, issuer, bells, patience, _now)
    bounds = WorkerBounds(settings.generation_concurrency, settings.job_lease_s, settings.job_give_up_s)
    return Worker(database, generator, bells, due, bounds, _now)


def _add_servicers(
    grpc_server: server.Server,
    settings: SocialSettings,
    database: Database,
    hasher: PasswordHasher,
    issuer: TokenIssuer,
    worker: Worker,
    bells: Bells,
    due: Nudge,
) -> None:
    failed_logins = FailedLogins(settings.failed_logins_per_window, settings.failed_login_window_s, time.monotonic)
    accounts_pb2_grpc.add_AccountServiceServicer_to_server(
        AccountServicer(database, hasher, failed_logins, issuer, _now), grpc_server.grpc
    )
    upload_life = timedelta(days=settings.upload_life_days)
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(
        CatalogServicer(database, settings.uploads_per_user_and_day, upload_life, _now), grpc_server.grpc
    )
    playlists_pb2_grpc.add_PlaylistServiceServicer_to_server(PlaylistServicer(database, _now), grpc_server.grpc)
    jobs_pb2_grpc.add_JobServiceServicer_to_server(
        JobServicer(database, bells, due, worker.drop, settings.open_jobs_per_user, _now), grpc_server.grpc
    )


def _own_keys(issuer: TokenIssuer) -> Callable[[], Awaitable[str]]:
    async def fetch() -> str:
        return issuer.jwks

    return fetch


def _revocations(database: Database) -> Revocations:
    async def fetch() -> list[str]:
        async with database.connection() as connection:
            ended = await accounts.revoked_sessions(connection, _now() - REVOCATION_MEMORY)
        raise_if_cancelled()
        return list(ended)

    return Revocations(fetch)


async def _together(*parts: Coroutine[None, None, None]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for part in parts:
            tasks.create_task(part)


async def _ended(background: "asyncio.Task[None]") -> None:
    background.cancel()
    await asyncio.wait({background})


async def main() -> None:
    """Serve until SIGTERM or SIGINT; a fault in the background ends the process, whose supervisor starts it anew."""
    settings = load(SocialSettings)
    configure_logging("social", settings.log_level)
    async with (
        told("social", settings.metrics_listen, "SOCIAL_METRICS_LISTEN") as metrics,
        running(settings, load(BusSettings), metrics) as service,
    ):
        signalled = asyncio.create_task(server.wait_for_signal())
        await asyncio.wait({signalled, service.background}, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        if service.background.done():
            service.background.result()


if __name__ == "__main__":
    server.run(main)
