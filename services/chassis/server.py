"""The gRPC server of every process: health, reflection, the border of every call, and a clean end."""

import asyncio
import faulthandler
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.chassis import auth
from services.chassis.border import BorderInterceptor, limit_time, time_left_s
from services.chassis.errors import DomainError
from services.chassis.telemetry.metrics import RpcMetrics
from services.chassis.tls import Identity
from services.chassis.tokens import TokenVerifier

__all__ = ["MAX_MESSAGE_BYTES", "Server", "limit_time", "run", "settle_heap", "time_left_s", "wait_for_signal"]

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
_STREAMS_BESIDE = 1000
# Whether the process answers, asked like the health of a service: it does while it restores what it needs to serve.
LIVE = "live"
# Calls of health without TLS at a time, and the largest request of one.
_PROBES, _PROBE_BYTES = 16, 4096
# Of a connection, give or take a tenth: callers resolve a name anew when one ends, and so find replicas that were
# added. Calls on it go on to their own ends.
_CONNECTION_AGE_MS = 60_000
# Until whoever watches our health has heard that it ends.
_NOTICE_S = 0.5


class _Health(health.aio.HealthServicer):
    """Health, and how many callers watch it."""

    def __init__(self) -> None:
        super().__init__()
        self.watchers = 0

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:
        """Tell a caller of every change."""
        self.watchers += 1
        try:
            await super().Watch(request, context)
        finally:
            self.watchers -= 1


class Server:
    """A grpc.aio server with the manners of the mesh. Add servicers to `grpc`, then start, then `set_serving`.

    Args:
        address: Where to listen, for example "127.0.0.1:7401"; port 0 picks a free one.
        access: Who may call each RPC, by full method name "/package.Service/Method"; an RPC without a row is refused.
        verifier: Verifies callers' tokens; None where no RPC needs one.
        max_concurrent_rpcs: Further calls of the RPCs in `access` are refused with SERVER_BUSY; health never is.
        metrics: Counts calls; None counts nothing.
        max_message_bytes: Largest message of a request; a larger one is refused with MESSAGE_TOO_LARGE.
        larger_messages: The same of single RPCs, by full method name, where they need more.
        identity: Who this process is; callers must show a certificate then. None speaks without TLS.
    """

    def __init__(
        self,
        address: str,
        access: Mapping[str, auth.Access],
        verifier: TokenVerifier | None = None,
        max_concurrent_rpcs: int = 512,
        metrics: RpcMetrics | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        larger_messages: Mapping[str, int] | None = None,
        identity: Identity | None = None,
    ) -> None:
        larger = larger_messages or {}
        callers = identity.callers if identity is not None else frozenset[str]()
        border = BorderInterceptor(
            access, verifier, max_concurrent_rpcs, metrics or RpcMetrics(), max_message_bytes, larger, callers
        )
        self.grpc = grpc.aio.server(
            # And no `maximum_concurrent_rpcs`: it counts every call, also those that anybody may hold before we are
            # asked, and refuses health checks, too, whereupon an orchestrator would restart a healthy process.
            interceptors=[border],
            options=[
                ("grpc.so_reuseport", 0),  # a taken port must be an error, not a second server behind it
                # All of them are received before we are asked; what is larger than this, gRPC refuses.
                ("grpc.max_receive_message_length", max((max_message_bytes, *larger.values()))),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                # Of one connection, whose further calls wait at the caller's: enough that refusals are heard of. gRPC
                # counts calls that their callers have left until we notice, which a busy loop does late, and refuses
                # what comes beyond (UNAVAILABLE, "Stream removed"): 600 callers of 20 ms made 15 % of 356 be refused.
                ("grpc.max_concurrent_streams", 2 * max_concurrent_rpcs + _STREAMS_BESIDE),
                ("grpc.max_connection_age_ms", _CONNECTION_AGE_MS),
                # Channels of the mesh ask twice as rarely whether we are still there.
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
        )
        self._address = address
        self._identity = identity
        self._probes: grpc.aio.Server | None = None
        self._services = sorted({method.split("/")[1] for method in access})
        self._health = _Health()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        reflection.enable_server_reflection([*self._services, health.SERVICE_NAME], self.grpc)
        self.port = self.probes_port = 0

    async def start(self) -> None:
        """Listen; health says NOT_SERVING until `set_serving(True)`.

        Raises:
            SystemExit: An address is taken; the text names it.
        """
        await self.set_serving(False)
        await self._health.set(LIVE, health_pb2.HealthCheckResponse.SERVING)
        if self._identity is None:
            self.port = _bound(self._address, self.grpc.add_insecure_port)
        else:
            credentials = self._identity.server_credentials()
            self.port = _bound(self._address, lambda address: self.grpc.add_secure_port(address, credentials))
            await self._start_probes(self._identity.probes_listen)
        await self.grpc.start()
        logger.info("listening", extra={"address": self._address, "port": self.port})

    async def _start_probes(self, address: str) -> None:
        """Answer health without TLS, for an orchestrator that has no certificate: nothing else is served there."""
        if not address:
            return
        border = BorderInterceptor({}, None, _PROBES, RpcMetrics(), _PROBE_BYTES, {})
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _PROBE_BYTES)]
        self._probes = grpc.aio.server(interceptors=[border], options=options, maximum_concurrent_rpcs=_PROBES)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._probes)
        self.probes_port = _bound(address, self._probes.add_insecure_port)
        await self._probes.start()

    async def set_serving(self, is_serving: bool) -> None:
        """Say by gRPC health whether this process should get calls."""
        state = health_pb2.HealthCheckResponse.SERVING if is_serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._services):
            await self._health.set(name, state)

    async def drain(self, grace_s: float = 10.0) -> None:
        """Tell that this process ends and serve on until that was heard; then let calls in flight end, and close."""
        await self._health.enter_graceful_shutdown()
        if self._health.watchers:
            await asyncio.sleep(_NOTICE_S)
        await self.grpc.stop(grace_s)
        if self._probes is not None:
            await self._probes.stop(0)


def _bound(address: str, bind: Callable[[str], int]) -> int:
    try:
        return bind(address)
    except RuntimeError as error:
        raise SystemExit(f"cannot listen on {address}: is the port taken by another process?") from error


def settle_heap() -> None:
    """Take what the start has made out of the collector's sight; call it once, when the process is ready.

    It lives as long as the process, and going through its modules and messages again and again took half of the
    event loop's time under load, with all threads at a standstill.
    """
    gc.collect()
    gc.freeze()


async def wait_for_signal() -> None:
    """Return when the process is asked to end, by SIGTERM or SIGINT."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    await asked.wait()
    logger.info("stopping")


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a process's main coroutine on uvloop.

    Raises:
        SystemExit: It does not start, or cannot go on, with a DomainError: one line with its reason, and status 1.
    """

    async def call() -> None:
        await main()

    faulthandler.register(signal.SIGUSR1)  # writes what each thread is at
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(call())
        except DomainError as error:
            raise SystemExit(f"{error.reason}: {error.message}") from error
