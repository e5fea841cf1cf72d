"""Settings of the retriever, read from RETRIEVER_*; those of NATS are in `services.chassis.bus`."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from services.chassis.settings import Listen, OptionalListen, Settings, settings_config
from services.retriever.index.kinds import AUTO, CHOICES

# It is a token of a NATS subject and the name of a folder.
ENCODER_ID = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"


class RetrieverSettings(Settings):
    """Where the retriever listens, whose vectors it serves, and where it keeps snapshots."""

    model_config = settings_config("RETRIEVER_")

    listen: Listen = "127.0.0.1:7403"
    social_address: str
    # Served until social says which encoder is.
    encoder_id: str = Field(pattern=f"^{ENCODER_ID}$")
    snapshot_folder: Path
    snapshot_after_changes: int = Field(default=5_000, ge=1)
    snapshot_interval_s: float = Field(default=300.0, gt=0)
    # flat, flat-fp16, sq8, ivf-sq8, hnsw-sq8, gpu-flat, or auto by the number of tracks and the recall.
    index: str = AUTO
    # Share of the true 100 nearest that approximate kinds find.
    recall: float = Field(default=0.99, gt=0, le=1)
    # Tracks added, changed or removed after which the next base is built.
    merge_after_changes: int = Field(default=2_000, ge=1)
    # Threads that one search may use.
    search_threads: int = Field(default=1, ge=1, le=256)
    # "file:///folder" or "s3://bucket/prefix"; empty leaves MatchReference unimplemented.
    blob_store_url: str = Field(default="", pattern=r"^(|(file|s3)://.+)$")
    # Copies of blobs that do not lie in a local folder, kept below the snapshots.
    window_cache_bytes: int = Field(default=1024**3, ge=0)
    max_concurrent_calls: int = Field(default=128, ge=1)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    # Where Prometheus finds /metrics, "host:port"; empty counts nothing.
    metrics_listen: OptionalListen = ""
    # Where the vectors are: in this process, or in a Milvus.
    engine: Literal["faiss", "milvus"] = "faiss"
    # http://host:19530, or a path that ends in .db, which milvus-lite serves inside this process.
    milvus_uri: str = ""
    # user:password or an API key.
    milvus_token: SecretStr = SecretStr("")
    milvus_timeout_s: float = Field(default=5.0, gt=0, le=600)
    milvus_index: str = Field(default="AUTOINDEX", pattern="^[A-Z][A-Z0-9_]{0,30}$")

    @model_validator(mode="after")
    def _engine_is_reachable(self) -> Self:
        if self.engine == "milvus" and not self.milvus_uri:
            raise ValueError("RETRIEVER_MILVUS_URI is missing: RETRIEVER_ENGINE is milvus")
        return self

    @field_validator("index")
    @classmethod
    def _is_a_kind(cls, value: str) -> str:
        if value not in CHOICES:
            raise ValueError(f"{value!r} is none of {', '.join(CHOICES)}")
        return value
