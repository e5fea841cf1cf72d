"""Every number that CAPACITY.md is computed from: what it is, where it is from, how wrong it may be."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class Kind(StrEnum):
    """How far a number can be trusted."""

    MEASURED = "measured"
    ASSUMED = "assumed"
    NOT_MEASURED = "not measured"
    PRICE = "price"


class Case(StrEnum):
    """Which end of all ranges is taken at once."""

    CHEAP = "cheap"
    EXPECTED = "expected"
    DEAR = "dear"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number.

    Attributes:
        name: By which it is set and computed with; the unit stands at its end.
        what: In words.
        kind: Of knowledge.
        cheap: End of the range that costs least.
        expected: What is computed with.
        dear: End of the range that costs most.
        source: Why this number; of a measured one the file or command that tells it.
        quote: Of a measured one: words of that file, so that a test sees when they change.
    """

    name: str
    what: str
    kind: Kind
    cheap: float
    expected: float
    dear: float
    source: str
    quote: str = ""

    def of(self, case: Case) -> float:
        """Return the number of a case."""
        return {Case.CHEAP: self.cheap, Case.EXPECTED: self.expected, Case.DEAR: self.dear}[case]


def _measured(name: str, what: str, value: float | tuple[float, float, float], source: str, quote: str = "") -> Figure:
    cheap, expected, dear = value if isinstance(value, tuple) else (value, value, value)
    return Figure(name, what, Kind.MEASURED, cheap, expected, dear, source, quote)


def _assumed(name: str, what: str, value: tuple[float, float, float], why: str) -> Figure:
    return Figure(name, what, Kind.ASSUMED, *value, why)


def _unmeasured(name: str, what: str, value: tuple[float, float, float], why: str) -> Figure:
    return Figure(name, what, Kind.NOT_MEASURED, *value, why)


def _price(name: str, what: str, value: tuple[float, float, float]) -> Figure:
    return Figure(name, what, Kind.PRICE, *value, "a round number: put yours in its place")


_EMBEDDER, _RETRIEVER = "services/embedder/README.md", "services/retriever/README.md"
_GATEWAY, _SOCIAL = "services/gateway/README.md", "services/social/README.md"
_LOCAL = "deploy/local/README.md"
_STREAMS = "services/chassis/README.md"
_WEIGHED = "python -m benchmarks.storage"
_POPULATION = "of 100,000 people, `python -m benchmarks.social`"

DEMAND = (
    _assumed("users", "people with an account", (1e6, 1e6, 1e6), "what is asked"),
    _assumed("tracks", "tracks of the library", (1e8, 1e8, 1e8), "what is asked"),
    _assumed("dimension", "numbers of a vector", (1024, 1024, 1024), "MuQ-large; museed-mini has 400"),
    _assumed("track_s", "length of a track", (180, 240, 300), "pop songs have 3 to 4 minutes"),
    _assumed("track_bytes", "its file", (4e6, 6e6, 1e7), "128 to 320 kbit/s"),
    _assumed("new_tracks_per_day", "tracks that come each day", (1e4, 5e4, 1.5e5), "large services tell of 100,000"),
    _assumed("active_share", "people who come on one day", (0.1, 0.2, 0.4), ""),
    _assumed("plays_per_active", "plays of one of them", (10, 20, 40), "an hour of music"),
    _assumed("requests_per_active", "GraphQL requests", (30, 60, 120), "pages, searches, plays that are told"),
    _assumed("generations_per_active", "generated playlists", (0.3, 1, 2), ""),
    _assumed("searches_per_active", "other calls of the index", (1, 3, 6), "recommendations, extensions, what is near"),
    _assumed("uploads_per_active", "uploaded seeds", (0.01, 0.05, 0.2), ""),
    _assumed("acts_per_active", "likes, follows, saves, comments", (1, 3, 6), ""),
    _assumed("peak_over_mean", "the busiest hour against the day's mean", (2, 3, 5), "one time zone has 3 or more"),
    _assumed("years", "for which plays are kept", (1, 1, 2), "plays are never thrown away"),
    _assumed("load_at_peak", "how busy a core may be then", (0.7, 0.5, 0.4), "queues grow long above"),
    _assumed("streamed_share", "part of a file that a play fetches", (0.7, 0.9, 1), "some skip"),
)

