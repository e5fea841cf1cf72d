"""What the gateway is busy with and what it refuses, in Prometheus's own form; counts nothing by itself.

Imported only where a process opens its door. Labels are bounded: reasons are those of our code.
"""

from collections.abc import Collection, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.gateway.admission import Admission
from services.gateway.sockets import OpenSockets

# All of them from the start, so that a rate can be had of the first.
REASONS = ("overloaded", "full", "waited", "connections")


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
