"""Wires the retriever: `python -m services.retriever`. The only file that builds adapters."""

import asyncio
import logging

from museed.retriever.v1 import retriever_pb2_grpc
from services.chassis import channel, settings, telemetry
from services.chassis.auth import Revocations, TokenVerifier
from services.chassis.bus import Bus, BusSettings
from services.chassis.server import Server, run, wait_for_signal
from services.retriever.clients import IDEMPOTENT, Accounts
from services.retriever.consumer import LogConsumer
from services.retriever.index import TrackIndex
from services.retriever.live import LiveIndex
from services.retriever.servicer import ACCESS, Servicer
from services.retriever.settings import RetrieverSettings
from services.retriever.snapshots import SnapshotFolder, SnapshotKeeper

logger = logging.getLogger(__name__)


class Retriever:
    """The parts of this process and their order of life."""

    def __init__(self, chosen: RetrieverSettings, bus_settings: BusSettings) -> None:
        self._bus_settings = bus_settings
        self._social = channel.connect(chosen.social_address, idempotent=IDEMPOTENT)
        accounts = Accounts(self._social)
        self._revocations = Revocations(accounts.fetch_revoked_sessions)
        self.live = LiveIndex(TrackIndex(chosen.encoder_id))
        self.server = Server(
            chosen.listen,
            ACCESS,
            TokenVerifier(accounts.fetch_jwks, self._revocations),
            chosen.max_concurrent_calls,
        )
        self._keeper = SnapshotKeeper(
            self.live,
            SnapshotFolder(chosen.snapshot_folder, chosen.encoder_id),
            chosen.snapshot_after_changes,
            chosen.snapshot_interval_s,
        )
        self._consumer = LogConsumer(self.live, self.server.set_serving)
        retriever_pb2_grpc.add_RetrieverServiceServicer_to_server(
            Servicer(self.live, lambda: self._consumer.refused_count), self.server.grpc
        )

    async def serve(self) -> None:
        """Listen, restore the index and follow the log, until cancelled."""
        await self.server.start()
        await self._keeper.restore()
        bus = await Bus.connect(self._bus_settings, "retriever")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._consumer.run(bus), name="log-consumer")
                tasks.create_task(self._keeper.run(), name="snapshot-keeper")
                tasks.create_task(self._revocations.run(), name="revocations")
        finally:
            await bus.close()

    async def close(self) -> None:
        """Save what changed, and end the threads."""
        await self._keeper.save()
        self._keeper.close()
        self.live.close()
        await self._social.close()


async def main() -> None:
    """Serve until SIGTERM: then not ready, drain, snapshot, close."""
    chosen = settings.load(RetrieverSettings)
    bus_settings = settings.load(BusSettings)
    telemetry.configure_logging("retriever", chosen.log_level)
    retriever = Retriever(chosen, bus_settings)
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
    logger.info("stopped")


if __name__ == "__main__":
    run(main)
