"""What a gateway process can be told from outside."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode
from strawberry.http.websocket_origin import normalize_allowed_origins

from services.chassis.settings import Listen, OptionalListen, Settings, settings_config

MIB = 1024 * 1024


def _without_slash(url: str) -> str:
    return url.rstrip("/")


class GatewaySettings(Settings):
    """Settings of the gateway, from `GATEWAY_<NAME>`."""

    model_config = settings_config("GATEWAY_")

    listen: Listen = "127.0.0.1:8080"
    social_address: str = "127.0.0.1:7401"
    retriever_address: str = "127.0.0.1:7403"
    blob_store_url: str = "file:///var/lib/museed/blobs"
    # Empty makes stream URLs relative to the root of whoever serves the page.
    public_url: Annotated[str, AfterValidator(_without_slash)] = ""
    # Files of a web client, served at / and /web/; empty for none.
    web_folder: str = ""
    url_signing_key: SecretStr = Field(min_length=32)
    stream_url_lifetime_s: int = Field(900, ge=1, le=900)
    # Whether clients may explore: GraphiQL, introspection, and suggestions for names that are not known.
    explorable: bool = True
    # A JSON object from SHA-256 to document; empty for none.
    trusted_documents: str = ""
    trusted_only: bool = False
    # Of a viewer over all workers, in points: a bucket, and what comes back in a second.
    cost_capacity: int = Field(20_000, ge=5_000)
    cost_refill_per_s: int = Field(2000, ge=1)
    # The same of seconds that calls to other services take: so many under way always, and more for a while.
    time_capacity_s: float = Field(240.0, ge=15, le=86_400)
    time_refill_per_s: float = Field(20.0, gt=0, le=10_000)
    # Whether the cookie of a refresh token needs TLS. Without, it has neither Secure nor the prefix that pins its host.
    cookie_secure: bool = True
    cookie_same_site: Literal["strict", "lax", "none"] = "strict"
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    # Names under which the gateway may be called; any other Host is refused, so that no web page can rebind to it.
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ("*",)

    max_upload_bytes: int = Field(200 * MIB, ge=1)
    # Larger pictures count as none.
    max_cover_bytes: int = Field(10 * MIB, ge=1024)
    cover_cache_bytes: int = Field(64 * MIB, ge=0)
    # Of one process: each holds some MiB while it comes.
    max_uploads_at_once: int = Field(64, ge=1)
    partial_upload_life_s: float = Field(86_400.0, ge=60, le=7 * 86_400)
    # Of transcoded audio; made when it is first needed.
    transcode_folder: Path = Path("/var/cache/museed/transcodes")
    transcode_cache_bytes: int = Field(2048 * MIB, ge=0)
    # Processes; 0 transcodes nothing.
    transcodes_at_once: int = Field(2, ge=0, le=64)
    max_body_bytes: int = Field(2 * MIB, ge=1024)
    max_connections: int = Field(4096, ge=1)
    # Of one process: requests that are worked on, waiting for other services included.
    max_requests_at_once: int = Field(1024, ge=1)
    # How late a process may be with what it could do at once, before it works on fewer requests at a time.
    target_delay_ms: float = Field(5.0, ge=1, le=1000)
    # How long a request may be expected to wait until it is worked on; others are refused at once.
    queue_ms: float = Field(200.0, ge=1, le=10_000)
    # Of one process and one person, sockets and what runs on all of them; guests of a network have eight times as many.
    max_sockets_of_one: int = Field(32, ge=1)
    max_operations_of_one: int = Field(200, ge=1)
    # Of a network over all workers, in points: what plain routes cost.
    route_capacity: int = Field(20_000, ge=500)
    route_refill_per_s: int = Field(2000, ge=1)
    request_timeout_s: float = Field(15.0, gt=0, le=120)
    upstream_timeout_s: float = Field(5.0, gt=0, le=60)
    generation_wait_ms: int = Field(1500, ge=0, le=5000)
    # A sign of life of a feed or of notifications in which nothing happens.
    live_heartbeat_s: float = Field(30.0, gt=0, le=300)
    # Processes behind the listening socket.
    workers: int = Field(1, ge=1, le=64)
    # How long load balancers get to notice that the process is not ready any more.
    drain_delay_s: float = Field(0.0, ge=0, le=60)
    drain_timeout_s: float = Field(10.0, gt=0, le=120)
    log_level: str = "INFO"
    # Where Prometheus finds /metrics, "host:port"; empty counts nothing.
    metrics_listen: OptionalListen = ""

    @field_validator("cors_origins", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _as_browsers_write_them(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(normalize_allowed_origins(value)))

    @field_validator("cookie_same_site")
    @classmethod
    def _none_is_secure(cls, value: str, info: ValidationInfo) -> str:
        if value == "none" and not info.data.get("cookie_secure", True):
            raise ValueError("browsers drop a cookie of SameSite=None that is not Secure: set cookie_secure")
        return value

    def metrics_listen_of(self, worker: int) -> str:
        """Return where a worker serves its metrics: each at a port of its own, one after the other."""
        host, _, port = self.metrics_listen.rpartition(":")
        return f"{host}:{int(port) + worker}" if self.metrics_listen and port != "0" else self.metrics_listen

    @model_validator(mode="after")
    def _check_trusted(self) -> Self:
        if self.trusted_only and not self.trusted_documents:
            raise ValueError("TRUSTED_ONLY needs TRUSTED_DOCUMENTS: nothing could be asked")
        return self

    @property
    def host(self) -> str:
        """Address to bind."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """TCP port to bind; 0 picks a free one."""
        return int(self.listen.rpartition(":")[2])
