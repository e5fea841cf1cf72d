"""Counts what a process does, for Prometheus: RPCs, messages, the event loop. Without a door nothing is counted.

The classes here count nothing; `prometheus.py`, which is imported only where a process opens its door, does. Whoever
counts gets its object from the process's `__main__`.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from services.chassis.telemetry.door import Door
    from services.chassis.tls import Identity

_LAG_INTERVAL_S = 0.25


class RpcMetrics:
    """Calls that a server answers. Methods are full names, "/package.Service/Method", of RPCs that it has."""

    def began(self, method: str) -> None:
        """Count a call that came in."""

    def ended(self, method: str, code: str, reason: str, seconds: float) -> None:
        """Count the end of a call under its gRPC code, and the reason of a refusal, empty where it was answered."""


class BusMetrics:
    """Messages that a process publishes and works off, by stream."""

    def published(self, stream: str, outcome: str) -> None:
        """Count a message that was "stored", was a "duplicate", or was "unconfirmed"."""

    def delivered(self, stream: str, *, is_repeated: bool, waited_s: float = 0.0) -> None:
        """Count a message that came into the hands of its handler, so long after it was stored."""

    def handled(self, stream: str, outcome: str, seconds: float) -> None:
        """Count the end of a delivery: "acked", "ack_failed", "retried", "dead_lettered" or "cancelled"."""


class LoopMetrics:
    """How late the event loop is."""

    def lagged(self, seconds: float) -> None:
        """Count one look."""


class Metrics:
    """The metrics of a process. Made by `open`.

    Attributes:
        rpc: For `services.chassis.server.Server`.
        bus: For `services.chassis.bus.Bus`.
        loop: Of this process's event loop.
        registry: Where a service adds its own; None while nothing is counted.
        address: Where they are served, for example "127.0.0.1:7492"; empty where they are not.
    """

    def __init__(self) -> None:
        self.rpc = RpcMetrics()
        self.bus = BusMetrics()
        self.loop = LoopMetrics()
        self.registry: CollectorRegistry | None = None
        self.address = ""
        self._door: Door | None = None

    @classmethod
    def open(cls, listen: str, setting: str, *, waits: bool = False) -> Self:
        """Serve `/metrics` from a thread of its own.

        Args:
            listen: "host:port", port 0 picks a free one; empty counts and serves nothing.
            setting: Name of the variable that says so.
            waits: Take an address that another process has when that leaves it.

        Raises:
            SystemExit: The address is taken; the text names it.
        """
        found = cls()
        if listen:
            from services.chassis.telemetry import door, prometheus  # costs a tenth of a second

            found.registry = prometheus.new_registry()
            found.rpc = prometheus.CountedRpcs(found.registry)
            found.bus = prometheus.CountedMessages(found.registry)
            found.loop = prometheus.CountedLoop(found.registry)
            found._door = door.Door(listen, setting, found.registry, waits=waits)
            found.address = found._door.address
        return found

    def watch_certificate(self, identity: "Identity | None") -> None:
        """Tell when this process's certificate ends, where it has one."""
        if self.registry is not None and identity is not None:
            from services.chassis.telemetry.prometheus import CertificateCollector

            self.registry.register(CertificateCollector(identity))

    async def watch_loop(self) -> None:
        """Look at the event loop's lag for ever; waits only, while nothing is counted."""
        if self.registry is None:
            await asyncio.Event().wait()
        await watch_lag(self.loop.lagged, _LAG_INTERVAL_S)

    def close(self) -> None:
        """Close the door."""
        if self._door is not None:
            self._door.close()
            self._door = None


async def watch_lag(tell: Callable[[float], None], interval_s: float) -> None:
    """Tell, again and again, how many seconds later than asked for the event loop woke this task."""
    while True:
        due = time.monotonic() + interval_s
        await asyncio.sleep(interval_s)
        tell(max(0.0, time.monotonic() - due))
