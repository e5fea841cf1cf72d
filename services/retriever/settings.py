"""Settings of the retriever, read from RETRIEVER_*; those of NATS are in `services.chassis.bus`."""

from pathlib import Path

from pydantic import Field

from services.chassis.settings import Settings, settings_config
from services.chassis.telemetry.metrics import LISTEN_PATTERN


class RetrieverSettings(Settings):
    """Where the retriever listens, whose vectors it serves, and where it keeps snapshots."""

    model_config = settings_config("RETRIEVER_")

    listen: str = "127.0.0.1:7403"
    social_address: str
    # Served until social says which encoder is. It is a token of a NATS subject and the name of a folder.
    encoder_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")
    snapshot_folder: Path
    snapshot_after_changes: int = Field(default=5_000, ge=1)
    snapshot_interval_s: float = Field(default=300.0, gt=0)
    max_concurrent_calls: int = Field(default=128, ge=1)
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    # Where Prometheus finds /metrics, "host:port"; empty counts nothing.
    metrics_listen: str = Field(default="", pattern=LISTEN_PATTERN)
