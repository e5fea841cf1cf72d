"""Each alert becomes true by what the processes tell while that is wrong which it is for, and by nothing else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from deploy.observability.alert import Alert
from deploy.observability.alerts import ALERTS
from services.chassis import blobs
from services.chassis.errors import Unavailable
from services.retriever import metrics as retriever_metrics
from services.social import prometheus as social_prometheus
from services.social.metrics import Waiting
from services.social.store.database import Database
from tests.contract.exports import Mesh, mesh
from tests.contract.promql import selectors
from tests.contract.watched import BEGAN_AT, HEALTHY, METHOD, RECORDED, STEP_S, USUAL, Watched, first_fired, seconds_of

ALL = [alert for alerts in ALERTS.values() for alert in alerts]
HEALTHY_STEPS = 40
# Beyond what an alert must have lasted: the longest window of one that tells of now.
PATIENCE_S = 1200.0


def nothing(watched: Watched, number: int) -> None:
    """Happen not."""


# --- what is wrong, step by step ---


def often(tell: Callable[[Mesh], object], times: int = USUAL) -> Callable[[Watched, int], None]:
    def happens(watched: Watched, number: int) -> None:
        for _ in range(times):
            tell(watched.mesh)

    return happens


def once(tell: Callable[[Watched], object]) -> Callable[[Watched, int], None]:
    def happens(watched: Watched, number: int) -> None:
        if number == 0:
            tell(watched)

    return happens


def figured(**changes: Any) -> Callable[[Watched, int], None]:
    def happens(watched: Watched, number: int) -> None:
        watched.figures = replace(HEALTHY, **changes)

    return happens


def call(service: str, code: str, reason: str) -> Callable[[Mesh], None]:
    def tell(counting: Mesh) -> None:
        counting.services[service].rpc.began(METHOD)
        counting.services[service].rpc.ended(METHOD, code, reason, 0.01)

    return tell


def stood(watched: Watched, number: int) -> None:
    """Work is in the hands of an embedder whose music is away: none waits, and none ends."""
    watched.works = False
    watched.figures = replace(HEALTHY, consumers={("EMBED_WORK", "embedder-enc"): (0, 3, 0)})
    bus = watched.mesh.services["embedder"].bus
    bus.delivered("EMBED_WORK", is_repeated=True)
    bus.handled("EMBED_WORK", "retried", 1.0)


def used_up(watched: Watched) -> None:
    pool = cast(Database, SimpleNamespace(connections_in_use=15, most_connections=16))
    watched.mesh.social.watch({"requests": pool})


def died(watched: Watched) -> None:
    for _ in range(6):
        watched.mesh.embedder.decoder_lost("DECODER_LOST")


def not_stored(watched: Watched, number: int) -> None:
    if number % 4 == 0:
        with pytest.raises(Unavailable), blobs.telling_write_errors():
            raise OSError(28, "No space left on device")


def restarted(watched: Watched, number: int) -> None:
    if number % 8 == 0:
        watched.starts["embedder"] += 1


def silent(watched: Watched, number: int) -> None:
    watched.index.consumer.heard_at = BEGAN_AT


def incomplete(watched: Watched, number: int) -> None:
    watched.index.live.is_caught_up = False


def no_figures(watched: Watched, number: int) -> None:
    watched.figures = None


def not_archived(watched: Watched, number: int) -> None:
    watched.archived_at, watched.failed_at = BEGAN_AT, watched.at


WRONG: dict[str, Callable[[Watched, int], None]] = {
    "GatewayFailsFast": often(lambda one: one.gateway.ran("query", "failed", 0.1), 1),
    "GatewayFailsSlowly": often(lambda one: one.gateway.ran("mutation", "failed", 0.1), 1),
    "GatewayIsSlow": often(lambda one: one.gateway.answered("POST", "/graphql", 200, 1.5)),
    "GatewayRefuses": often(lambda one: one.admission.refused.update(overloaded=1)),
    "ProcessAway": once(lambda watched: watched.away.add("embedder")),
    "ServiceMissing": once(lambda watched: watched.gone.add("embedder")),
    "ProcessRestarts": restarted,
    "CertificateEnds": once(lambda watched: watched.mesh.certificates["social"].renew(days=13.9)),
    "CallsFail": often(call("social", "UNAVAILABLE", "DATABASE_UNAVAILABLE"), 1),
    "CallsAreRefused": often(call("retriever", "RESOURCE_EXHAUSTED", "SERVER_BUSY"), 2 * USUAL),
    "FilesAreNotStored": not_stored,
    "LoopIsLate": often(lambda one: one.services["gateway"].loop.lagged(0.5)),
    "OutboxWaits": figured(outbox={"event": Waiting(3, 61.0)}),
    "JobsWait": figured(jobs={("GENERATION", "EMBEDDING"): Waiting(1, 601.0)}),
    "JobsFail": once(lambda watched: watched.mesh.social.job_ended("HEARING", "failed", "INTERNAL", 1.0)),
    "DeadLetters": figured(streams={"DEAD_LETTERS": (1, 100)}),
    "WorkWaits": figured(work=Waiting(1, 21_601.0)),
    "WorkStands": stood,
    "StreamIsNearlyFull": figured(streams={"EMBED_WORK": (900_001, 1)}),
    "LogsFillTheirDisk": figured(streams={"VECTORS": (7_000_000, 38_000_000_000), "PROFILES": (1, 654_705_665)}),
    "BusAway": figured(streams=None),
    "BusDoesNotConfirm": often(lambda one: one.services["social"].bus.published("SOCIAL_EVENTS", "unconfirmed"), 1),
    "LogIsNotArchived": not_archived,
    "BackupIsOld": once(lambda watched: setattr(watched, "saved_at", watched.at - 36 * 3600 - 1)),
    "DatabaseIsNotWatched": once(lambda watched: watched.gone.add("postgres")),
    "DatabaseLacksCopies": once(lambda watched: setattr(watched, "copies", 1.0)),
    "PodsAreMissing": once(lambda watched: watched.ready.update(nats=2.0)),
    "VolumeFills": once(lambda watched: watched.left.update({"museed-postgres-1-wal": 0.14})),
    "JobFailed": once(lambda watched: setattr(watched, "failed_jobs", 1.0)),
    "DatabaseAway": no_figures,
    "PoolIsUsedUp": once(used_up),
    "PoolIsWaitedFor": often(lambda one: one.social.waited("requests", 0.9)),
    "IndexIncomplete": incomplete,
    "IndexBehind": once(lambda watched: setattr(watched.index.consumer, "pending_count", 1001)),
    "LogSilent": silent,
    "IndexesDiffer": once(lambda watched: setattr(watched, "tracks_more", 101.0)),
    "IndexRefusesMessages": once(lambda watched: watched.index.consumer.refused.update(MALFORMED=1)),
    "SnapshotsFail": once(lambda watched: setattr(watched.index.keeper, "failed_count", 1)),
    "ModelFails": once(lambda watched: watched.mesh.embedder.model_failed()),
    "DecodersDie": once(died),
    "UploadsWaitForModel": often(lambda one: one.embedder.waited("interactive", 8.0)),
}
# What they name is the question that a summary and a runbook go on from.
NAMES = {
    "ProcessAway": {"service": "embedder", "pod": "embedder-0"},
    "ServiceMissing": {"service": "embedder"},
    "ProcessRestarts": {"service": "embedder"},
    "CertificateEnds": {"service": "social", "pod": "social-0"},
    "CallsFail": {"service": "social"},
    "CallsAreRefused": {"service": "retriever", "reason": "SERVER_BUSY"},
    "GatewayRefuses": {"reason": "overloaded"},
    "LoopIsLate": {"service": "gateway", "pod": "gateway-0"},
    "OutboxWaits": {"kind": "event"},
    "JobsWait": {"kind": "GENERATION", "state": "EMBEDDING"},
    "JobsFail": {"kind": "HEARING", "reason": "INTERNAL"},
    "PodsAreMissing": {"statefulset": "nats"},
    "VolumeFills": {"persistentvolumeclaim": "museed-postgres-1-wal"},
    "JobFailed": {"job_name": "ingest-1"},
    "IndexRefusesMessages": {"encoder_id": "enc", "reason": "MALFORMED"},
    "DecodersDie": {"pod": "embedder-0", "reason": "DECODER_LOST"},
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the processes take for the time that has passed."""
    found = SimpleNamespace(watched=None)
    told = SimpleNamespace(monotonic=lambda: BEGAN_AT if found.watched is None else found.watched.at)
    monkeypatch.setattr(social_prometheus, "time", told)
    monkeypatch.setattr(retriever_metrics, "time", told)
    return found


