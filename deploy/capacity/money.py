"""What it costs, by the prices that are given."""

from deploy.capacity.audience import streamed_bytes_a_day
from deploy.capacity.embedding import daily_gpu_hours, decoding_core_hours, gpu_hours, mini_core_hours, muq_core_hours
from deploy.capacity.index import code_bytes, machine_gb, mapped_bytes, replicas, shards
from deploy.capacity.lines import DAYS_OF_A_MONTH, HOURS_OF_A_MONTH, Figures, Line
from deploy.capacity.processes import gateway_workers, social_cores
from deploy.capacity.storage import database_bytes, nats_bytes, upload_blob_bytes, windows_blob_bytes


def index_memory_gb(f: Figures) -> float:
    """Memory of all processes that hold the index."""
    return machine_gb("ivf-sq8", f) * replicas(f)


def _cores_month(f: Figures) -> float:
    cores = gateway_workers(f) + social_cores(f) + 2 * shards(f) * replicas(f)
    return cores * f["core_hour"] * HOURS_OF_A_MONTH


def _disk_month(f: Figures) -> float:
    index = f["tracks"] * (code_bytes("ivf-sq8", f) + mapped_bytes("ivf-sq8", f)) * 2 * replicas(f)
    return (database_bytes(f) + nats_bytes(f) * f["nats_replicas"] + index) / 1e9 * f["disk_gb_month"]


def _object_month(f: Figures) -> float:
    kept = f["tracks"] * f["track_bytes"] + windows_blob_bytes(f) + upload_blob_bytes(f)
    return (kept + database_bytes(f) * f["backup_share"]) / 1e9 * f["object_gb_month"]


def _gpu_month(f: Figures) -> float:
    return daily_gpu_hours(f) * DAYS_OF_A_MONTH * f["gpu_hour"]


def _index_month(f: Figures) -> float:
    return index_memory_gb(f) * f["memory_gb_hour"] * HOURS_OF_A_MONTH


def _traffic_month(f: Figures) -> float:
    return streamed_bytes_a_day(f) * DAYS_OF_A_MONTH / 1e9 * f["traffic_gb"]


MONTH = (
    Line("cores of gateway, social, PostgreSQL, index", "", "cores × core_hour × 730", _cores_month),
    Line("memory of the index", "", "machine × shards and replicas × memory_gb_hour × 730", _index_month),
    Line("disks: PostgreSQL, NATS, snapshots", "", "bytes × disk_gb_month; two bases a replica", _disk_month),
    Line("object store: audio, windows, uploads, backups", "", "bytes × object_gb_month", _object_month),
    Line("traffic to the internet", "", "streamed × 30.4 × traffic_gb", _traffic_month),
    Line("GPUs for what is new", "", "GPU-hours a day × 30.4 × gpu_hour", _gpu_month),
)

ONCE = (
    Line("first embedding on GPUs, MuQ-large", "", "GPU-hours × gpu_hour + decoding × core_hour",
         lambda f: gpu_hours(f) * f["gpu_hour"] + decoding_core_hours(f) * f["core_hour"]),
    Line("the same on CPUs alone", "", "core-hours × core_hour", lambda f: muq_core_hours(f) * f["core_hour"]),
    Line("first embedding by museed-mini, on CPUs", "", "core-hours × core_hour",
         lambda f: mini_core_hours(f) * f["core_hour"]),
)  # fmt: skip


def month_total(f: Figures) -> float:
    """What a month costs."""
    return sum(line.compute(f) for line in MONTH)


MONTH_TOTAL = Line("**together**", "", "sum", month_total)