SHARES = (
    _assumed("follows_per_user", "follows", (5, 10, 20), _POPULATION),
    _assumed("playlists_per_user", "playlists", (1, 2, 4), _POPULATION),
    _assumed("entries_per_playlist", "tracks of one", (25, 25, 50), _POPULATION),
    _assumed("likes_per_user", "likes", (12, 25, 50), _POPULATION),
    _assumed("badges_per_user", "badges", (5, 11, 20), _POPULATION),
    _assumed("activities_per_user", "lines in feeds, of 90 days", (10, 19, 60), _POPULATION),
    _assumed("new_listening_share", "plays of a track that this person never heard before", (0.2, 0.4, 0.7), ""),
    _assumed("genres_per_day", "genres that an active person hears on a day", (2, 3, 5), ""),
    _assumed("weights_per_profile", "tracks of a taste", (50, 100, 1000), "at most 1,000"),
    _assumed("tracks_per_album", "tracks of an album", (12, 10, 5), ""),
    _assumed("tracks_per_artist", "tracks of an artist", (20, 12, 5), ""),
)

EMBEDDING = (
    _measured("window_s", "sound of a window", 10, _EMBEDDER, "cut into windows of 10 s"),
    _unmeasured(
        "gpu_windows_per_s", "windows of MuQ-large in bf16 that one GPU hears in a second", (400, 150, 50),
        "no GPU was at hand; a window is about 0.25 TFLOP, and a card of the class of an L4 does 20 to 50 TFLOP/s"
        " of such work: put yours in its place",
    ),
    _measured("muq_core_s", "core-seconds of MuQ-large for a window, on a CPU", (1.5, 2.0, 2.0), _EMBEDDER,
              "takes 2.0 core-seconds for a window, 1.5 in int8"),
    _measured("mini_core_s_per_30_s", "core-seconds of museed-mini for 30 s of music", (0.055, 0.06, 0.10), _EMBEDDER,
              "0.10 (in int8\n  0.055 to 0.06) with `museed-mini`"),
    _measured("decode_core_s_per_30_s", "core-seconds to decode 30 s, with descriptors", 0.045, _EMBEDDER,
              "0.045 for decoding (half of it) and descriptors (Ogg)"),
    _measured("served_share", "what a process gives of what its parts take alone", (0.93, 0.91, 0.89), _EMBEDDER,
              "0.91 (0.89 to 0.93) for a library of Ogg files"),
)  # fmt: skip

