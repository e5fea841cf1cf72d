"""Opens what a process tells of itself, and closes it when everything else has ended."""

import contextlib
from collections.abc import AsyncIterator

from services.chassis.settings import load
from services.chassis.telemetry.metrics import Metrics
from services.chassis.telemetry.settings import OtlpSettings
from services.chassis.tls import Identity


@contextlib.asynccontextmanager
async def told(
    service: str, metrics_listen: str, setting: str, identity: Identity | None = None, *, waits: bool = False
) -> AsyncIterator[Metrics]:
    """Serve metrics and send spans to a collector, each where the settings say so; at the end, what is left is sent.

    Args:
        service: Name of the process, for example "embedder".
        metrics_listen: "host:port" of `/metrics`; empty for none.
        setting: Name of the variable that says so.
        identity: Whose certificate is told of.
        waits: Take an address that another process has when that leaves it.

    Yields:
        The metrics of the process.

    Raises:
        SystemExit: The address is taken, or a variable of OpenTelemetry's cannot be meant.
    """
    otlp = load(OtlpSettings)
    metrics = Metrics.open(metrics_listen, setting, waits=waits)
    metrics.watch_certificate(identity)
    try:
        if not otlp.is_on:
            yield metrics
            return
        from services.chassis.telemetry.otlp import Exporting  # costs a quarter of a second

        spans = Exporting(otlp.service_name or service)
        try:
            yield metrics
        finally:
            await spans.close()
    finally:
        metrics.close()
