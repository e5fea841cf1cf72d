"""When spans are sent: OpenTelemetry's standard variables, as far as they are read here."""

from typing import Literal

from services.chassis.settings import Settings, settings_config


class OtlpSettings(Settings):
    """Whether there is a collector, and who we are to it; the SDK reads the rest of `OTEL_*` by itself."""

    model_config = settings_config("OTEL_")

    exporter_otlp_endpoint: str = ""
    exporter_otlp_traces_endpoint: str = ""
    exporter_otlp_protocol: Literal["grpc"] = "grpc"
    exporter_otlp_traces_protocol: Literal["grpc"] = "grpc"
    traces_exporter: Literal["otlp", "none"] = "otlp"
    sdk_disabled: bool = False
    service_name: str = ""

    @property
    def is_on(self) -> bool:
        """Whether there is a collector to send spans to."""
        is_wanted = not self.sdk_disabled and self.traces_exporter == "otlp"
        return is_wanted and bool(self.exporter_otlp_endpoint or self.exporter_otlp_traces_endpoint)
