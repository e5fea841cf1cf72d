"""The gateway process: `python -m services.gateway`. The only file that builds its parts."""

import asyncio
import contextlib
import gc
import logging
import socket
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import uvicorn

from services.chassis.blobs import open_blob_store
from services.chassis.bus import Bus, BusSettings
from services.chassis.server import run, settle_heap, wait_for_signal
from services.chassis.settings import load
from services.chassis.telemetry import Metrics, configure_logging, told
from services.chassis.telemetry.metrics import BusMetrics
from services.chassis.tls import Identity, TlsSettings, open_identity
from services.gateway.app import make_app
from services.gateway.auth import Authenticator
from services.gateway.budget import Budgets
from services.gateway.clients import Upstream
from services.gateway.connections import has_come, server_config
from services.gateway.consumer import Streams
from services.gateway.context import Parts
from services.gateway.counts import GatewayCounts
from services.gateway.guard import Guard
from services.gateway.health import Health
from services.gateway.live.live import Live
from services.gateway.settings import GatewaySettings
from services.gateway.signing import StreamSigner
from services.gateway.sweeper import Sweeper
from services.gateway.transcoding.transcoder import Transcoder
from services.gateway.trust import trusted_documents
from services.gateway.tus.partial_uploads import PartialUploads
from services.gateway.workers import Place, Tether, Workers

logger = logging.getLogger(__name__)

_BACKLOG = 512
# libuv takes one connection of a listening socket each time the loop turns, which a busy one does 50 times a second:
# others would wait for seconds to be refused. So it is given as many, of the same socket.
_ACCEPTS_AT_ONCE = 16
_FILE_THREADS = 16
_LOOK_INTERVAL_S = 0.05


class HttpServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the process."""

    async def serve_from(self, listener: socket.socket) -> None:
        """Serve until `should_exit`."""
        await self.serve([listener, *(listener.dup() for _ in range(_ACCEPTS_AT_ONCE - 1))])

    def stop_accepting(self) -> None:
        """Leave new connections to other processes, which may share the listening socket, or to nobody."""
        for each in self.servers:
            each.close()

    async def until_left(self, within_s: float) -> None:
        """Wait until nobody is connected any more, or this time is over.

        Whoever asks once more hears that the connection closes; one that is closed while they ask is a failed request.
        """
        end = time.monotonic() + within_s
        while self.server_state.connections and time.monotonic() < end:  # noqa: ASYNC110  # uvicorn tells nobody
            await asyncio.sleep(_LOOK_INTERVAL_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield


def settle() -> None:
    """Take what the start has made out of the collector's sight, and have the rest collected in small pieces.

    Of many requests at work at once most outlive young collections, and by Python's usual numbers all they leave was
    collected together, 120 ms at a time on a slow machine, in which nobody is refused either; so it is 14 ms.
    """
    settle_heap()
    gc.set_threshold(700, 10, 2)


def listen(settings: GatewaySettings) -> socket.socket:
    """Bind the address of the settings.

    Raises:
        SystemExit: It is taken, or not ours; the text names it.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Without the protocol asyncio leaves Nagle's algorithm on, and each answer waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise SystemExit(
            f"cannot listen on {settings.listen} ({error.strerror}): is the port taken by another process?"
        ) from error
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


async def follow(
    bus_settings: BusSettings,
    streams: Streams,
    health: Health,
    metrics: BusMetrics | None = None,
    identity: Identity | None = None,
) -> None:
    """Connect to NATS, waiting for it, and read what social tells for ever."""
    bus = await Bus.connect(bus_settings, "gateway", metrics, identity)
    health.bus = bus
    try:
        await streams.run(bus)
    finally:
        await bus.close()


