"""A mesh in which time passes as a test wants it, and a Prometheus that reads it."""

from collections.abc import Callable, Iterator

import promql_parser
import yaml
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector
from prometheus_client.registry import Collector

from deploy.observability import write
from deploy.observability.alert import Alert
from deploy.observability.objectives import OBJECTIVES, WINDOWS, bad_share, series
from services.social.metrics import Figures, Waiting
from tests.contract.exports import SERVICES, Mesh
from tests.contract.samples import Samples, Vector

RECORDED = {series(objective, window): bad_share(objective, window) for objective in OBJECTIVES for window in WINDOWS}
(ENDPOINT,) = yaml.safe_load((write.COMPONENT / "pods.yaml").read_text())["spec"]["podMetricsEndpoints"]
STEP_S = promql_parser.parse_duration(ENDPOINT["interval"]).total_seconds()
BEGAN_AT = 1_000_000.0
# Requests, and calls of each service, in a step.
USUAL = 16
METHOD = "/museed.social.v1.JobService/GetJob"
HEALTHY = Figures(
    outbox={"event": Waiting(1, 0.1), "work": Waiting()},
    jobs={("GENERATION", "QUEUED"): Waiting(1, 0.5), ("ENCODER_SWITCH", "QUEUED"): Waiting(1, 50_000.0)},
    work=Waiting(10, 30.0),
    streams={"EMBED_WORK": (10, 1000), "VECTORS": (500, 1_000_000), "DEAD_LETTERS": (0, 0)},
    consumers={("EMBED_WORK", "embedder-enc"): (2, 8, 0)},
)


