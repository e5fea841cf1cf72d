"""What answering takes: cores and memory of the services."""

import math

from deploy.capacity.audience import active, commits_at_peak, requests_at_peak
from deploy.capacity.index import replicas, shards
from deploy.capacity.lines import Figures, Line


def gateway_workers(f: Figures) -> float:
    """Workers, each of one core; two at least."""
    return max(2, math.ceil(requests_at_peak(f) * f["gateway_core_ms"] / 1e3 / f["load_at_peak"]))


def social_cores(f: Figures) -> float:
    """Cores of social and PostgreSQL together; two at least."""
    calls = requests_at_peak(f) * f["social_calls_per_request"] + commits_at_peak(f)
    return max(2, math.ceil(calls * f["social_core_ms"] / 1e3 / f["load_at_peak"]))


def mesh_cores(f: Figures) -> float:
    """Cores of everything, had every request the mix of the benchmark and its small library; two at least."""
    return max(2, math.ceil(requests_at_peak(f) * f["mesh_core_ms"] / 1e3 / f["load_at_peak"]))


PROCESSES = (
    Line("people on a day", "", "users × active_share", active),
    Line("requests at peak", "/s", "active people × requests / day × peak_over_mean", requests_at_peak),
    Line("gateway workers, a core each", "", "requests × gateway_core_ms / load_at_peak; two at least",
         gateway_workers),
    Line("their memory", "B", "workers × gateway_bytes", lambda f: gateway_workers(f) * f["gateway_bytes"]),
    Line("cores of social and PostgreSQL", "", "(requests × calls + commits) × social_core_ms / load_at_peak",
         social_cores),
    Line("cores of all, by the whole mesh under load", "", "requests × mesh_core_ms / load_at_peak; two at least",
         mesh_cores),
    Line("cores of the index", "", "shards × replicas × 1, and as many for merges",
         lambda f: 2 * shards(f) * replicas(f)),
    Line("share of tastes that `FindProfiles` compares", "", "most_profiles / users; others are found by nobody",
         lambda f: min(1, f["most_profiles"] / f["users"])),
)  # fmt: skip