async def main() -> None:
    """Serve until SIGTERM or SIGINT, then drain; with several workers, keep them."""
    settings, bus_settings, identity = load(GatewaySettings), load(BusSettings), open_identity(load(TlsSettings))
    configure_logging("gateway", settings.log_level)
    place = Place.of(sys.argv[1:])
    if place is None and settings.workers > 1:
        await Workers(settings.workers, listen(settings)).run()
    else:
        listener = listen(settings) if place is None else place.listener()
        metrics_listen = settings.metrics_listen_of(0 if place is None else place.number)
        waits = place is not None and place.is_successor
        async with told("gateway", metrics_listen, "GATEWAY_METRICS_LISTEN", identity, waits=waits) as metrics:
            tether = None if place is None else place.tether()
            await _serve(settings, bus_settings, identity, metrics, listener, tether)
    logger.info("stopped")


def _counts(metrics: Metrics) -> GatewayCounts:
    if metrics.registry is None:
        return GatewayCounts()
    from services.gateway.metrics import CountedGateway  # nobody else needs the library

    return CountedGateway(metrics.registry)


async def _serve(
    settings: GatewaySettings,
    bus_settings: BusSettings,
    identity: Identity | None,
    metrics: Metrics,
    listener: socket.socket,
    tether: Tether | None,
) -> None:
    upstream = Upstream(settings.social_address, settings.retriever_address, identity)
    health = Health(upstream)
    key = settings.url_signing_key.get_secret_value().encode()
    authenticator = Authenticator(upstream)
    parts = Parts(
        settings=settings,
        upstream=upstream,
        authenticator=authenticator,
        signer=StreamSigner(key, settings.stream_url_lifetime_s),
        live=Live(key, authenticator.revocations),
        blobs=open_blob_store(settings.blob_store_url),
        transcoder=Transcoder(settings.transcode_folder, settings.transcode_cache_bytes, settings.transcodes_at_once),
        budgets=Budgets.of_worker(
            settings.cost_capacity,
            settings.cost_refill_per_s,
            settings.workers,
            settings.time_capacity_s,
            settings.time_refill_per_s,
        ),
        trusted=trusted_documents(settings),
        counts=_counts(metrics),
    )
    streams = Streams(parts.live, authenticator.revocations)
    threads = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="audio")
    guard = Guard(make_app(parts, health, threads), settings, has_come, lambda: health.is_leaving)
    upstream.on_busy = guard.admission.note_busy
    server = HttpServer(server_config(guard, settings))
    if metrics.registry is not None:
        from services.gateway.metrics import GatewayCollector  # nobody else needs the library

        connections = server.server_state.connections
        metrics.registry.register(GatewayCollector(guard.admission, connections, parts.live.sockets))
    sweeper = Sweeper(server.server_state.connections, time.monotonic)
    async with asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(parts.authenticator.revocations.run()),
            tasks.create_task(follow(bus_settings, streams, health, metrics.bus, identity)),
            tasks.create_task(parts.live.sockets.run()),
            tasks.create_task(sweeper.run()),
            tasks.create_task(metrics.watch_loop()),
            tasks.create_task(parts.transcoder.run()),
            tasks.create_task(PartialUploads(parts.blobs, settings.partial_upload_life_s).run()),
        ]
        serving = tasks.create_task(server.serve_from(listener))
        settle()
        logger.info("listening", extra={"address": settings.listen, "port": listener.getsockname()[1]})
        if tether is not None:
            tether.tell_ready()
            background.append(tasks.create_task(tether.follow()))
        await wait_for_signal()
        health.is_draining = True
        await asyncio.sleep(settings.drain_delay_s)
        server.stop_accepting()
        health.is_leaving = True
        await parts.live.sockets.send_away(settings.drain_timeout_s / 2)
        await server.until_left(settings.drain_timeout_s / 4)
        server.should_exit = True  # requests in flight may end
        await serving
        for task in background:
            task.cancel()
    await parts.transcoder.close()
    await upstream.close()
    threads.shutdown(wait=False, cancel_futures=True)


if __name__ == "__main__":
    run(main)