INDEX = (
    _measured("flat_overhead_bytes", "`flat`: bytes a track beside 4 a dimension", 9, _RETRIEVER, "| 363 MB |"),
    _measured("sq8_overhead_bytes", "`sq8`: bytes a track beside 1 a dimension", 16, _RETRIEVER, "| 92 MB |"),
    _measured("ivf_overhead_bytes", "`ivf-sq8`: likewise", 50, _RETRIEVER, "| 95 MB |"),
    _measured("hnsw_overhead_bytes", "`hnsw-sq8`: likewise", 277, _RETRIEVER, "| 115 MB |"),
    _measured("mapped_bytes_per_dimension", "stored vectors of the 8-bit kinds, mapped", 2, _RETRIEVER, "| 181 MB |"),
    _measured("description_bytes", "description of a track in the base, mapped", 450, _RETRIEVER,
              "some 450 bytes a track"),
    _measured("milvus_description_bytes", "description of a track in the process with Milvus", 1200, _RETRIEVER,
              "Descriptions of the tracks stay in this process, 1.2 KB each"),
    _assumed("cached_share", "of what is mapped that should be in the page cache", (0.3, 0.5, 1), "read all over"),
    _assumed("usable_share", "of a machine's memory", (0.9, 0.8, 0.75), "the rest is the system's"),
    _measured("build_core_s", "core-seconds to build `ivf-sq8` of 88,423 tracks", 5, _RETRIEVER,
              "`ivf-sq8` is built in 5 s"),
    _measured("search_ms_of_a_million",
              "one query of 1,000,000 by `ivf-sq8`, with FAISS's own codes instead of those that are served", 12,
              _RETRIEVER, "found 0.997 in 12 ms"),
    _measured("search_ms_of_88423", "one query of 88,423 by `ivf-sq8`", 0.6, _RETRIEVER,
              "| `ivf-sq8` | no | fp16 | 95 MB | 181 MB | 0.6 ms |"),
    _unmeasured("search_growth", "exponent by which it grows beyond a million", (0.5, 0.75, 1),
                "lists that grow in number and in length make 0.5; from 88,423 to 1,000,000 it was more than 1, with"
                " other codes; none was run above"),
    _measured("playlist_ms", "rules and arrangement of a playlist of 25, `ivf-sq8`", 23, _RETRIEVER,
              "| playlist of 25 with every rule, p50 | 33 ms | 23 ms |"),
    _measured("merge_after_changes", "`RETRIEVER_MERGE_AFTER_CHANGES`", 2000, _RETRIEVER,
              "| `RETRIEVER_MERGE_AFTER_CHANGES` | 2000 |"),
    _measured("most_profiles", "tastes that `FindProfiles` compares", 100_000, _RETRIEVER,
              "| listed profiles that are compared | 100,000 |"),
)  # fmt: skip

SERVING = (
    _measured("gateway_core_ms", "core-milliseconds of the gateway for a page of 25 tracks", (3.3, 4.3, 6.3), _GATEWAY,
              "moved between 160 and 300/s"),
    _measured("social_core_ms", "core-milliseconds of social and PostgreSQL for a read, at most", (9.9, 13.4, 24.3),
              _SOCIAL, "feed; of who follows 5,000; 5,000 who did little | 13.4"),
    _measured("mesh_core_ms", "core-milliseconds of all processes for a request of the mix of `benchmarks.load`",
              (19, 24, 28), _LOCAL,
              "19 ms of a core a request of this mix on a day when the cores are fast and 28 when they are slow"),
    _measured("gateway_bytes", "memory of a gateway worker under load", 155e6, _GATEWAY, "| 148 MiB | 148 MiB |"),
    _assumed("social_calls_per_request", "reads of social for a request", (1, 2, 3), "a page of 25 tracks has 3 calls"),
)  # fmt: skip

POSTGRES = (
    *(_measured(f"{name}_row_bytes", f"row of `{name}` with its indexes", size, f"{_WEIGHED} --kept FOLDER")
    for name, size in {
        "tracks": 2103, "albums": 439, "artists": 623, "users": 510, "follows": 241, "playlists": 654,
        "playlist_entries": 218, "playlist_counts": 140, "likes": 244, "badges": 127, "activities": 431,
        "person_counts": 190, "tastes": 213, "plays": 231, "listening": 313, "daily_listening": 155,
    }.items()),
    _measured("track_embeddings_row_bytes", "row of `track_embeddings` with its indexes", 778, _WEIGHED),
    _measured("descriptors_row_bytes", "row of `descriptors` with its index", 210, _WEIGHED),
    _measured("embeddings_row_bytes", "row of `embeddings` at 1,024 dimensions, with its index", 6226, _WEIGHED),
    _measured("disk_commits_per_s", "commits that one disk confirmed, one after another", 131, _SOCIAL,
              "80 % of the 131 commits a second that this disk confirms"),
    _assumed("backup_share", "backups and write-ahead log beside the data", (1, 1.5, 3), "compressed; weeks of log"),
)  # fmt: skip

