"""Writes the dashboards and the rules of the Kubernetes component, or checks that what is there is fresh."""

import json
from pathlib import Path
from typing import Any

import yaml

from deploy.observability.alert import Alert
from deploy.observability.alerts import ALERTS
from deploy.observability.boards import BOARDS
from deploy.observability.objectives import OBJECTIVES, WINDOWS, bad_share, series
from deploy.observability.panels import grafana

COMPONENT = Path(__file__).parents[1] / "k8s" / "components" / "observability"
_HEAD = "# Written by `python -m deploy.observability`.\n"
_LINE_WIDTH = 120


def rules() -> dict[str, Any]:
    """Return the PrometheusRule: shares of bad requests that are recorded, and alerts."""
    recorded = [
        {"record": series(objective, window), "expr": bad_share(objective, window)}
        for objective in OBJECTIVES
        for window in WINDOWS
    ]
    groups = [{"name": "museed-objectives", "interval": "30s", "rules": recorded}]
    groups += [
        {"name": f"museed-{name}", "rules": [_rule(alert) for alert in alerts]} for name, alerts in ALERTS.items()
    ]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "museed"},
        "spec": {"groups": groups},
    }


def files() -> dict[str, str]:
    """Return the text of every written file by its path in the component."""
    found = {f"dashboards/{board.name}.json": json.dumps(grafana(board), indent=1) + "\n" for board in BOARDS}
    found["rules.yaml"] = _HEAD + yaml.safe_dump(rules(), sort_keys=False, width=_LINE_WIDTH)
    return found


def stale() -> list[str]:
    """Return the paths of files that are missing, are not as they would be written, or are nobody's."""
    wanted = files()
    there = {f"dashboards/{path.name}" for path in (COMPONENT / "dashboards").glob("*")}
    changed = {name for name, text in wanted.items() if not _is(COMPONENT / name, text)}
    return sorted(changed | (there - wanted.keys()))


def write() -> None:
    """Write all files, and take away dashboards that are no more."""
    for name in stale():
        (COMPONENT / name).unlink(missing_ok=True)
    (COMPONENT / "dashboards").mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (COMPONENT / name).write_text(text)


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasting,
        "labels": {"severity": alert.severity, "part_of": "museed"},
        "annotations": {"summary": alert.says, "runbook": f"deploy/k8s/RUNBOOKS.md#{alert.name.lower()}"},
    }
