"""Wires the embedder: `python -m services.embedder`. The only file that builds adapters."""

import asyncio
import contextlib
import logging
from typing import NamedTuple

from museed.embedder.v1 import embedder_pb2_grpc
from services.chassis import channel, settings, telemetry
from services.chassis.blobs import open_blob_store
from services.chassis.bus import Bus, BusSettings, WorkConsumer
from services.chassis.errors import DomainError
from services.chassis.server import Server, run, settle_heap, wait_for_signal
from services.chassis.telemetry import Metrics
from services.chassis.tls import Identity, TlsSettings, open_identity
from services.chassis.tokens import Revocations, TokenVerifier
from services.embedder.batcher import Batcher
from services.embedder.clients import IDEMPOTENT, Accounts, Work
from services.embedder.consumer import EmbedWork, make_consumer
from services.embedder.decoder import DecoderPool
from services.embedder.embedding import TrackEmbedder
from services.embedder.errors import DecoderLost
from services.embedder.intake import Intake
from services.embedder.lanes import Lane
from services.embedder.metrics import EmbedderMetrics, embedder_metrics
from services.embedder.model import ServedEncoder
from services.embedder.mulan import MulanEncoder, load_beside
from services.embedder.preparing import make_batcher, prepare_encoder
from services.embedder.publisher import Publisher
from services.embedder.runtimes import warm_up
from services.embedder.servicer import ACCESS, Servicer
from services.embedder.settings import EmbedderSettings
from services.embedder.spool import Spool
from services.embedder.tagging import AxisScorer, Tagger
from services.embedder.text import TextEmbedder

logger = logging.getLogger(__name__)


class Words(NamedTuple):
    """The text model, and the axes whose prompts it has embedded."""

    mulan: MulanEncoder
    axes: AxisScorer


