"""The state of the indexes in Prometheus's own form, read whenever somebody looks; counts nothing by itself.

Imported only where a process opens its door. Labels are bounded: few encoders are kept, and reasons are those of our
code.
"""

import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.retriever.live.collection import Collection, Collections
from services.retriever.live.snapshots import SnapshotKeeper
from services.retriever.timing import SearchMetrics

_GAUGES = {
    "serving": "Whether calls that name no encoder are answered from this one's index.",
    "caught_up": "Whether the log was read to its end; calls are refused before.",
    "log_pending_messages": "Messages of the log that were not applied when it was last heard of.",
    "log_silent_seconds": "Seconds since the log was last heard of: more than a few where NATS is away.",
    "log_applied_sequence": "Point of the log that is applied.",
    "unsaved_changes": "Changes since the last snapshot.",
    "snapshot_age_seconds": "Seconds since the last snapshot was written by this process.",
    "merging": "Whether the next base is being made.",
}
_SIZES = {
    "tracks": "Tracks that can be found.",
    "delta_tracks": "Tracks of these that came since the base was made, and are compared exactly.",
    "tombstones": "Tracks of the base that are gone.",
    "memory_bytes": "Bytes in memory that are searched.",
    "mapped_bytes": "Bytes of the vectors that are mapped from a file.",
}
_GAUGES |= _SIZES
# From a search of a small index to a playlist of a large one.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_QUESTIONS = (1, 2, 4, 8, 16, 32, 64, 128)
_COUNTERS = {
    "changes": "Tracks that were added, changed or removed.",
    "merges": "Bases that were made.",
    "merge_failures": "Bases that could not be made.",
    "snapshot_failures": "Snapshots that could not be written.",
}


class IndexCollector(Collector):
    """Tells how far the indexes have followed the log, and how their upkeep goes.

    Args:
        collections: Looked at from the door's thread, which reads single numbers and changes nothing.
    """

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are told with their numbers."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield what is true now; what is not known is left out."""
        gauges = {
            name: GaugeMetricFamily(f"museed_retriever_{name}", text, labels=["encoder_id"])
            for name, text in _GAUGES.items()
        }
        counters = {
            name: CounterMetricFamily(f"museed_retriever_{name}", text, labels=["encoder_id"])
            for name, text in _COUNTERS.items()
        }
        refused = CounterMetricFamily(
            "museed_retriever_refused_messages",
            "Messages of the log that were passed over.",
            labels=["encoder_id", "reason"],
        )
        for collection in self._collections.held:
            numbers = _numbers(collection) | {"serving": collection.encoder_id == self._collections.serving}
            for name, value in numbers.items():
                (gauges.get(name) or counters[name]).add_metric([collection.encoder_id], float(value))
            for reason, count in collection.consumer.refused.copy().items():
                refused.add_metric([collection.encoder_id, reason], count)
        yield from (*gauges.values(), *counters.values(), refused)


class CountedSearches(SearchMetrics):
    """Counts into a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"museed_retriever_{name}", text, labels, buckets=buckets, registry=registry)

        self._wait = histogram(
            "wait_seconds", "How long a search, or a playlist and the like, waited for the index.", _SECONDS, "work"
        )
        self._work = histogram(
            "work_seconds",
            "How long the index worked: on searches that came together, on one playlist.",
            _SECONDS,
            "work",
        )
        self._questions = histogram("joined_searches", "Searches that were answered together.", _QUESTIONS)

    def searched(self, questions: int, wait_seconds: float, seconds: float) -> None:
        """Count what was answered together."""
        if questions:
            self._questions.observe(questions)
            self._wait.labels("search").observe(wait_seconds)
            self._work.labels("search").observe(seconds)

    def composed(self, wait_seconds: float, seconds: float) -> None:
        """Count what takes long."""
        self._wait.labels("compose").observe(wait_seconds)
        self._work.labels("compose").observe(seconds)


def _numbers(collection: Collection) -> dict[str, float]:
    now = time.monotonic()
    live, consumer, keeper, merger = collection.live, collection.consumer, collection.keeper, collection.merger
    found: dict[str, float] = {
        "caught_up": live.is_caught_up,
        "log_pending_messages": consumer.pending_count,
        "merging": live.is_merging,
        "changes": live.change_count,
        "merges": live.merge_count,
        **live.sizes,
    }
    if consumer.heard_at is not None:
        found["log_silent_seconds"] = now - consumer.heard_at
    if (position := live.position) is not None:
        found["log_applied_sequence"] = position.sequence
    if isinstance(keeper, SnapshotKeeper):
        found |= {"unsaved_changes": keeper.unsaved_count, "snapshot_failures": keeper.failed_count}
        if keeper.saved_at is not None:
            found["snapshot_age_seconds"] = now - keeper.saved_at
    if merger is not None:
        found["merge_failures"] = merger.failed_count
    return found
