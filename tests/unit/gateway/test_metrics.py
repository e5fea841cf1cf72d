"""What a scrape says of a worker: what is at work, waits and was refused."""

from prometheus_client import CollectorRegistry

from services.gateway.admission import LEAST_WAITING, Admission, Bounds
from services.gateway.metrics import GatewayCollector
from services.gateway.sockets import OpenSockets


async def test_a_scrape_says_what_is_at_work_what_waits_and_every_reason_from_the_start() -> None:
    admission = Admission(Bounds(2, 0.005, 0.2))
    registry = CollectorRegistry()
    registry.register(GatewayCollector(admission, {1, 2, 3}, OpenSockets(())))

    def told(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"museed_gateway_{name}", labels)

    refused = {reason: told("refused_requests_total", reason=reason) for reason in ("overloaded", "full", "waited")}
    assert refused == {"overloaded": 0, "full": 0, "waited": 0}
    while admission.ask() is not None:
        pass
    assert (told("requests_at_work"), told("requests_at_work_limit"), told("requests_waiting")) == (2, 2, LEAST_WAITING)
    assert (told("connections"), told("sockets")) == (3, 0)
    assert told("refused_requests_total", reason="full") == 1
    assert told("refused_requests_total", reason="connections") == 0
