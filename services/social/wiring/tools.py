"""Opens what the parts of the service share, and closes it again."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from services.chassis.blobs import open_blob_store
from services.chassis.bus import BusSettings
from services.chassis.telemetry import Metrics
from services.chassis.tls import Identity
from services.social.clients import RetrieverClient, connect_retriever
from services.social.domain.passwords import PasswordHasher
from services.social.domain.tokens import TokenIssuer, new_signing_key
from services.social.embedders import EmbedderClient, Embedders, connect_embedder
from services.social.errors import DatabaseUnavailable
from services.social.metrics import social_metrics
from services.social.reference_client import ReferenceClient, connect_references
from services.social.settings import SocialSettings
from services.social.store import accounts
from services.social.store.database import Database
from services.social.streams import BusDoor
from services.social.taste_client import TasteClient, connect_tastes
from services.social.wiring.parts import Nudges, Tools, now
from services.social.workers.switching import EncoderSwitch

logger = logging.getLogger(__name__)

_PAUSE_S = 0.5
T = TypeVar("T")


@contextlib.asynccontextmanager
async def opened(
    settings: SocialSettings, bus_settings: BusSettings, metrics: Metrics, identity: Identity | None = None
) -> AsyncIterator[Tools]:
    """Open everything inside of an `async with`; the database is migrated already, and waited for where it dies.

    Yields:
        The tools.
    """
    async with contextlib.AsyncExitStack() as stack:
        nudges, counts = Nudges(), social_metrics(metrics.registry)
        url, timeout_ms = settings.database_url.get_secret_value(), settings.statement_timeout_ms
        database = await _once_there(
            lambda: Database.connect(
                url,
                size=settings.database_pool_size,
                statement_timeout_ms=timeout_ms,
                on_commit=nudges.committed.ring,
                replica_url=settings.database_replica_url.get_secret_value(),
                on_acquired=functools.partial(counts.waited, "requests"),
            )
        )
        stack.push_async_callback(database.close)
        background = await _once_there(
            lambda: Database.connect(
                url,
                size=settings.background_pool_size,
                statement_timeout_ms=timeout_ms,
                on_commit=nudges.committed.ring,
                on_acquired=functools.partial(counts.waited, "background"),
            )
        )
        stack.push_async_callback(background.close)
        counts.watch({"requests": database, "background": background})
        issuer = await _once_there(lambda: _issuer(database))
        addresses = filter(None, (settings.embedder_address, settings.second_embedder_address))
        channels = [await stack.enter_async_context(connect_embedder(address, identity)) for address in addresses]
        embedders = Embedders([EmbedderClient(channel) for channel in channels])
        retriever = RetrieverClient(
            await stack.enter_async_context(connect_retriever(settings.retriever_address, identity))
        )
        references = ReferenceClient(
            await stack.enter_async_context(connect_references(settings.retriever_address, identity)), issuer, now
        )
        tastes = TasteClient(
            await stack.enter_async_context(connect_tastes(settings.retriever_address, identity)), issuer, now
        )
        hasher = PasswordHasher(settings.password_concurrency, settings.password_queue_size)
        stack.callback(hasher.close)
        yield Tools(
            settings=settings,
            bus_settings=bus_settings,
            identity=identity,
            metrics=metrics,
            database=database,
            background=background,
            nudges=nudges,
            issuer=issuer,
            hasher=hasher,
            blobs=open_blob_store(settings.blob_store_url) if settings.blob_store_url else None,
            embedders=embedders,
            retriever=retriever,
            tastes=tastes,
            references=references,
            switch=EncoderSwitch(background, embedders, retriever, nudges.begun, bells=nudges.ended),
            door=BusDoor(),
            counts=counts,
        )


async def _issuer(database: Database) -> TokenIssuer:
    async with database.transaction() as connection:
        return TokenIssuer(await accounts.signing_keys(connection, new_signing_key()))


async def _once_there(call: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await call()
        except DatabaseUnavailable as error:
            logger.info("database_waits", extra={"error": repr(error)})
            await asyncio.sleep(_PAUSE_S)
