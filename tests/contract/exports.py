"""What the processes export, by the very objects that count in them: names of samples and their labels."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import CollectorRegistry
from prometheus_client.utils import floatToGoString

from services.chassis.telemetry import prometheus as chassis
from services.chassis.tls import Identity, Pem
from services.embedder.prometheus import CountedEmbedder
from services.gateway.admission import Admission, Bounds
from services.gateway.metrics import CountedGateway, GatewayCollector
from services.gateway.sockets import OpenSockets
from services.retriever.live.collection import Collection, Collections
from services.retriever.metrics import CountedSearches, IndexCollector
from services.social.metrics import Figures, Waiting
from services.social.prometheus import CountedSocial
from services.social.store.database import Database

SERVICES = ("gateway", "social", "embedder", "retriever")
# Seconds since the epoch, -1 or 0 for never: the default queries of CloudNativePG 1.28, its Barman Cloud plugin 0.11.
_VOLUME, _STATEFUL, _DEPLOYED = ({name} for name in ("persistentvolumeclaim", "statefulset", "deployment"))
# What others tell, with the labels that are theirs: CloudNativePG and its plugin, kubelets, kube-state-metrics.
OF_OTHERS: dict[str, frozenset[str]] = {
    name: frozenset(labels)
    for name, labels in {
        "cnpg_pg_stat_archiver_last_failed_time": set[str](),
        "cnpg_pg_stat_archiver_last_archived_time": set[str](),
        "cnpg_pg_replication_streaming_replicas": set[str](),
        "barman_cloud_cloudnative_pg_io_last_available_backup_timestamp": set[str](),
        "kubelet_volume_stats_available_bytes": _VOLUME,
        "kubelet_volume_stats_capacity_bytes": _VOLUME,
        "kube_statefulset_replicas": _STATEFUL,
        "kube_statefulset_status_replicas_ready": _STATEFUL,
        "kube_deployment_spec_replicas": _DEPLOYED,
        "kube_deployment_status_replicas_available": _DEPLOYED,
        "kube_job_failed": {"job_name", "condition"},
    }.items()
}
_ENDINGS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}


class Certificate:
    """Who a process is, by a certificate that ends so many days from a time that stands still."""

    NOW = datetime(2026, 1, 1, tzinfo=UTC)

    def __init__(self) -> None:
        self._expires_at = self.NOW
        self.renew(90)

    def renew(self, days: float) -> None:
        """Get another one."""
        self._expires_at = self.NOW + timedelta(days=days)

    def pem(self) -> Pem:
        """Return what its files hold."""
        return Pem(b"", b"", b"", ("social",), self._expires_at)


@dataclass(frozen=True)
class Counting:
    """What counts in a process: what all have, and the service's own."""

    registry: CollectorRegistry
    rpc: chassis.CountedRpcs
    bus: chassis.CountedMessages
    loop: chassis.CountedLoop


@dataclass(frozen=True)
class Mesh:
    """What counts in each process of a mesh, as each service's `__main__` puts it together where its door is open."""

    services: dict[str, Counting]
    gateway: CountedGateway
    admission: Admission
    social: CountedSocial
    embedder: CountedEmbedder
    searches: CountedSearches
    collections: Collections
    certificates: dict[str, Certificate]


@contextlib.contextmanager
def mesh(folder: Path) -> Iterator[Mesh]:
    """Make all of it, with nothing counted yet; the folder takes no files."""
    services, certificates = {}, {service: Certificate() for service in SERVICES}
    for service in SERVICES:
        registry = chassis.new_registry()
        identity = cast(Identity, certificates[service])
        registry.register(chassis.CertificateCollector(identity, lambda: Certificate.NOW))
        services[service] = Counting(
            registry, chassis.CountedRpcs(registry), chassis.CountedMessages(registry), chassis.CountedLoop(registry)
        )
    found = {service: one.registry for service, one in services.items()}
    gateway, admission = CountedGateway(found["gateway"]), Admission(Bounds(2, 0.005, 0.2))
    found["gateway"].register(GatewayCollector(admission, set(), OpenSockets(())))
    social = CountedSocial(found["social"])
    pool = cast(Database, SimpleNamespace(connections_in_use=1, most_connections=2))
    social.watch({"requests": pool, "background": pool})
    embedder = CountedEmbedder(found["embedder"])
    embedder.model_loaded("enc", "museed-mini", "cpu", "fp32", 128)
    searches = CountedSearches(found["retriever"])

    async def ready(is_ready: bool) -> None: ...

    collections = Collections("enc", lambda encoder_id, told: Collection(encoder_id, folder, 10, 10.0, told), ready)
    found["retriever"].register(IndexCollector(collections))
    yield Mesh(services, gateway, admission, social, embedder, searches, collections, certificates)
    collections.of("enc").live.close()


@contextlib.contextmanager
def registries(folder: Path) -> Iterator[dict[str, CollectorRegistry]]:
    """What each service tells once there was something to tell of."""
    with mesh(folder) as found:
        waiting = Waiting(1, 2.0)
        found.social.looked(
            Figures(
                {"event": waiting},
                {("GENERATION", "QUEUED"): waiting},
                waiting,
                {"VECTORS": (1, 2)},
                {("a", "b"): (1, 2, 3)},
            )
        )
        yield {service: one.registry for service, one in found.services.items()}


def samples(registry: CollectorRegistry) -> dict[str, frozenset[str]]:
    """Labels of every sample that a registry can tell, by its name, also of those that nothing was counted for yet."""
    found: dict[str, frozenset[str]] = {}
    for collector in list(registry._collector_to_names):
        own = cast(Any, collector)
        for family in collector.collect():
            told = frozenset(label for sample in family.samples for label in sample.labels)
            declared = getattr(own, "_labelnames", ()) or getattr(family, "_labelnames", ())
            _note(found, family.name, family.type, told - {"le"} | frozenset(declared))
    return found


def bounds(registry: CollectorRegistry, histogram: str) -> set[str]:
    """Bounds of a histogram's buckets as they are written."""
    (own,) = [one for one in registry._collector_to_names if getattr(one, "_name", "") == histogram]
    return {cast(Any, floatToGoString)(bound) for bound in cast(Any, own)._upper_bounds}


def _note(found: dict[str, frozenset[str]], name: str, kind: str, labels: frozenset[str]) -> None:
    for ending in _ENDINGS.get(kind, ("",)):
        found[name + ending] = labels | ({"le"} if ending == "_bucket" else set())