NATS = (
    _measured("vector_message_bytes", "message of `VECTORS` beside 4 bytes a dimension", 514, _WEIGHED),
    _measured("weight_message_bytes", "message of `PROFILES`, a weight", 47, _WEIGHED),
    _measured("event_message_bytes", "message of `PEOPLE_EVENTS`", 255, _WEIGHED),
    _measured("people_events_bound_bytes", "bound of `PEOPLE_EVENTS`", 2**30, _STREAMS,
              "| `PEOPLE_EVENTS` | what people do, by ids only | 7 days, 1 GiB |"),
    _measured("embed_work_bound", "messages that `EMBED_WORK` holds", 1e6, _STREAMS, "1,000,000 messages"),
    _assumed("nats_replicas", "copies of each stream", (3, 3, 3), "one of three may be lost"),
    _unmeasured("log_publishes_per_s", "vectors that the log confirms in a second", (3000, 1000, 500),
                "one server with `sync_interval: always` on two cores did 500 to 1,000; a cluster was not run"),
    _unmeasured("log_replays_per_s", "vectors that a new retriever reads in a second", (20_000, 7_500, 4_000),
                "without indexing; not run at this size"),
)  # fmt: skip

BLOBS = (
    _assumed("windows_kept", "part of the library whose windows' vectors are kept", (1, 1, 1), "references need them"),
    _assumed("upload_bytes", "an uploaded file", (4e6, 8e6, 2e7), ""),
    _measured("upload_life_days", "days that uploaded audio is kept", 7, _SOCIAL, "| 100, 4 GiB, 7 |"),
)

PRICES = (
    _price("gpu_hour", "one GPU for an hour", (0.4, 0.8, 1.5)),
    _price("core_hour", "one core for an hour", (0.015, 0.03, 0.05)),
    _price("memory_gb_hour", "1 GB of memory for an hour", (0.002, 0.004, 0.006)),
    _price("disk_gb_month", "1 GB of SSD for a month", (0.05, 0.1, 0.17)),
    _price("object_gb_month", "1 GB of object store for a month", (0.006, 0.015, 0.023)),
    _price("traffic_gb", "1 GB to the internet", (0.002, 0.01, 0.05)),
)

GROUPS: Mapping[str, tuple[Figure, ...]] = {
    "What is asked of it": DEMAND,
    "What a person and a library consist of": SHARES,
    "Embedding": EMBEDDING,
    "Index": INDEX,
    "Processes": SERVING,
    "PostgreSQL": POSTGRES,
    "NATS": NATS,
    "Blobs": BLOBS,
    "Prices, in one currency": PRICES,
}


class FigureError(ValueError):
    """A figure is set that is none; the text says which."""


def all_figures() -> list[Figure]:
    """Return every figure."""
    return [figure for group in GROUPS.values() for figure in group]


def changed(groups: Mapping[str, tuple[Figure, ...]], settings: list[str]) -> dict[str, tuple[Figure, ...]]:
    """Return the figures with some of them set.

    Args:
        groups: All figures.
        settings: `NAME=NUMBER`, or `NAME=CHEAP:EXPECTED:DEAR`.

    Raises:
        FigureError: No such figure, or no positive numbers.
    """
    given: dict[str, tuple[float, ...]] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        try:
            numbers = tuple(float(part) for part in text.split(":"))
        except ValueError as error:
            raise FigureError(f"{setting}: NAME=NUMBER or NAME=CHEAP:EXPECTED:DEAR is expected") from error
        if len(numbers) not in (1, 3) or not all(0 < number < float("inf") for number in numbers):
            raise FigureError(f"{setting}: one number or three, all above 0, are expected")
        given[name] = numbers * 3 if len(numbers) == 1 else numbers
    known = {figure.name for group in groups.values() for figure in group}
    if unknown := sorted(given.keys() - known):
        raise FigureError(f"no figure is called {', '.join(unknown)}; there are: {', '.join(sorted(known))}")

    def set_(figure: Figure) -> Figure:
        if figure.name not in given:
            return figure
        cheap, expected, dear = given[figure.name]
        return replace(
            figure, cheap=cheap, expected=expected, dear=dear, kind=Kind.ASSUMED, source="set by hand", quote=""
        )

    return {name: tuple(set_(figure) for figure in group) for name, group in groups.items()}
