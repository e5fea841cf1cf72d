"""Settings of the social service, read from `SOCIAL_<NAME>`."""

from pydantic import Field, SecretStr

from services.chassis.settings import Settings, settings_config
from services.chassis.telemetry.metrics import LISTEN_PATTERN


class SocialSettings(Settings):
    """Everything that can be set about a process of this service; NATS has its own `NATS_<NAME>`."""

    model_config = settings_config("SOCIAL_")

    database_url: SecretStr
    embedder_address: str
    # A second encoder's, while one takes the other's place and as long as one can go back; empty where there is none.
    second_embedder_address: str = ""
    retriever_address: str
    listen: str = "127.0.0.1:7401"
    log_level: str = "INFO"
    # Where Prometheus finds /metrics, "host:port"; empty counts nothing.
    metrics_listen: str = Field("", pattern=LISTEN_PATTERN)
    # Empty leaves the audio of expired uploads where it is.
    blob_store_url: str = ""

    database_pool_size: int = Field(16, ge=4, le=200)
    statement_timeout_ms: int = Field(5_000, ge=100, le=600_000)

    password_concurrency: int = Field(2, ge=1, le=64)
    password_queue_size: int = Field(64, ge=1, le=10_000)
    failed_logins_per_window: int = Field(10, ge=1, le=1_000)
    failed_login_window_s: float = Field(300.0, gt=0, le=86_400)

    uploads_per_user_and_day: int = Field(100, ge=1, le=100_000)
    upload_life_days: int = Field(7, ge=1, le=365)

    generation_concurrency: int = Field(4, ge=1, le=64)
    open_jobs_per_user: int = Field(20, ge=1, le=10_000)
    job_lease_s: float = Field(15.0, ge=1, le=3_600)
    job_give_up_s: float = Field(1_800.0, ge=1, le=86_400)
    embed_timeout_s: float = Field(600.0, ge=1, le=3_600)
    search_timeout_s: float = Field(10.0, ge=0.1, le=600)

    work_lost_after_s: float = Field(300.0, ge=1, le=86_400)
