"""Wires the retriever: `python -m services.retriever`. The only file that builds adapters."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable

from museed.retriever.v1 import profiles_pb2_grpc, reference_pb2_grpc, retriever_pb2_grpc
from services.chassis import channel, settings, telemetry
from services.chassis.blobs import open_blob_store
from services.chassis.bus import Bus, BusSettings
from services.chassis.server import Server, run, settle_heap, wait_for_signal
from services.chassis.telemetry import Metrics
from services.chassis.tls import Identity, TlsSettings, open_identity
from services.chassis.tokens import Revocations, TokenVerifier
from services.retriever.clients import IDEMPOTENT, Accounts, Encoders
from services.retriever.index import kinds
from services.retriever.index.bases import IndexChoice
from services.retriever.index.index import TrackIndex
from services.retriever.live import threads
from services.retriever.live.collection import Collection, Collections
from services.retriever.live.folder_lock import FolderLock
from services.retriever.live.snapshot_folder import drop_retired
from services.retriever.milvus.milvus_engine import MilvusIndex
from services.retriever.milvus.milvus_store import MilvusStore
from services.retriever.profile_consumer import ProfileConsumer
from services.retriever.profiles.profiles import Profiles
from services.retriever.profiles.taste import TasteVectors
from services.retriever.reference.reference import ReferenceMatcher
from services.retriever.reference.window_cache import WindowCache
from services.retriever.reference.window_store import MAX_BLOB_BYTES, WindowStore
from services.retriever.servicer import profile_servicer, reference_servicer, servicer
from services.retriever.servicer.profile_servicer import ProfileServicer
from services.retriever.servicer.reference_servicer import ReferenceServicer
from services.retriever.servicer.servicer import Servicer
from services.retriever.settings import RetrieverSettings
from services.retriever.timing import SearchMetrics

logger = logging.getLogger(__name__)

# A filter whose three lists of 10,000 are full takes 1.1 MB; 720 windows of 1,024 dimensions take 2.9 MB.
_MAX_MESSAGE_BYTES = 2 * 1024 * 1024
_MATCH_REFERENCE = "/museed.retriever.v1.ReferenceService/MatchReference"
_MAX_REFERENCE_BYTES = 4 * 1024 * 1024

ACCESS = servicer.ACCESS | profile_servicer.ACCESS | reference_servicer.ACCESS


class Retriever:
    """The parts of this process and their order of life.

    Raises:
        SystemExit: The folder of snapshots cannot be used, or another process has it.
        NoGpu: The chosen kind of index needs one, and there is none.
    """

    def __init__(
        self,
        chosen: RetrieverSettings,
        bus_settings: BusSettings,
        metrics: Metrics,
        identity: Identity | None = None,
    ) -> None:
        self._identity = identity
        self._bus_settings = bus_settings
        self._metrics = metrics
        kinds.check(chosen.index)
        self._lock = FolderLock(chosen.snapshot_folder, "RETRIEVER_SNAPSHOT_FOLDER")
        self._social = channel.connect(chosen.social_address, idempotent=IDEMPOTENT, identity=identity, peer="social")
        accounts = Accounts(self._social)
        self._encoders = Encoders(self._social)
        self._revocations = Revocations(accounts.fetch_revoked_sessions)
        self.server = Server(
            chosen.listen,
            ACCESS,
            TokenVerifier(accounts.fetch_jwks, self._revocations),
            chosen.max_concurrent_calls,
            metrics.rpc,
            _MAX_MESSAGE_BYTES,
            {_MATCH_REFERENCE: _MAX_REFERENCE_BYTES},
            identity,
        )
        threads.use_in_this_process(chosen.search_threads)
        choice = IndexChoice(chosen.index, chosen.recall, chosen.merge_after_changes)

        def in_milvus(encoder_id: str) -> MilvusIndex:
            token = chosen.milvus_token.get_secret_value()
            timeout_s, index_type = chosen.milvus_timeout_s, chosen.milvus_index
            return MilvusIndex(encoder_id, MilvusStore(chosen.milvus_uri, token, encoder_id, timeout_s, index_type))

        open_milvus = in_milvus if chosen.engine == "milvus" else None

        searches = SearchMetrics()
        if metrics.registry is not None:
            from services.retriever.metrics import CountedSearches  # nobody else needs the library

            searches = CountedSearches(metrics.registry)

        def make(encoder_id: str, on_ready: Callable[[bool], Awaitable[None]]) -> Collection:
            return Collection(
                encoder_id,
                chosen.snapshot_folder,
                chosen.snapshot_after_changes,
                chosen.snapshot_interval_s,
                on_ready,
                choice,
                chosen.search_threads,
                open_milvus,
                searches,
            )

        drop = functools.partial(drop_retired, chosen.snapshot_folder)
        self._collections = Collections(chosen.encoder_id, make, self.server.set_serving, drop)
        if metrics.registry is not None:
            from services.retriever.metrics import IndexCollector  # nobody else needs the library

            metrics.registry.register(IndexCollector(self._collections))
        profiles = Profiles()

        def tastes(index: TrackIndex) -> TasteVectors:
            return TasteVectors(profiles, index)

        playlists = Servicer(self._collections, tastes)
        retriever_pb2_grpc.add_RetrieverServiceServicer_to_server(playlists, self.server.grpc)
        self._profile_consumer = ProfileConsumer(profiles)
        self._profile_servicer = ProfileServicer(self._collections, profiles)
        profiles_pb2_grpc.add_ProfileServiceServicer_to_server(self._profile_servicer, self.server.grpc)
        self._matcher = _matcher(chosen)
        references = ReferenceServicer(self._collections, self._matcher)
        reference_pb2_grpc.add_ReferenceServiceServicer_to_server(references, self.server.grpc)

    async def serve(self) -> None:
        """Restore the indexes, follow the log and what social keeps, until cancelled; saves what changed."""
        bus = await Bus.connect(self._bus_settings, "retriever", self._metrics.bus, self._identity)
        settle_heap()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._collections.run(bus, self._encoders.fetch_kept), name="collections")
                tasks.create_task(self._profile_consumer.run(bus), name="profiles")
                tasks.create_task(self._revocations.run(), name="revocations")
                tasks.create_task(self._metrics.watch_loop(), name="loop-lag")
        finally:
            await bus.close()

    async def close(self) -> None:
        """Close the channel to social, end the threads, and leave the folder to others."""
        await self._social.close()
        self._profile_servicer.close()
        if self._matcher is not None:
            self._matcher.close()
        self._lock.close()


def _matcher(chosen: RetrieverSettings) -> ReferenceMatcher | None:
    if not chosen.blob_store_url:
        return None
    blobs = open_blob_store(chosen.blob_store_url)
    # No encoder's id begins with a dot, so it is no folder of snapshots.
    folder = chosen.snapshot_folder / ".windows"
    return ReferenceMatcher(WindowStore(blobs, WindowCache(blobs, folder, chosen.window_cache_bytes, MAX_BLOB_BYTES)))


async def main() -> None:
    """Serve until SIGTERM: then not ready, drain, snapshot, close."""
    chosen = settings.load(RetrieverSettings)
    bus_settings = settings.load(BusSettings)
    identity = open_identity(settings.load(TlsSettings))
    telemetry.configure_logging("retriever", chosen.log_level)
    async with telemetry.told("retriever", chosen.metrics_listen, "RETRIEVER_METRICS_LISTEN", identity) as metrics:
        await _serve(Retriever(chosen, bus_settings, metrics, identity))
    logger.info("stopped")


async def _serve(retriever: Retriever) -> None:
    await retriever.server.start()  # here, and in no task of its own: a taken port ends the process with one line
    serving = asyncio.create_task(retriever.serve(), name="serve")
    asked_to_end = asyncio.create_task(wait_for_signal(), name="signal")
    await asyncio.wait({serving, asked_to_end}, return_when=asyncio.FIRST_COMPLETED)
    await retriever.server.drain()
    serving.cancel()
    # An error of `serve` passes through here and ends the process; being cancelled is no error.
    results = await asyncio.gather(serving, return_exceptions=True)
    await retriever.close()
    for result in results:
        if isinstance(result, Exception):
            raise result


if __name__ == "__main__":
    run(main)
