"""The metrics of a process in Prometheus's own form."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.chassis import blobs
from services.chassis.telemetry.metrics import BusMetrics, LoopMetrics, RpcMetrics
from services.chassis.tls import Identity

# From a call that reads one row to one that waits for a long upload.
_RPC_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
# From an event that is one row to a file of two hours.
_HANDLE_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
# From a bell to work of a large ingest.
_WAIT_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0)
# A loop that is 50 ms late is one that something blocks.
_LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


def new_registry() -> CollectorRegistry:
    """Return a registry that knows the process: memory, CPU seconds, open files, garbage collections."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(_BlobCollector())
    return registry


class _BlobCollector(Collector):
    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        text = "Files that the blob store did not take: it is full, or away."
        yield CounterMetricFamily("museed_blob_write_failures", text, blobs.write_failures())


class CertificateCollector(Collector):
    """For how long the certificate that this process shows is still valid; less than nothing when it has ended.

    Args:
        identity: Of this process.
        now: The time, in UTC.
    """

    def __init__(self, identity: Identity, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._identity = identity
        self._now = now

    def describe(self) -> Iterable[Metric]:
        """Nothing is told before somebody asks."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Look at what the files hold now."""
        left_s = (self._identity.pem().expires_at - self._now()).total_seconds()
        yield GaugeMetricFamily("museed_tls_certificate_left_seconds", "Until this process's certificate ends.", left_s)


class CountedRpcs(RpcMetrics):
    """Calls, counted. Labels are bounded: the methods that a server has, gRPC's codes, and the reasons in our code."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._handled = Counter(
            "museed_rpc_handled_total",
            "Calls that ended, by gRPC code and the reason of a refusal.",
            ["method", "code", "reason"],
            registry=registry,
        )
        self._in_flight = Gauge("museed_rpc_in_flight", "Calls that are being answered.", ["method"], registry=registry)
        self._seconds = Histogram(
            "museed_rpc_duration_seconds",
            "Seconds from a call's arrival to its end.",
            ["method"],
            buckets=_RPC_SECONDS,
            registry=registry,
        )

    def began(self, method: str) -> None:
        """Count a call that came in."""
        self._in_flight.labels(method).inc()

    def ended(self, method: str, code: str, reason: str, seconds: float) -> None:
        """Count the end of a call."""
        self._in_flight.labels(method).dec()
        self._handled.labels(method, code, reason).inc()
        self._seconds.labels(method).observe(seconds)


class CountedMessages(BusMetrics):
    """Messages, counted. Labels are bounded by the table of streams."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._published = Counter(
            "museed_bus_published_total",
            "Messages published: stored, duplicate (its id was there already) or unconfirmed.",
            ["stream", "outcome"],
            registry=registry,
        )
        self._deliveries = Counter(
            "museed_bus_deliveries_total", "Messages that came to a handler.", ["stream"], registry=registry
        )
        self._redeliveries = Counter(
            "museed_bus_redeliveries_total", "Messages of these that had come before.", ["stream"], registry=registry
        )
        self._handled = Counter(
            "museed_bus_handled_total",
            "Deliveries that ended: acked, ack_failed, retried, dead_lettered or cancelled.",
            ["stream", "outcome"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "museed_bus_in_flight", "Messages in the hands of a handler.", ["stream"], registry=registry
        )
        self._waits = Histogram(
            "museed_bus_wait_seconds",
            "Seconds from when a message was stored until it came to a handler for the first time.",
            ["stream"],
            buckets=_WAIT_SECONDS,
            registry=registry,
        )
        self._seconds = Histogram(
            "museed_bus_handle_seconds",
            "Seconds from a delivery to its end.",
            ["stream"],
            buckets=_HANDLE_SECONDS,
            registry=registry,
        )

    def published(self, stream: str, outcome: str) -> None:
        """Count a message that was published."""
        self._published.labels(stream, outcome).inc()

    def delivered(self, stream: str, *, is_repeated: bool, waited_s: float = 0.0) -> None:
        """Count a message that came; how long it waited, the first time."""
        self._deliveries.labels(stream).inc()
        self._in_flight.labels(stream).inc()
        if is_repeated:
            self._redeliveries.labels(stream).inc()
        else:
            self._waits.labels(stream).observe(max(0.0, waited_s))

    def handled(self, stream: str, outcome: str, seconds: float) -> None:
        """Count the end of a delivery."""
        self._in_flight.labels(stream).dec()
        self._handled.labels(stream, outcome).inc()
        self._seconds.labels(stream).observe(seconds)


class CountedLoop(LoopMetrics):
    """The event loop's lag, looked at four times a second."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lag = Histogram(
            "museed_event_loop_lag_seconds",
            "Seconds that a task was woken too late.",
            buckets=_LAG_SECONDS,
            registry=registry,
        )

    def lagged(self, seconds: float) -> None:
        """Count one look."""
        self._lag.observe(seconds)