class Watched:
    """A mesh in which time passes, and a Prometheus that reads it."""

    def __init__(self, counting: Mesh, wanted: set[str]) -> None:
        self.mesh = counting
        self.index = counting.collections.of("enc")
        self.at = BEGAN_AT
        self.samples = Samples(RECORDED)
        self.away: set[str] = set()  # do not answer
        self.gone: set[str] = set()  # are looked for no more
        self.starts = dict.fromkeys(SERVICES, 0)
        self.figures: Figures | None = HEALTHY
        self.loop_lag_s = 0.001
        self.works = True
        self.tracks_more = 0.0  # in a second retriever
        # Of PostgreSQL, as CloudNativePG tells it; its replicas archive nothing.
        self.archived_at = self.failed_at = self.saved_at = BEGAN_AT
        self.copies = 2.0
        # Of the cluster: pods of NATS and of the gateway, the share of a volume that is left, Jobs that failed.
        self.ready = {"nats": 3.0, "gateway": 2.0}
        self.left = {"museed-postgres-1-wal": 0.5, "museed-music": 0.01}
        self.failed_jobs = 0.0
        self._wanted = wanted

    def step(self, happens: Callable[["Watched", int], None], number: int) -> None:
        """Let a moment pass, and read everything."""
        self.at += STEP_S
        self._usual()
        happens(self, number)
        if self.figures is not None:
            self.mesh.social.looked(self.figures)
        for service in SERVICES:
            target = {"service": service, "pod": f"{service}-0"}
            if service in self.gone:
                self.samples.forget(self.at, target)
            elif service in self.away:
                self.samples.lack(self.at, target)
            else:
                self.samples.take(self.at, target, list(self._told(service)))
        second = [
            (name, labels, value + self.tracks_more * (name == "museed_retriever_tracks"))
            for name, labels, value in self._told("retriever")
        ]
        self.samples.take(self.at, {"service": "retriever", "pod": "retriever-1"}, second)
        postgres = {"service": "postgres", "pod": "museed-postgres-1"}
        if "postgres" in self.gone:
            self.samples.forget(self.at, postgres)
        else:
            self.samples.take(self.at, postgres, self._told_by_postgres())
        self.samples.take(self.at, {"namespace": "museed"}, self._told_by_cluster())

    def _told_by_postgres(self) -> list[tuple[str, dict[str, str], float]]:
        return [
            ("cnpg_pg_stat_archiver_last_failed_time", {}, self.failed_at),
            ("cnpg_pg_stat_archiver_last_archived_time", {}, self.archived_at),
            ("cnpg_pg_replication_streaming_replicas", {}, self.copies),
            ("barman_cloud_cloudnative_pg_io_last_available_backup_timestamp", {}, self.saved_at),
        ]

    def _told_by_cluster(self) -> Iterator[tuple[str, dict[str, str], float]]:
        yield "kube_statefulset_replicas", {"statefulset": "nats"}, 3.0
        yield "kube_statefulset_status_replicas_ready", {"statefulset": "nats"}, self.ready["nats"]
        yield "kube_deployment_spec_replicas", {"deployment": "gateway"}, 2.0
        yield "kube_deployment_status_replicas_available", {"deployment": "gateway"}, self.ready["gateway"]
        for claim, share in self.left.items():
            yield "kubelet_volume_stats_available_bytes", {"persistentvolumeclaim": claim}, share * 20e9
            yield "kubelet_volume_stats_capacity_bytes", {"persistentvolumeclaim": claim}, 20e9
        for condition, number in (("true", self.failed_jobs), ("false", 1.0 - self.failed_jobs)):
            yield "kube_job_failed", {"job_name": "ingest-1", "condition": condition}, number

    def _told(self, service: str) -> Iterator[tuple[str, dict[str, str], float]]:
        for collector in collectors(self.mesh.services[service].registry, self._wanted):
            for family in collector.collect():
                for sample in family.samples:
                    if sample.name in self._wanted:
                        is_start = sample.name == "process_start_time_seconds"
                        yield sample.name, sample.labels, sample.value + (self.starts[service] if is_start else 0)

    def _usual(self) -> None:
        counting = self.mesh
        for _ in range(USUAL):
            counting.gateway.answered("POST", "/graphql", 200, 0.05)
            counting.gateway.ran("query", "ok", 0.05)
        for service in SERVICES:
            for _ in range(USUAL):
                counting.services[service].rpc.began(METHOD)
                counting.services[service].rpc.ended(METHOD, "OK", "", 0.01)
                counting.services[service].loop.lagged(self.loop_lag_s)
        counting.social.waited("requests", 0.001)
        counting.social.job_ended("GENERATION", "succeeded", "", 1.0)
        counting.embedder.waited("interactive", 0.05)
        if self.works:
            counting.services["embedder"].bus.delivered("EMBED_WORK", is_repeated=False)
            counting.services["embedder"].bus.handled("EMBED_WORK", "acked", 1.0)
        self.index.consumer.heard_at = self.at
        self.index.live.is_caught_up = True
        self.archived_at = self.at


def collectors(registry: CollectorRegistry, wanted: set[str]) -> Iterator[Collector]:
    """Those that can tell what is wanted: telling everything at each step would be most of a test's time."""
    for collector in registry._collector_to_names:
        name = getattr(collector, "_name", "")
        if not isinstance(collector, GCCollector | PlatformCollector) and (
            not name or any(one.startswith(name) for one in wanted)
        ):
            yield collector


def seconds_of(alert: Alert) -> float:
    """For how long an alert must have held."""
    return 0.0 if alert.lasting == "0m" else promql_parser.parse_duration(alert.lasting).total_seconds()


def first_fired(watched: Watched, alert: Alert, happens: Callable[[Watched, int], None], steps: int) -> Vector:
    """Return what an alert says when it has held for as long as it must; empty where it never does."""
    lasting_s = seconds_of(alert)
    since: float | None = None
    for number in range(steps):
        watched.step(happens, number)
        found = watched.samples.ask(alert.expression, watched.at)
        if not found:
            since = None
            continue
        since = watched.at if since is None else since
        if watched.at - since >= lasting_s:
            return found
    return {}
