"""Social's metrics in Prometheus's own form: names, units and buckets."""

import time
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.social.metrics import Figures, SocialMetrics
from services.social.store.database import Database

# A pool gives up after five seconds.
_WAIT_SECONDS = (0.0001, 0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# From a playlist of tracks that are known to a switch of encoders.
_JOB_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)


class CountedSocial(SocialMetrics):
    """Counts into a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waits = Histogram(
            "museed_social_pool_wait_seconds",
            "How long somebody waited for a connection to the database.",
            ["pool"],
            buckets=_WAIT_SECONDS,
            registry=registry,
        )
        self._jobs = Counter(
            "museed_social_jobs_ended_total",
            "Jobs that ended in this process: succeeded, or failed for a reason.",
            ["kind", "outcome", "reason"],
            registry=registry,
        )
        self._job_seconds = Histogram(
            "museed_social_job_seconds",
            "Seconds from when a job was asked for to its end.",
            ["kind"],
            buckets=_JOB_SECONDS,
            registry=registry,
        )
        self._job_waits = Counter(
            "museed_social_job_waits_total",
            "Jobs that were given back for lack of something.",
            ["kind", "reason"],
            registry=registry,
        )
        self._collector = FiguresCollector()
        registry.register(self._collector)

    def waited(self, pool: str, seconds: float) -> None:
        """Count a wait."""
        self._waits.labels(pool).observe(seconds)

    def job_ended(self, kind: str, outcome: str, reason: str, seconds: float) -> None:
        """Count an end."""
        self._jobs.labels(kind, outcome, reason).inc()
        self._job_seconds.labels(kind).observe(seconds)

    def job_waits(self, kind: str, reason: str) -> None:
        """Count a job that waits."""
        self._job_waits.labels(kind, reason).inc()

    def looked(self, figures: Figures) -> None:
        """Keep what was found."""
        self._collector.take(figures)

    def watch(self, pools: Mapping[str, Database]) -> None:
        """Take note of pools."""
        self._collector.pools = pools


class FiguresCollector(Collector):
    """Tells what was found last, of which all processes of social tell the same, and how full the pools are now."""

    def __init__(self) -> None:
        self.pools: Mapping[str, Database] = {}
        self._figures: Figures | None = None
        # Before the first look: since when nobody has.
        self._looked_at = time.monotonic()

    def take(self, figures: Figures) -> None:
        """Keep what was found."""
        self._figures, self._looked_at = figures, time.monotonic()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are told with their numbers."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield what is known; before anybody has looked, of the pools, and for how long nobody has."""
        yield from self._of_pools()
        age = _gauge("figures_age_seconds", "Seconds since the database and NATS were last asked for these figures.")
        age.add_metric([], time.monotonic() - self._looked_at)
        yield age
        if self._figures is not None:
            yield from _of_waiting(self._figures)
            yield from _of_streams(self._figures)

    def _of_pools(self) -> Iterator[Metric]:
        in_use = _gauge("pool_connections_in_use", "Connections to the database that are borrowed.", "pool")
        most = _gauge("pool_connections_limit", "How many there may be.", "pool")
        for pool, database in self.pools.items():
            in_use.add_metric([pool], database.connections_in_use)
            most.add_metric([pool], database.most_connections)
        yield from (in_use, most)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"museed_social_{name}", text, labels=labels)


def _of_waiting(figures: Figures) -> Iterator[Metric]:
    rows = _gauge("outbox_rows", "Messages that are promised and not published; 100,000 stands for more.", "kind")
    row_age = _gauge("outbox_oldest_seconds", "Age of the oldest of them; 0 where there is none.", "kind")
    for kind, waiting in figures.outbox.items():
        rows.add_metric([kind], waiting.count)
        row_age.add_metric([kind], waiting.oldest_seconds)
    jobs = _gauge("jobs_open", "Jobs that are due and have not ended; 100,000 stands for more.", "kind", "state")
    job_age = _gauge("jobs_oldest_seconds", "Age of the oldest of them; 0 where there is none.", "kind", "state")
    for (kind, state), waiting in figures.jobs.items():
        jobs.add_metric([kind, state], waiting.count)
        job_age.add_metric([kind, state], waiting.oldest_seconds)
    work = _gauge("work_unanswered", "Sounds that no embedder has answered; 100,000 stands for more.")
    work.add_metric([], figures.work.count)
    work_age = _gauge("work_oldest_seconds", "Time since the oldest of them was sent; 0 where there is none.")
    work_age.add_metric([], figures.work.oldest_seconds)
    yield from (rows, row_age, jobs, job_age, work, work_age)


def _of_streams(figures: Figures) -> Iterator[Metric]:
    is_known = _gauge("nats_answers", "Whether NATS answered when it was last asked.")
    is_known.add_metric([], figures.streams is not None)
    messages = _gauge("stream_messages", "Messages that a stream holds.", "stream")
    size = _gauge("stream_bytes", "Bytes that a stream holds.", "stream")
    for stream, (count, size_bytes) in (figures.streams or {}).items():
        messages.add_metric([stream], count)
        size.add_metric([stream], size_bytes)
    labels = ("stream", "consumer")
    waiting = _gauge("consumer_waiting_messages", "Messages that were not given out yet.", *labels)
    in_hand = _gauge("consumer_in_hand_messages", "Messages that are in somebody's hands.", *labels)
    repeated = _gauge("consumer_repeated_messages", "Messages of these that were given out before.", *labels)
    for place, numbers in figures.consumers.items():
        for family, number in zip((waiting, in_hand, repeated), numbers, strict=True):
            family.add_metric(list(place), number)
    yield from (is_known, messages, size, waiting, in_hand, repeated)