class Embedder:
    """The parts of this process and their order of life.

    Args:
        chosen: Settings.
        bus_settings: Where NATS is.
        encoder: What is served.
        decoders: Started.
        process_metrics: Of every process.
        metrics: Of the embedder.
        words: What knows words; None where no text model is loaded.
        identity: Who this process is; None speaks without TLS.
    """

    def __init__(
        self,
        chosen: EmbedderSettings,
        bus_settings: BusSettings,
        encoder: ServedEncoder,
        decoders: dict[Lane, DecoderPool],
        process_metrics: Metrics,
        metrics: EmbedderMetrics,
        words: Words | None = None,
        identity: Identity | None = None,
    ) -> None:
        self._settings = chosen
        self._identity = identity
        self._process_metrics = process_metrics
        self._metrics = metrics
        manifest = encoder.manifest
        metrics.model_loaded(manifest.encoder_id, manifest.name, encoder.device, encoder.precision, manifest.dim)
        self._bus_settings = bus_settings
        self._encoder = encoder
        self._blobs = open_blob_store(chosen.blob_store_url)
        self._spool = Spool(chosen.spool_folder)
        self._batcher = make_batcher(chosen, encoder, metrics)
        self._decoders = decoders
        self._tracks = TrackEmbedder(encoder, self._batcher, self._decoders, chosen.seconds_in_flight, metrics)
        self._social = channel.connect(chosen.social_address, idempotent=IDEMPOTENT, identity=identity, peer="social")
        accounts = Accounts(self._social)
        self._revocations = Revocations(accounts.fetch_revoked_sessions)
        verifier = TokenVerifier(accounts.fetch_jwks, self._revocations)
        self.server = Server(
            chosen.listen, ACCESS, verifier, chosen.max_concurrent_calls, process_metrics.rpc, identity=identity
        )
        intake = Intake(encoder, self._tracks, self._blobs, self._spool, chosen.upload_limits)
        self._text: TextEmbedder | None = None
        self._axis_batcher: Batcher | None = None
        self._axis_tracks: TrackEmbedder | None = None
        tagger = Tagger(encoder, intake)
        if words is not None:
            self._text = TextEmbedder(words.mulan, max_waiting=chosen.max_waiting_texts, cached=chosen.cached_texts)
            tagger = Tagger(encoder, intake, words.axes, self._axis_intake(words.mulan))
        servicer = Servicer(encoder, intake, chosen.call_limits, self._text, tagger)
        embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, self.server.grpc)
        self._consumer: WorkConsumer | None = None
        self._consumed = asyncio.Event()

    def _axis_intake(self, mulan: MulanEncoder) -> Intake | None:
        """Return what embeds sound into the space of words, for tags; None where the served encoder does.

        It is not counted: the queues and batches that the metrics tell are those of the served encoder.
        """
        if mulan is self._encoder:
            return None
        self._axis_batcher = make_batcher(self._settings, mulan)
        self._axis_tracks = TrackEmbedder(mulan, self._axis_batcher, self._decoders, self._settings.seconds_in_flight)
        return Intake(mulan, self._axis_tracks, self._blobs, self._spool, self._settings.upload_limits)

    async def serve(self) -> None:
        """Answer, and take work from NATS as soon as it is there, until cancelled; the server has been started."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._batcher.run(), name="batcher")
            if self._axis_batcher is not None:
                tasks.create_task(self._axis_batcher.run(), name="axis-batcher")
            tasks.create_task(self._revocations.run(), name="revocations")
            tasks.create_task(self._consume(), name="consumer")
            tasks.create_task(self._process_metrics.watch_loop(), name="loop-lag")
            await self.server.set_serving(True)
            settle_heap()

    async def _consume(self) -> None:
        bus = await Bus.connect(self._bus_settings, "embedder", self._process_metrics.bus, self._identity)
        encoder_id, chosen = self._encoder.manifest.encoder_id, self._settings
        work = EmbedWork(
            encoder_id,
            self._tracks,
            self._blobs,
            Publisher(bus),
            chosen.library_limits,
            Work(self._social).is_wanted,
            self._metrics,
            chosen.wanted_wait_s,
        )
        files = chosen.bulk_files + chosen.prefetch_files
        self._consumer = make_consumer(bus, work, encoder_id, files, chosen.work_ack_wait_s)
        try:
            await self._consumer.run()
        finally:
            self._consumed.set()
            work.close()
            await bus.close()

    async def drain(self) -> None:
        """Take nothing new; let calls and work in flight end. What is not done by then comes again elsewhere."""
        timeout_s = self._settings.drain_timeout_s
        if self._consumer is not None:
            self._consumer.stop()
        await asyncio.gather(self.server.drain(timeout_s), self._consumer_ends(timeout_s))

    async def _consumer_ends(self, timeout_s: float) -> None:
        if self._consumer is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._consumed.wait(), timeout_s)

    async def close(self) -> None:
        """End processes, threads and connections."""
        for part in (self._batcher, self._tracks, self._axis_batcher, self._axis_tracks, self._text):
            if part is not None:
                part.close()
        for pool in self._decoders.values():
            await pool.close()
        self._spool.close()
        await self._social.close()


def prepare_words(chosen: EmbedderSettings, encoder: ServedEncoder) -> Words | None:
    """Load the text model where one is set or served, and embed the prompts of the axes with it; blocks.

    Raises:
        SystemExit: It cannot be loaded; the text says what belongs where.
    """
    try:
        mulan = load_beside(chosen.mulan, encoder, chosen.model_threads)
    except DomainError as error:
        raise SystemExit(f"EMBEDDER_MULAN: {error.reason}: {error.message}") from error
    if mulan is None:
        return None
    if mulan is not encoder:
        warm_up(mulan, chosen.max_batch_seconds)
        logger.info("text_model_loaded", extra={"encoder_id": mulan.manifest.encoder_id, "device": mulan.device})
    return Words(mulan, AxisScorer(mulan))


async def start_decoders(chosen: EmbedderSettings, metrics: EmbedderMetrics) -> dict[Lane, DecoderPool]:
    """Start the decoding processes of both lanes.

    Raises:
        SystemExit: None starts.
    """
    decoders = {
        Lane.INTERACTIVE: DecoderPool(
            chosen.interactive_files, chosen.decode_limits, chosen.max_waiting_calls, metrics
        ),
        # Work from NATS and items of EmbedBatch may wait for one another, and are never refused here.
        Lane.BULK: DecoderPool(
            chosen.bulk_processes,
            chosen.bulk_decode_limits,
            2 * chosen.bulk_files + chosen.prefetch_files,
            metrics,
        ),
    }
    try:
        for pool in decoders.values():
            await pool.start()
    except DecoderLost as error:
        raise SystemExit(f"{error.reason}: {error.message}") from error
    return decoders


async def main() -> None:
    """Serve until SIGTERM: then not ready, drain, close."""
    chosen = settings.load(EmbedderSettings)
    bus_settings = settings.load(BusSettings)
    identity = open_identity(settings.load(TlsSettings))
    telemetry.configure_logging("embedder", chosen.log_level)
    async with telemetry.told(
        "embedder", chosen.metrics_listen, "EMBEDDER_METRICS_LISTEN", identity
    ) as process_metrics:
        metrics = embedder_metrics(process_metrics.registry)
        # Both take a second or more, on different cores.
        encoder, decoders = await asyncio.gather(
            asyncio.to_thread(prepare_encoder, chosen), start_decoders(chosen, metrics)
        )
        words = await asyncio.to_thread(prepare_words, chosen, encoder)
        await _serve(Embedder(chosen, bus_settings, encoder, decoders, process_metrics, metrics, words, identity))
    logger.info("stopped")


async def _serve(embedder: Embedder) -> None:
    try:
        await embedder.server.start()  # here, and in no task of its own: a taken port ends the process with one line
    except SystemExit:
        await embedder.close()
        raise
    serving = asyncio.create_task(embedder.serve(), name="serve")
    asked_to_end = asyncio.create_task(wait_for_signal(), name="signal")
    try:
        await asyncio.wait({serving, asked_to_end}, return_when=asyncio.FIRST_COMPLETED)
        await embedder.drain()
    finally:
        serving.cancel()
        asked_to_end.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await serving
        finally:
            await embedder.close()


if __name__ == "__main__":
    run(main)
