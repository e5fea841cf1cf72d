"""Settings of the embedder, read from EMBEDDER_*; those of NATS are in `services.chassis.bus`."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from services.chassis.settings import Listen, OptionalListen, Settings, SettingsError, settings_config
from services.embedder.admission import CallLimits
from services.embedder.decoder import DecodeLimits
from services.embedder.embedding import AudioLimits

_MIB = 1024 * 1024
# A decoding process counts whole CPU seconds, and may begin with a part of one.
_CPU_ROUNDING_S = 2.0
# Of the places for files of callers: the most that one user may have.
_SHARE_OF_ONE = 0.5


class EncodingSettings(Settings):
    """Which encoder runs, and what a file of the library may cost: what bulk work and the service have in common."""

    model_config = settings_config("EMBEDDER_")

    # "auto", "museed-mini", "musicnn-msd", "musicnn-mtt", a model folder, or a hub name such as
    # OpenMuQ/MuQ-large-msd-iter.
    encoder: str = "auto"
    artifact_folder: Path = Path(".museed/artifacts")
    # A MuQ folder that `auto` may take where there is a GPU.
    muq_folder: Path | None = None
    # 0 takes one thread a core.
    model_threads: int = Field(default=0, ge=0, le=256)
    # "auto" is torch on a GPU and ONNX Runtime on a CPU.
    runtime: Literal["auto", "onnxruntime", "torch"] = "auto"
    # "auto" is the quickest that is near enough to fp32.
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8-dynamic", "int8-static"] = "auto"
    torch_compile: bool = False

    # Sound in one call of the model, in each lane's queue, and of one track in that queue.
    max_batch_seconds: float = Field(default=80.0, ge=1, le=36_000)
    max_batch_delay_ms: float = Field(default=5.0, ge=0, le=1000)
    max_queued_seconds: float = Field(default=1200.0, ge=10, le=360_000)
    seconds_in_flight: float = Field(default=40.0, ge=1, le=3600)

    # Files of the library worked on at a time: more than its decoding processes, so that neither they nor the model
    # wait for the other. More processes than cores only push one another out of the caches. 0 is one a core.
    bulk_files: int = Field(default=8, ge=1, le=256)
    bulk_decoders: int = Field(default=0, ge=0, le=256)
    decode_memory_mib: int = Field(default=512, ge=64, le=1 << 20)
    decode_cpu_s: float = Field(default=120.0, gt=0, le=86_400)
    # More than the CPU seconds: that limit refuses a file, this one only has it tried again.
    decode_wait_s: float = Field(default=300.0, gt=0, le=7 * 86_400)
    # How much the processes that decode the library give way to those of callers and to the model; see nice(2).
    bulk_niceness: int = Field(default=10, ge=0, le=19)

    library_min_seconds: float = Field(default=30.0, ge=3)
    library_max_seconds: float = Field(default=7200.0, gt=0)
    library_max_bytes: int = Field(default=2048 * _MIB, ge=1)

    @model_validator(mode="after")
    def _cpu_seconds_run_out_before_waiting_does(self) -> Self:
        """A file that never ends is refused for its CPU seconds, and not tried again as if the machine were busy."""
        shortest = self.decode_cpu_s + _CPU_ROUNDING_S
        if self.decode_wait_s < shortest:
            raise ValueError(
                f"EMBEDDER_DECODE_WAIT_S must be at least EMBEDDER_DECODE_CPU_S + {_CPU_ROUNDING_S:g}, {shortest:g}"
            )
        return self

    @property
    def tracks_at_a_time(self) -> int:
        """How many tracks may have sound in the queue."""
        return self.bulk_files

    def check_room(self, window_seconds: float) -> None:
        """Refuse settings under which a track that was let in could meet a full queue.

        Args:
            window_seconds: Of the encoder; a track has one window in flight, however long it is.

        Raises:
            SettingsError: A lane holds too little; the text says how much is needed.
        """
        needed = self.tracks_at_a_time * max(self.seconds_in_flight, window_seconds)
        if needed > self.max_queued_seconds:
            raise SettingsError(
                f"EMBEDDER_MAX_QUEUED_SECONDS is {self.max_queued_seconds:g}, and {self.tracks_at_a_time} tracks at a"
                f" time may have {needed:g} s of sound waiting: raise it, or lower EMBEDDER_MAX_WAITING_CALLS,"
                " EMBEDDER_BULK_FILES or EMBEDDER_SECONDS_IN_FLIGHT"
            )

    @property
    def decode_limits(self) -> DecodeLimits:
        """What decoding one file may cost."""
        return DecodeLimits(self.decode_memory_mib, self.decode_cpu_s, self.decode_wait_s)

    @property
    def bulk_processes(self) -> int:
        """Decoding processes of the library; one for each file is enough."""
        return min(self.bulk_files, self.bulk_decoders or len(os.sched_getaffinity(0)))

    @property
    def bulk_decode_limits(self) -> DecodeLimits:
        """What decoding one file of the library may cost."""
        return replace(self.decode_limits, niceness=self.bulk_niceness)

    @property
    def library_limits(self) -> AudioLimits:
        """What a track of the library may be."""
        return AudioLimits(self.library_min_seconds, self.library_max_seconds, self.library_max_bytes)


class EmbedderSettings(EncodingSettings):
    """Where the embedder listens, which encoder it serves, and what a file may cost."""

    listen: Listen = "127.0.0.1:7402"
    social_address: str
    blob_store_url: str = Field(
        pattern=r"^(file:///|s3://[^/]).*", description="file:///an/absolute/folder or s3://bucket/prefix"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    # Where Prometheus finds /metrics, "host:port"; empty counts nothing.
    metrics_listen: OptionalListen = ""

    # A MuQ-MuLan folder, or a hub name such as OpenMuQ/MuQ-MuLan-large; empty loads no text model beside the encoder.
    mulan: str = ""
    max_waiting_texts: int = Field(default=32, ge=1)
    cached_texts: int = Field(default=1024, ge=0)

    # Files worked on at a time for those who wait, and as many decoding processes.
    interactive_files: int = Field(default=2, ge=1, le=64)
    max_waiting_calls: int = Field(default=16, ge=0)
    # Streams of EmbedBatch; between them all they have `bulk_files` items at work.
    max_batch_calls: int = Field(default=8, ge=1, le=256)
    stream_idle_s: float = Field(default=30.0, gt=0, le=3600)
    # Files of the library that are at hand beyond those at work, so that no decoder waits for NATS.
    prefetch_files: int = Field(default=1, ge=0, le=16)
    # Silence after which the work of a lost embedder goes to another one.
    work_ack_wait_s: float = Field(default=15.0, ge=1, le=600)
    # How long work waits for a social that cannot say whether it is wanted; then it is done.
    wanted_wait_s: float = Field(default=60.0, ge=0, le=3600)

    upload_min_seconds: float = Field(default=3.0, ge=3)
    upload_max_seconds: float = Field(default=1200.0, gt=0)
    upload_max_bytes: int = Field(default=200 * _MIB, ge=1)
    # Uploads lie here, without a name, while they are decoded; None is the system's folder for such things.
    spool_folder: Path | None = None

    max_concurrent_calls: int = Field(default=64, ge=1)
    drain_timeout_s: float = Field(default=10.0, ge=0, le=600)

    @model_validator(mode="after")
    def _lengths_are_ranges(self) -> Self:
        for what in ("library", "upload"):
            shortest, longest = getattr(self, f"{what}_min_seconds"), getattr(self, f"{what}_max_seconds")
            if shortest > longest:
                name = f"EMBEDDER_{what.upper()}"
                raise ValueError(f"{name}_MIN_SECONDS is {shortest:g}, {name}_MAX_SECONDS is {longest:g}")
        return self

    @property
    def tracks_at_a_time(self) -> int:
        """How many tracks may have sound in one lane's queue."""
        interactive = self.interactive_files + self.max_waiting_calls
        return max(interactive, 2 * self.bulk_files + self.prefetch_files)  # of NATS and of EmbedBatch

    @property
    def call_limits(self) -> CallLimits:
        """What callers may ask for at a time."""
        files = self.interactive_files + self.max_waiting_calls
        of_one = max(1, int(files * _SHARE_OF_ONE))
        return CallLimits(files, of_one, self.max_batch_calls, self.bulk_files, self.stream_idle_s)

    @property
    def upload_limits(self) -> AudioLimits:
        """What a file that somebody sends may be."""
        return AudioLimits(self.upload_min_seconds, self.upload_max_seconds, self.upload_max_bytes)
