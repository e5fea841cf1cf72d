"""Dashboards and alerts ask for what the processes export; every alert has its paragraph, every file is fresh."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from deploy.observability import write
from deploy.observability.alerts import ALERTS
from deploy.observability.boards import BOARDS
from deploy.observability.objectives import OBJECTIVES, WINDOWS, bad_share, series
from services.chassis.bus import STREAMS
from services.chassis.errors import Code
from services.embedder.lanes import Lane
from services.embedder.settings import EmbedderSettings
from services.gateway.border import _ROUTES
from services.gateway.settings import GatewaySettings
from services.retriever.settings import RetrieverSettings
from services.social.domain.jobs import Kind
from services.social.settings import SocialSettings
from tests.contract.exports import OF_OTHERS, SERVICES, bounds, registries, samples
from tests.contract.promql import Selector, selectors

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "deploy" / "k8s" / "RUNBOOKS.md"
# What Prometheus adds to each sample: see components/observability/pods.yaml and its operator.
ADDED = frozenset({"service", "pod", "namespace", "container", "instance", "job"})
RECORDED = {series(objective, window): frozenset[str]() for objective in OBJECTIVES for window in WINDOWS}
VALUES = {
    "service": set(SERVICES),
    "stream": set(STREAMS),
    "code": {"OK", "UNKNOWN", "CANCELLED", *(code.value for code in Code)},
    "lane": {lane.label for lane in Lane},
    "kind": {kind.value for kind in Kind},
    "route": {f"/{route}" for route in _ROUTES},
    "outcome": {"failed", "unconfirmed", "acked", "dead_lettered"},
}
SETTINGS = (GatewaySettings, SocialSettings, EmbedderSettings, RetrieverSettings)
# Of every log line.
_FIELDS = ("request_id", "trace_id")
ALERT_NAMES = [alert.name for alerts in ALERTS.values() for alert in alerts]


def expressions() -> Iterator[tuple[str, str]]:
    for board in BOARDS:
        for _, row in board.rows:
            for panel in row:
                for expression, _ in panel.queries:
                    yield f"{board.name}: {panel.title}", expression
    for objective in OBJECTIVES:
        for window in WINDOWS:
            yield series(objective, window), bad_share(objective, window)
    for alerts in ALERTS.values():
        for alert in alerts:
            yield alert.name, alert.expression


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, CollectorRegistry]]:
    with registries(tmp_path_factory.mktemp("snapshots")) as found:
        yield found


def wrong_with(selector: Selector, exported: dict[str, CollectorRegistry]) -> list[str]:
    known = RECORDED | {
        "up": frozenset(),
        **OF_OTHERS,
        **{name: one for each in exported.values() for name, one in samples(each).items()},
    }
    if selector.metric not in known:
        return [f"nobody exports {selector.metric}"]
    labels = known[selector.metric] | ADDED
    asked = selector.grouped | {label for label, _ in selector.matchers}
    found = [f"{selector.metric} has no label {label}" for label in sorted(asked - labels)]
    for label, value in selector.matchers:
        wanted = set(value.split("|"))
        if label == "le":
            (owner,) = [one for one in exported.values() if selector.metric in samples(one)]
            found += [f"no bucket {one}" for one in wanted - bounds(owner, selector.metric.removesuffix("_bucket"))]
        elif label in VALUES and not wanted <= VALUES[label]:
            found.append(f"{label} is never {sorted(wanted - VALUES[label])}")
    return found


@pytest.mark.parametrize(("place", "expression"), list(expressions()), ids=lambda value: value[:60])
def test_every_query_asks_for_what_processes_export(
    place: str, expression: str, exported: dict[str, CollectorRegistry]
) -> None:
    asked = selectors(expression)
    assert asked, place
    assert [fault for selector in asked for fault in wrong_with(selector, exported)] == [], place


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("sum(rate(up[5m])", "unclosed left parenthesis"),
        ("rate(up)", "expected type matrix"),
        ("rates(up[5m])", "unknown function"),
        ('up{pod=~"("}', "illegal regex"),
        ("up[5m]", "is a range"),
        ("-up", "is nothing that is read here"),
    ],
)
def test_what_is_no_expression_is_refused(expression: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        selectors(expression)


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("museed_rpc_handled", "nobody exports museed_rpc_handled"),
        ("sum by (lane) (museed_rpc_in_flight)", "museed_rpc_in_flight has no label lane"),
        ('museed_rpc_in_flight{reason=""}', "museed_rpc_in_flight has no label reason"),
        ('museed_bus_in_flight{stream="VECTOR"}', "stream is never ['VECTOR']"),
        ('museed_gateway_request_seconds_bucket{le="1"}', "no bucket 1"),
    ],
)
def test_query_for_what_nobody_exports_is_found(
    expression: str, fault: str, exported: dict[str, CollectorRegistry]
) -> None:
    assert [found for selector in selectors(expression) for found in wrong_with(selector, exported)] == [fault]


def test_written_files_are_fresh() -> None:
    assert write.stale() == []


def test_component_has_every_dashboard() -> None:
    component = yaml.safe_load((write.COMPONENT / "kustomization.yaml").read_text())
    (dashboards,) = component["configMapGenerator"]
    assert sorted(dashboards["files"]) == sorted(name for name in write.files() if name.startswith("dashboards/"))


def test_services_are_named_in_the_component_as_in_the_queries() -> None:
    (endpoint,) = yaml.safe_load((write.COMPONENT / "pods.yaml").read_text())["spec"]["podMetricsEndpoints"]
    assert endpoint["relabelings"] == [
        {"sourceLabels": ["__meta_kubernetes_pod_phase"], "regex": "Running", "action": "keep"},
        {"sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"], "targetLabel": "service"},
    ]


def test_names_are_given_once() -> None:
    titles = [(board.name, panel.title) for board in BOARDS for _, row in board.rows for panel in row]
    assert len(titles) == len(set(titles))
    assert len(ALERT_NAMES) == len(set(ALERT_NAMES))


def test_every_alert_has_a_paragraph_and_every_paragraph_an_alert() -> None:
    text = RUNBOOKS.read_text()
    assert re.findall(r"^### (\w+)$", text, re.MULTILINE) == ALERT_NAMES
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        name = section.partition("\n")[0]
        body = section.partition("\n")[2].partition("\n## ")[0]
        assert all(f"**{word}**" in body for word in ("Means", "Look", "Do")), name


def test_runbooks_name_only_what_is_there(exported: dict[str, CollectorRegistry]) -> None:
    known = {name for each in exported.values() for name in samples(each)} | RECORDED.keys()
    named = set(re.findall(r"museed_[a-z_]+", RUNBOOKS.read_text()))
    assert named - known == set()


def test_runbooks_name_log_lines_and_reasons_that_the_code_has() -> None:
    code = "".join(path.read_text() for path in sorted((ROOT / "services").rglob("*.py")))
    code += (ROOT / "services" / "gateway" / "codes.json").read_text()
    text = RUNBOOKS.read_text()
    events = {name for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text) if name not in _FIELDS}
    assert {name for name in events if f'"{name}"' not in code and not name.startswith("museed_")} == set()
    reasons = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", text)) | set(re.findall(r"`([A-Z]{6,})`", text))
    known = {f"{kind.model_config.get('env_prefix')}{name}".upper() for kind in SETTINGS for name in kind.model_fields}
    assert {name for name in reasons if name not in code} - known == set()


@pytest.mark.parametrize("service", SERVICES)
def test_every_metric_is_told_in_a_readme(service: str, exported: dict[str, CollectorRegistry]) -> None:
    text = "".join((ROOT / "services" / name / "README.md").read_text() for name in (service, "chassis"))
    missing = []
    for family in exported[service].collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        own = name.removeprefix(f"museed_{service}_").removesuffix("_info")
        if name.startswith("museed_") and not re.search(rf"`(…_|museed_{service}_)?{own}(_info)?`|`{name}`", text):
            missing.append(name)
    assert missing == []
