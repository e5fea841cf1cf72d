"""Wires the retriever: `python -m services.retriever`. The only file that builds adapters."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from museed.retriever.v1 import retriever_pb2_grpc
from services.chassis import channel, settings, telemetry
from services.chassis.auth import Revocations, TokenVerifier
from services.chassis.bus import Bus, BusSettings
from services.chassis.server import Server, run, wait_for_signal
from services.chassis.telemetry import Metrics
from services.retriever.clients import IDEMPOTENT, Accounts, Encoders
from services.retriever.collection import Collection, Collections
from services.retriever.servicer import ACCESS, Servicer
from services.retriever.settings import RetrieverSettings

logger = logging.getLogger(__name__)


class Retriever:
    """The parts of this process and their order of life."""

    def __init__(self, chosen: RetrieverSettings, bus_settings: BusSettings, metrics: Metrics) -> None:
        self._bus_settings = bus_settings
        self._metrics = metrics
        self._social = channel.connect(chosen.social_address, idempotent=IDEMPOTENT)
        accounts = Accounts(self._social)
        self._encoders = Encoders(self._social)
        self._revocations = Revocations(accounts.fetch_revoked_sessions)
        self.server = Server(
            chosen.listen,
            ACCESS,
            TokenVerifier(accounts.fetch_jwks, self._revocations),
            chosen.max_concurrent_calls,
            metrics.rpc,
        )

        def make(encoder_id: str, on_ready: Callable[[bool], Awaitable[None]]) -> Collection:
            return Collection(
                encoder_id,
                chosen.snapshot_folder,
                chosen.snapshot_after_changes,
                chosen.snapshot_interval_s,
                on_ready,
            )

        self._collections = Collections(chosen.encoder_id, make, self.server.set_serving)
        retriever_pb2_grpc.add_RetrieverServiceServicer_to_server(Servicer(self._collections), self.server.grpc)

    async def serve(self) -> None:
        """Listen, restore the indexes, follow the log and what social keeps, until cancelled; saves what changed."""
        await self.server.start()
        bus = await Bus.connect(self._bus_settings, "retriever", self._metrics.bus)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._collections.run(bus, self._encoders.fetch_kept), name="collections")
                tasks.create_task(self._revocations.run(), name="revocations")
                tasks.create_task(self._metrics.watch_loop(), name="loop-lag")
        finally:
            await bus.close()

    async def close(self) -> None:
        """Close the channel to social."""
        await self._social.close()


async def main() -> None:
    """Serve until SIGTERM: then not ready, drain, snapshot, close."""
    chosen = settings.load(RetrieverSettings)
    bus_settings = settings.load(BusSettings)
    telemetry.configure_logging("retriever", chosen.log_level)
    async with telemetry.told("retriever", chosen.metrics_listen, "RETRIEVER_METRICS_LISTEN") as metrics:
        await _serve(Retriever(chosen, bus_settings, metrics))
    logger.info("stopped")


async def _serve(retriever: Retriever) -> None:
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
