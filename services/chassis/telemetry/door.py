"""The HTTP door where Prometheus reads the metrics of a process: few at a time, and none of them for long."""

import contextlib
import errno
import itertools
import logging
import socket
import threading
import time
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

logger = logging.getLogger(__name__)

# Prometheus holds one, for milliseconds; nobody needs a password for them.
MAX_CONNECTIONS = 8
# From a connection to its end, however it dribbles.
EXCHANGE_S = 5.0
# How long a new connection waits for the end of the one that gives way to it.
_GIVE_WAY_S = 1.0
# How often an address is tried that is still another's.
_TRY_S = 0.2
# After so many tries it is told that the address is not left.
_TOLD_AFTER = 600


class _Handler(WSGIRequestHandler):
    raw_requestline: bytes

    def parse_request(self) -> bool:
        """Read the first line; one that was cut off is no request, and not worth an answer."""
        return self.raw_requestline.endswith(b"\n") and super().parse_request()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each connection. Where all are taken, the oldest gives way: whoever reads at once is answered."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], family: socket.AddressFamily, clock: Callable[[], float]) -> None:
        self.address_family = family
        self._clock = clock
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        # By age; only the serving thread adds, and each connection's own takes away.
        self._began: dict[socket.socket, float] = {}
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own, or close it where there is none."""
        if not self._places.acquire(blocking=False):
            for oldest in list(self._began)[:1]:
                _cut(oldest)
            if not self._places.acquire(timeout=_GIVE_WAY_S):
                super().shutdown_request(request)
                return
        self._began[request] = self._clock()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection that was answered or failed."""
        super().shutdown_request(request)
        if self._began.pop(request, None) is not None:
            self._places.release()

    def service_actions(self) -> None:
        """Cut connections whose time is over; called twice a second."""
        earliest = self._clock() - EXCHANGE_S
        for request, began in list(self._began.items()):
            if began <= earliest:
                _cut(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say little: a reader that leaves, or that was cut, is no fault of ours."""
        logger.debug("metrics_not_read", exc_info=True)

    def cut_all(self) -> None:
        """Cut every connection."""
        for request in list(self._began):
            _cut(request)


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has just ended by itself
        connection.shutdown(socket.SHUT_RDWR)


class Door:
    """Serves `/metrics` from threads of its own.

    Args:
        listen: "host:port"; port 0 picks a free one.
        setting: Name of the variable that says so.
        registry: What is served.
        clock: Monotonic seconds.
        waits: Take the address when whoever has it leaves it, instead of raising.

    Raises:
        SystemExit: The address is taken, or not ours; the text names it.
    """

    def __init__(
        self,
        listen: str,
        setting: str,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.monotonic,
        *,
        waits: bool = False,
    ) -> None:
        host, _, port = listen.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._registry, self._clock = registry, clock
        self._is_closed = threading.Event()
        self._binding = threading.Lock()
        self._server: _Server | None = None
        try:
            self._server = self._bound()
        except (OSError, OverflowError) as error:
            if not (waits and isinstance(error, OSError) and error.errno == errno.EADDRINUSE):
                raise SystemExit(
                    f"{setting}: cannot serve metrics on {listen} ({error}): is the port taken by another process?"
                ) from error
        self.address = f"{self._host}:{self._server.server_port if self._server else self._port}"
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve no more; waits for the thread."""
        with self._binding:
            self._is_closed.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.cut_all()
        self._thread.join()

    def _bound(self) -> _Server:
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        server = _Server((cast(str, address[0]), self._port), family, self._clock)
        server.set_app(make_wsgi_app(self._registry))
        return server

    def _serve(self) -> None:
        tries = itertools.count(1)
        while self._server is None and not self._is_closed.wait(_TRY_S):
            if next(tries) == _TOLD_AFTER:
                logger.warning("metrics_not_served", extra={"address": self.address})
            with self._binding, contextlib.suppress(OSError):
                if not self._is_closed.is_set():
                    self._server = self._bound()
        if self._server is not None:
            self._server.serve_forever()
