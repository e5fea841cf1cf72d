"""What hearing the library takes: GPUs, cores, network."""

import math
from collections.abc import Callable

from deploy.capacity.audience import active
from deploy.capacity.lines import DAY_S, Figures, Line


def windows(f: Figures) -> float:
    """Windows of all tracks."""
    return f["tracks"] * f["track_s"] / f["window_s"]


def gpu_hours(f: Figures) -> float:
    """Hours of one GPU for MuQ-large."""
    return windows(f) / f["gpu_windows_per_s"] / f["served_share"] / 3600


def decoding_core_hours(f: Figures) -> float:
    """Hours of one core to decode everything."""
    return f["tracks"] * f["track_s"] / 30 * f["decode_core_s_per_30_s"] / 3600


def muq_core_hours(f: Figures) -> float:
    """Hours of one core for MuQ-large without a GPU."""
    return windows(f) * f["muq_core_s"] / f["served_share"] / 3600 + decoding_core_hours(f)


def mini_core_hours(f: Figures) -> float:
    """Hours of one core for museed-mini."""
    seconds = f["tracks"] * f["track_s"] / 30 * f["mini_core_s_per_30_s"]
    return seconds / f["served_share"] / 3600 + decoding_core_hours(f)


def _gpus_in(days: float) -> Callable[[Figures], float]:
    return lambda f: math.ceil(gpu_hours(f) / 24 / days)


def decoding_cores_of_a_gpu(f: Figures) -> float:
    """Cores that keep one GPU busy."""
    return f["gpu_windows_per_s"] * f["window_s"] / 30 * f["decode_core_s_per_30_s"]


def daily_gpu_hours(f: Figures) -> float:
    """Hours of one GPU for what comes on a day."""
    heard = f["new_tracks_per_day"] + active(f) * f["uploads_per_active"]
    return heard * f["track_s"] / f["window_s"] / f["gpu_windows_per_s"] / f["served_share"] / 3600


EMBEDDING = (
    Line("windows", "", "tracks × track_s / window_s", windows),
    Line("GPU-hours, MuQ-large", "h", "windows / gpu_windows_per_s / served_share", gpu_hours),
    Line("GPUs for that in 7 days", "", "GPU-hours / 168, rounded up", _gpus_in(7)),
    Line("GPUs for that in 30 days", "", "GPU-hours / 720, rounded up", _gpus_in(30)),
    Line("core-hours to decode, beside", "h", "tracks × track_s / 30 × decode_core_s_per_30_s", decoding_core_hours),
    Line("cores that keep one GPU busy", "", "gpu_windows_per_s × window_s / 30 × decode_core_s_per_30_s",
         decoding_cores_of_a_gpu),
    Line("core-hours with MuQ-large on CPUs alone", "h", "windows × muq_core_s / served_share + decoding",
         muq_core_hours),
    Line("core-hours with museed-mini", "h", "tracks × track_s / 30 × mini_core_s_per_30_s / served_share + decoding",
         mini_core_hours),
    Line("audio read", "B", "tracks × track_bytes", lambda f: f["tracks"] * f["track_bytes"]),
    Line("network for that in 7 days", "bit/s", "audio × 8 / 7 days",
         lambda f: f["tracks"] * f["track_bytes"] * 8 / (7 * DAY_S)),
    Line("GPU-hours a day afterwards", "h", "(new tracks + uploads) × track_s / window_s / gpu_windows_per_s",
         daily_gpu_hours),
)  # fmt: skip
