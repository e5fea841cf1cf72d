"""Settings of the embedder, read from EMBEDDER_*; those of NATS are in `services.chassis.bus`."""

from pathlib import Path

from pydantic import Field

from services.chassis.settings import Settings, settings_config
from services.embedder.decoder import DecodeLimits
from services.embedder.embedding import AudioLimits

_MIB = 1024 * 1024


class EmbedderSettings(Settings):
    """Where the embedder listens, which encoder it serves, and what a file may cost."""

    model_config = settings_config("EMBEDDER_")

    listen: str = "127.0.0.1:7402"
    social_address: str
    blob_store_url: str = Field(pattern=r"^(file|s3)://.+")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    # "auto", "museed-mini", "musicnn-msd", "musicnn-mtt", a model folder, or a hub name such as
    # OpenMuQ/MuQ-large-msd-iter.
    encoder: str = "auto"
    artifact_folder: Path = Path(".museed/artifacts")
    # A MuQ folder that `auto` may take where there is a GPU.
    muq_folder: Path | None = None
    # A MuQ-MuLan folder, or a hub name such as OpenMuQ/MuQ-MuLan-large; empty loads no text model beside the encoder.
    mulan: str = ""
    max_waiting_texts: int = Field(default=32, ge=1)
    cached_texts: int = Field(default=1024, ge=0)
    # 0 takes one thread a core.
    model_threads: int = Field(default=0, ge=0, le=256)

    max_batch_windows: int = Field(default=8, ge=1, le=1024)
    max_batch_delay_ms: float = Field(default=5.0, ge=0, le=1000)
    max_queued_windows: int = Field(default=512, ge=1)
    windows_in_flight: int = Field(default=4, ge=1, le=256)

    # Files worked on at a time, and as many decoding processes, for those who wait and for the library.
    interactive_files: int = Field(default=2, ge=1, le=64)
    bulk_files: int = Field(default=3, ge=1, le=256)
    max_waiting_calls: int = Field(default=16, ge=0)

    decode_memory_mib: int = Field(default=512, ge=64)
    decode_cpu_s: float = Field(default=120.0, gt=0)
    decode_wait_s: float = Field(default=120.0, gt=0)

    library_min_seconds: float = Field(default=30.0, ge=3)
    library_max_seconds: float = Field(default=7200.0, gt=0)
    library_max_bytes: int = Field(default=2048 * _MIB, ge=1)
    upload_min_seconds: float = Field(default=3.0, ge=3)
    upload_max_seconds: float = Field(default=1200.0, gt=0)
    upload_max_bytes: int = Field(default=200 * _MIB, ge=1)
    # Uploads lie here, without a name, while they are decoded; None is the system's folder for such things.
    spool_folder: Path | None = None

    max_concurrent_calls: int = Field(default=64, ge=1)
    drain_timeout_s: float = Field(default=10.0, ge=0, le=600)

    @property
    def decode_limits(self) -> DecodeLimits:
        """What decoding one file may cost."""
        return DecodeLimits(self.decode_memory_mib, self.decode_cpu_s, self.decode_wait_s)

    @property
    def library_limits(self) -> AudioLimits:
        """What a track of the library may be."""
        return AudioLimits(self.library_min_seconds, self.library_max_seconds, self.library_max_bytes)

    @property
    def upload_limits(self) -> AudioLimits:
        """What a file that somebody sends may be."""
        return AudioLimits(self.upload_min_seconds, self.upload_max_seconds, self.upload_max_bytes)
