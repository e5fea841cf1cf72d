"""What a gateway process can be told from outside."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator
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
    url_signing_key: SecretStr = Field(min_length=32)
    stream_url_lifetime_s: int = Field(900, ge=1, le=900)
    graphiql: bool = True
    # Whether the cookie of a refresh token needs TLS. Without, it has neither Secure nor the prefix that pins its host.
    cookie_secure: bool = True
    cookie_same_site: Literal["strict", "lax", "none"] = "strict"
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    # Names under which the gateway may be called; any other Host is refused, so that no web page can rebind to it.
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ("*",)

    max_upload_bytes: int = Field(200 * MIB, ge=1)
    max_body_bytes: int = Field(2 * MIB, ge=1024)
    max_connections: int = Field(4096, ge=1)
    request_timeout_s: float = Field(15.0, gt=0, le=120)
    upstream_timeout_s: float = Field(5.0, gt=0, le=60)
    generation_wait_ms: int = Field(1500, ge=0, le=5000)
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

    @property
    def host(self) -> str:
        """Address to bind."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """TCP port to bind; 0 picks a free one."""
        return int(self.listen.rpartition(":")[2])