def asked(alert: Alert) -> set[str]:
    """Names of all samples that an alert is made of."""
    names = {selector.metric for selector in selectors(alert.expression)}
    return names | {one.metric for name in names & RECORDED.keys() for one in selectors(RECORDED[name])}


def test_every_alert_has_a_fault() -> None:
    assert WRONG.keys() == {alert.name for alert in ALL}


@pytest.mark.parametrize("alert", ALL, ids=lambda alert: alert.name)
def test_alert_fires_by_its_fault_and_not_before(alert: Alert, tmp_path: Path, clock: SimpleNamespace) -> None:
    with mesh(tmp_path) as counting:
        clock.watched = watched = Watched(counting, asked(alert))
        assert first_fired(watched, alert, nothing, HEALTHY_STEPS) == {}
        steps = int((seconds_of(alert) + PATIENCE_S) / STEP_S)
        found = first_fired(watched, alert, WRONG[alert.name], steps)
    assert found, alert.says
    for key in found:
        assert dict(key).items() >= NAMES.get(alert.name, {}).items()


@pytest.mark.parametrize("missing", ["nats", "gateway"])
def test_pods_of_each_kind_are_missed(tmp_path: Path, clock: SimpleNamespace, missing: str) -> None:
    (alert,) = (one for one in ALL if one.name == "PodsAreMissing")
    with mesh(tmp_path) as counting:
        clock.watched = watched = Watched(counting, asked(alert))
        [found] = first_fired(watched, alert, once(lambda one: one.ready.update({missing: 1.0})), 80)
    assert missing in dict(found).values()


@pytest.mark.parametrize("missing", ["never asked", "not asked since"])
def test_database_that_was_away_at_the_start_is_told(tmp_path: Path, clock: SimpleNamespace, missing: str) -> None:
    (alert,) = (one for one in ALL if one.name == "DatabaseAway")
    with mesh(tmp_path) as counting:
        clock.watched = watched = Watched(counting, asked(alert))
        if missing == "not asked since":
            watched.step(nothing, 0)
        assert first_fired(watched, alert, no_figures, 20) != {}


def test_faults_are_told_where_nothing_else_of_the_kind_ever_happened(tmp_path: Path, clock: SimpleNamespace) -> None:
    """Refusals at the door count before any operation has failed, and the other way round."""
    (alert,) = (one for one in ALL if one.name == "GatewayFailsFast")
    for tell in (
        lambda one: one.admission.refused.update(full=1),
        lambda one: one.gateway.answered("POST", "/uploads", 503, 0.1),
        lambda one: one.gateway.ran("query", "failed", 0.1),
    ):
        with mesh(tmp_path) as counting:
            clock.watched = watched = Watched(counting, asked(alert))
            assert first_fired(watched, alert, often(tell, 1), 40) != {}
