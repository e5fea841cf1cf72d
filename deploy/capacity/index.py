"""What searching the library takes: memory by kind of index, shards, replicas, merges."""

import math

from deploy.capacity.audience import index_calls_at_peak
from deploy.capacity.lines import Figures, Line

INDEX_KINDS = ("flat", "sq8", "ivf-sq8", "hnsw-sq8")

_COUNTED_TRACKS = 88_423
_MACHINES_GB = (64, 128, 256, 512, 1024)
_MOST_SEARCH_MS = 100.0
_MILLION = 1e6


def code_bytes(kind: str, f: Figures) -> float:
    """Memory of a track's vector as it is searched."""
    numbers, overhead = {
        "flat": (4, "flat_overhead_bytes"),
        "sq8": (1, "sq8_overhead_bytes"),
        "ivf-sq8": (1, "ivf_overhead_bytes"),
        "hnsw-sq8": (1, "hnsw_overhead_bytes"),
    }[kind]
    return numbers * f["dimension"] + f[overhead]


def mapped_bytes(kind: str, f: Figures) -> float:
    """What of a track is mapped from the base's file."""
    vectors = 0 if kind == "flat" else f["mapped_bytes_per_dimension"] * f["dimension"]
    return vectors + f["description_bytes"]


def track_bytes_in_memory(kind: str, f: Figures) -> float:
    """Memory that a track wants of a machine: its codes twice while a merge runs, and a share of what is mapped."""
    return 2 * code_bytes(kind, f) + f["cached_share"] * mapped_bytes(kind, f)


def most_tracks(kind: str, machine_gb: float, f: Figures) -> float:
    """Tracks that one process serves on a machine."""
    return machine_gb * 1e9 * f["usable_share"] / track_bytes_in_memory(kind, f)


def machine_gb(kind: str, f: Figures) -> float:
    """Memory of the machine that would hold the whole library in one process."""
    return f["tracks"] * track_bytes_in_memory(kind, f) / f["usable_share"] / 1e9


def search_ms(f: Figures, tracks: float) -> float:
    """How long one search takes by `ivf-sq8`; beyond a million this is drawn out and not measured."""
    if tracks >= _MILLION:
        return f["search_ms_of_a_million"] * float((tracks / _MILLION) ** f["search_growth"])
    growth = math.log(f["search_ms_of_a_million"] / f["search_ms_of_88423"]) / math.log(_MILLION / _COUNTED_TRACKS)
    return f["search_ms_of_88423"] * float((max(tracks, _COUNTED_TRACKS) / _COUNTED_TRACKS) ** growth)


def most_tracks_by_time(f: Figures) -> float:
    """Tracks at which one search takes 0.1 s."""
    return _MILLION * float((_MOST_SEARCH_MS / f["search_ms_of_a_million"]) ** (1 / f["search_growth"]))


def shards(f: Figures) -> float:
    """Parts into which the library must be cut, so that a search of each takes at most 0.1 s."""
    return math.ceil(f["tracks"] / min(f["tracks"], most_tracks_by_time(f)))


def replicas(f: Figures) -> float:
    """Processes that hold the same, by the seconds of work in each second, of which one has one; two at least."""
    playlists = index_calls_at_peak(f) * f["generations_per_active"]
    playlists /= f["generations_per_active"] + f["searches_per_active"]
    work_ms = index_calls_at_peak(f) * search_ms(f, f["tracks"] / shards(f)) + playlists * f["playlist_ms"]
    return max(2, math.ceil(work_ms / 1e3 / f["load_at_peak"]))


def merge_hours(f: Figures) -> float:
    """How long the next base takes to build; drawn out from 88,423 tracks."""
    return f["build_core_s"] * f["tracks"] / _COUNTED_TRACKS / 3600


def merges_a_day(f: Figures) -> float:
    """Bases that the changes of a day ask for."""
    return f["new_tracks_per_day"] / f["merge_after_changes"]


def _codes_line(kind: str) -> Line:
    def compute(f: Figures) -> float:
        return f["tracks"] * code_bytes(kind, f)

    return Line(f"`{kind}`: codes in memory", "B", "tracks × (dimension × size of a number + overhead)", compute)


INDEX = (
    *(_codes_line(kind) for kind in INDEX_KINDS),
    Line("mapped file of an 8-bit kind", "B", "tracks × (2 × dimension + description_bytes)",
         lambda f: f["tracks"] * mapped_bytes("ivf-sq8", f)),
    Line("memory of a machine with all of it, `ivf-sq8`", "B",
         "tracks × (2 × codes, while a merge runs, + cached_share × mapped) / usable_share",
         lambda f: machine_gb("ivf-sq8", f) * 1e9),
    Line("one search of all of it", "ms", "12 ms × (tracks / 1,000,000) ^ search_growth",
         lambda f: search_ms(f, f["tracks"])),
    Line("library at which a search takes 0.1 s", "", "the same, solved for tracks", most_tracks_by_time),
    Line("calls of the index at peak", "/s",
         "users × active_share × (generations + searches) / day × peak_over_mean", index_calls_at_peak),
    Line("shards, so that a search takes 0.1 s at most", "", "tracks / that library, rounded up", shards),
    Line("replicas of each", "", "(calls × search + playlists × playlist_ms) / load_at_peak, rounded up; two at least",
         replicas),
    Line("building the next base, in one process", "h", "5 s × tracks / 88,423", merge_hours),
    Line("bases a day by `RETRIEVER_MERGE_AFTER_CHANGES`", "", "new_tracks_per_day / merge_after_changes",
         merges_a_day),
    Line("changes after which to merge instead", "", "those of four times as long as a base takes",
         lambda f: max(f["merge_after_changes"], 4 * merge_hours(f) / 24 * f["new_tracks_per_day"])),
    Line("descriptions in each process with Milvus", "B", "tracks × milvus_description_bytes",
         lambda f: f["tracks"] * f["milvus_description_bytes"]),
)  # fmt: skip


def libraries_of_machines(f: Figures) -> list[tuple[float, list[float]]]:
    """Return for some sizes of machine how many tracks each kind of index holds there."""
    return [(gb, [most_tracks(kind, gb, f) for kind in INDEX_KINDS]) for gb in _MACHINES_GB]
