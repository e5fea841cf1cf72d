"""What the gateway is busy with and what it refuses, in Prometheus's own form; counts nothing by itself.

Imported only where a process opens its door. Labels are bounded: reasons are those of our code.
"""

from collections.abc import Collection, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.gateway.admission import Admission
from services.gateway.counts import GatewayCounts
from services.gateway.sockets import OpenSockets

# All of them from the start, so that a rate can be had of the first.
REASONS = ("overloaded", "full", "waited", "connections")

# From a probe to a long upload; the bounds of objectives are among them.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
# Up to the most that a document may cost.
_POINTS = (1, 3, 10, 30, 100, 300, 1000, 3000, 5000)


class CountedGateway(GatewayCounts):
    """Counts into a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"museed_gateway_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"museed_gateway_{name}", text, labels, buckets=buckets, registry=registry)

        self._requests = counter("requests_total", "Requests that were answered.", "method", "route", "status")
        self._seconds = histogram("request_seconds", "Seconds until a request's answer was sent.", _SECONDS, "route")
        self._operations = counter("operations_total", "Queries and mutations that ended.", "kind", "outcome")
        self._operation_seconds = histogram(
            "operation_seconds", "Seconds that a query or mutation took.", _SECONDS, "kind"
        )
        self._cost = histogram("cost_points", "What an operation that was admitted can cost.", _POINTS)
        self._errors = counter("errors_total", "Coded errors of GraphQL answers.", "code", "reason")

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def ran(self, kind: str, outcome: str, seconds: float) -> None:
        """Count an operation."""
        self._operations.labels(kind, outcome).inc()
        self._operation_seconds.labels(kind).observe(seconds)

    def cost(self, points: int) -> None:
        """Count what an operation can cost."""
        self._cost.observe(points)

    def told(self, code: str, reason: str) -> None:
        """Count an error."""
        self._errors.labels(code, reason).inc()


class GatewayCollector(Collector):
    """Tells what is at work, what waits, and what was refused.

    Args:
        admission: Looked at from the door's thread, which reads single numbers and changes nothing.
        connections: Of the server; likewise.
        sockets: Those that are open; likewise.
    """

    def __init__(self, admission: Admission, connections: Collection[object], sockets: OpenSockets) -> None:
        self._admission = admission
        self._connections = connections
        self._sockets = sockets

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are told with their numbers."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield what is true now."""
        admission = self._admission
        for name, text, value in (
            (
                "requests_at_work",
                "Requests that are worked on, waiting for other services included.",
                admission.at_work,
            ),
            ("requests_at_work_limit", "How many may be, as late as the event loop is now.", admission.limit),
            ("requests_waiting", "Requests that wait for their turn.", admission.waiting),
            ("connections", "Connections, sockets among them.", len(self._connections)),
            ("sockets", "Open WebSockets.", len(self._sockets)),
        ):
            yield GaugeMetricFamily(f"museed_gateway_{name}", text, value)
        refused = CounterMetricFamily(
            "museed_gateway_refused_requests",
            "Requests and new sockets that were refused because there was too much to do: overloaded, full, waited"
            " (too long for their turn), connections (too many).",
            labels=["reason"],
        )
        for reason in REASONS:
            refused.add_metric([reason], admission.refused[reason])
        yield refused
