"""The gateway process: `python -m services.gateway`. The only file that builds its parts."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import uvicorn

from services.chassis.blobs import open_blob_store
from services.chassis.bus import Bus, BusSettings
from services.chassis.server import run, settle_heap, wait_for_signal
from services.chassis.settings import load
from services.chassis.telemetry import Metrics, configure_logging, told
from services.chassis.telemetry.metrics import BusMetrics
from services.gateway.app import make_app
from services.gateway.auth import Authenticator
from services.gateway.clients import Upstream
from services.gateway.consumer import JobFeed
from services.gateway.context import Parts
from services.gateway.health import Health
from services.gateway.settings import GatewaySettings
from services.gateway.signing import StreamSigner
from services.gateway.transcoding.transcoder import Transcoder
from services.gateway.tus.partial_uploads import PartialUploads

logger = logging.getLogger(__name__)

_BACKLOG = 512
_FILE_THREADS = 16
_KEEP_ALIVE_S = 30


class HttpServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield


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


async def follow(bus_settings: BusSettings, feed: JobFeed, health: Health, metrics: BusMetrics | None = None) -> None:
    """Connect to NATS, waiting for it, and follow job progress for ever."""
    bus = await Bus.connect(bus_settings, "gateway", metrics)
    health.bus = bus
    try:
        await feed.run(bus)
    finally:
        await bus.close()


async def main() -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    settings, bus_settings = load(GatewaySettings), load(BusSettings)
    configure_logging("gateway", settings.log_level)
    async with told("gateway", settings.metrics_listen, "GATEWAY_METRICS_LISTEN") as metrics:
        await _serve(settings, bus_settings, metrics)
    logger.info("stopped")


async def _serve(settings: GatewaySettings, bus_settings: BusSettings, metrics: Metrics) -> None:
    listener = listen(settings)
    upstream = Upstream(settings.social_address, settings.retriever_address)
    health = Health(upstream)
    key = settings.url_signing_key.get_secret_value().encode()
    parts = Parts(
        settings=settings,
        upstream=upstream,
        authenticator=Authenticator(upstream),
        signer=StreamSigner(key, settings.stream_url_lifetime_s),
        feed=JobFeed(),
        blobs=open_blob_store(settings.blob_store_url),
        transcoder=Transcoder(settings.transcode_folder, settings.transcode_cache_bytes, settings.transcodes_at_once),
    )
    threads = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="audio")
    server = HttpServer(
        uvicorn.Config(
            make_app(parts, health, threads),
            http="httptools",
            ws="websockets-sansio",
            ws_max_size=settings.max_body_bytes,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=settings.max_connections,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(settings.drain_timeout_s),
        )
    )
    async with asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(parts.authenticator.revocations.run()),
            tasks.create_task(follow(bus_settings, parts.feed, health, metrics.bus)),
            tasks.create_task(metrics.watch_loop()),
            tasks.create_task(parts.transcoder.run()),
            tasks.create_task(PartialUploads(parts.blobs, settings.partial_upload_life_s).run()),
        ]
        serving = tasks.create_task(server.serve([listener]))
        settle_heap()
        logger.info("listening", extra={"address": settings.listen, "port": listener.getsockname()[1]})
        await wait_for_signal()
        health.is_draining = True
        await asyncio.sleep(settings.drain_delay_s)
        server.should_exit = True  # sockets are closed with 1012 "service restart", requests in flight may end
        await serving
        for task in background:
            task.cancel()
    await parts.transcoder.close()
    await upstream.close()
    threads.shutdown(wait=False, cancel_futures=True)


if __name__ == "__main__":
    run(main)
