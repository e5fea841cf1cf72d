"""Settings of the mesh on one machine: where its state lies and which ports it takes."""

from pathlib import Path

from pydantic import Field

from services.chassis.settings import Settings, settings_config


class LocalSettings(Settings):
    """Read from MUSEED_*; the same values can be given to `museed up`.

    Port 0 picks a free one.
    """

    model_config = settings_config("MUSEED_")

    state: Path = Path(".museed")
    gateway_port: int = Field(default=8080, ge=0, le=65535)
    social_port: int = Field(default=7401, ge=0, le=65535)
    embedder_port: int = Field(default=7402, ge=0, le=65535)
    retriever_port: int = Field(default=7403, ge=0, le=65535)
    nats_port: int = Field(default=7422, ge=0, le=65535)
    # Of the embedder that serves a second encoder, while there is one; nobody else needs to know it.
    second_embedder_port: int = Field(default=0, ge=0, le=65535)
    encoder: str = "auto"
    # Where the spans of requests go: "console" draws them, grpc://host:port is a collector; empty records none.
    observe: str = ""
    # Processes of each service; those of the gateway share its port, and callers spread calls over the others'.
    replicas: int = Field(default=1, ge=1, le=8)
    # Processes of the gateway behind its port, at least as many as replicas; two or more are replaced without a pause.
    gateway_workers: int = Field(default=1, ge=1, le=16)
    # First of the loopback ports where Prometheus finds each process's /metrics; 0 takes free ones, none serves none.
    metrics_port: int | None = Field(default=None, ge=0, le=65535 - 5)

    @property
    def gateway_processes(self) -> int:
        """Processes of the gateway."""
        return max(self.gateway_workers, self.replicas)
