"""Wires the embedder: `python -m services.embedder`. The only file that builds adapters."""

import asyncio
import contextlib
import logging
import time

import numpy as np

from museed.embedder.v1 import embedder_pb2_grpc
from services.chassis import channel, settings, telemetry
from services.chassis.auth import Revocations, TokenVerifier
from services.chassis.blobs import open_blob_store
from services.chassis.bus import Bus, BusSettings, WorkConsumer
from services.chassis.errors import DomainError
from services.chassis.server import Server, run, wait_for_signal
from services.chassis.telemetry import Metrics
from services.embedder.batcher import Batcher, Lane
from services.embedder.choice import load_encoder
from services.embedder.clients import IDEMPOTENT, Accounts, Work
from services.embedder.consumer import EmbedWork, make_consumer
from services.embedder.decoder import DecoderPool
from services.embedder.embedding import TrackEmbedder
from services.embedder.errors import DecoderLost
from services.embedder.metrics import embedder_metrics
from services.embedder.model import Encoder
from services.embedder.publisher import Publisher
from services.embedder.servicer import ACCESS, Servicer
from services.embedder.settings import EmbedderSettings
from services.embedder.spool import Spool

logger = logging.getLogger(__name__)


class Embedder:
    """The parts of this process and their order of life.

    Args:
        chosen: Settings.
        bus_settings: Where NATS is.
        encoder: What is served.
        metrics: Of this process.
    """

    def __init__(self, chosen: EmbedderSettings, bus_settings: BusSettings, encoder: Encoder, metrics: Metrics) -> None:
        self._settings = chosen
        self._process_metrics = metrics
        self._metrics = embedder_metrics(metrics.registry)
        manifest = encoder.manifest
        self._metrics.model_loaded(manifest.encoder_id, manifest.name, encoder.device, manifest.precision, manifest.dim)
        self._bus_settings = bus_settings
        self._encoder = encoder
        self._blobs = open_blob_store(chosen.blob_store_url)
        self._spool = Spool(chosen.spool_folder)
        self._batcher = Batcher(
            encoder,
            max_batch_windows=chosen.max_batch_windows,
            max_delay_ms=chosen.max_batch_delay_ms,
            max_queued_windows=chosen.max_queued_windows,
            metrics=self._metrics,
        )
        self._decoders = {
            Lane.INTERACTIVE: DecoderPool(
                chosen.interactive_files, chosen.decode_limits, chosen.max_waiting_calls, self._metrics
            ),
            Lane.BULK: DecoderPool(
                chosen.bulk_files, chosen.decode_limits, chosen.bulk_files + chosen.prefetch_files, self._metrics
            ),
        }
        self._tracks = TrackEmbedder(encoder, self._batcher, self._decoders, chosen.windows_in_flight, self._metrics)
        self._social = channel.connect(chosen.social_address, idempotent=IDEMPOTENT)
        accounts = Accounts(self._social)
        self._revocations = Revocations(accounts.fetch_revoked_sessions)
        verifier = TokenVerifier(accounts.fetch_jwks, self._revocations)
        self.server = Server(chosen.listen, ACCESS, verifier, chosen.max_concurrent_calls, metrics.rpc)
        max_calls = chosen.interactive_files + chosen.max_waiting_calls
        servicer = Servicer(encoder, self._tracks, self._blobs, self._spool, chosen.upload_limits, max_calls)
        embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, self.server.grpc)
        self._consumer: WorkConsumer | None = None
        self._consumed = asyncio.Event()

    async def serve(self) -> None:
        """Listen, and take work from NATS as soon as it is there, until cancelled.

        Raises:
            SystemExit: The address is taken, or no decoding process starts.
        """
        await self.server.start()
        try:
            for pool in self._decoders.values():
                await pool.start()
        except DecoderLost as error:
            raise SystemExit(f"{error.reason}: {error.message}") from error
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._batcher.run(), name="batcher")
            tasks.create_task(self._revocations.run(), name="revocations")
            tasks.create_task(self._consume(), name="consumer")
            tasks.create_task(self._process_metrics.watch_loop(), name="loop-lag")
            await self.server.set_serving(True)

    async def _consume(self) -> None:
        bus = await Bus.connect(self._bus_settings, "embedder", self._process_metrics.bus)
        encoder_id, chosen = self._encoder.manifest.encoder_id, self._settings
        work = EmbedWork(
            encoder_id,
            self._tracks,
            self._blobs,
            Publisher(bus),
            chosen.library_limits,
            Work(self._social).is_wanted,
            self._metrics,
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
        self._batcher.close()
        for pool in self._decoders.values():
            await pool.close()
        self._spool.close()
        await self._social.close()


def prepare_encoder(chosen: EmbedderSettings) -> Encoder:
    """Load the encoder and run it once, so that the first caller does not wait for that; blocks.

    Raises:
        SystemExit: It cannot be loaded; the text says what to do.
    """
    began = time.monotonic()
    try:
        encoder = load_encoder(
            chosen.encoder,
            artifacts_folder=chosen.artifact_folder,
            muq_folder=chosen.muq_folder,
            threads=chosen.model_threads,
        )
    except DomainError as error:
        raise SystemExit(f"{error.reason}: {error.message}") from error
    encoder.encode(np.zeros((1, encoder.manifest.window_samples), np.float32))
    logger.info(
        "encoder_loaded",
        extra={
            "encoder_id": encoder.manifest.encoder_id,
            "device": encoder.device,
            "seconds": round(time.monotonic() - began, 2),
        },
    )
    return encoder


async def main() -> None:
    """Serve until SIGTERM: then not ready, drain, close."""
    chosen = settings.load(EmbedderSettings)
    bus_settings = settings.load(BusSettings)
    telemetry.configure_logging("embedder", chosen.log_level)
    async with telemetry.told("embedder", chosen.metrics_listen, "EMBEDDER_METRICS_LISTEN") as metrics:
        await _serve(Embedder(chosen, bus_settings, prepare_encoder(chosen), metrics))
    logger.info("stopped")


async def _serve(embedder: Embedder) -> None:
    serving = asyncio.create_task(embedder.serve(), name="serve")
    asked_to_end = asyncio.create_task(wait_for_signal(), name="signal")
    try:
        await asyncio.wait({serving, asked_to_end}, return_when=asyncio.FIRST_COMPLETED)
        await embedder.drain()
    finally:
        serving.cancel()
        asked_to_end.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        await embedder.close()


if __name__ == "__main__":
    run(main)
