"""What a dashboard is made of, and how Grafana writes it down."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_WIDTH = 24
_PANELS_A_LINE = 3
_HEIGHT = 8
_SCHEMA_VERSION = 39
_SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing.

    Attributes:
        title: What is seen.
        unit: Grafana's name of it, for example "s" or "reqps".
        queries: Expressions, each with how its lines are called, "{{label}}" standing for a label's value.
        note: What a good picture looks like.
        is_number: Whether only the latest value is shown, large.
        is_stacked: Whether the lines add up to something.
    """

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    note: str = ""
    is_number: bool = False
    is_stacked: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard: rows of panels by their titles."""

    name: str
    title: str
    rows: Sequence[tuple[str, Sequence[Panel]]]


def grafana(board: Board) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it from a file."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in board.rows:
        place = {"h": 1, "w": _WIDTH, "x": 0, "y": top}
        panels.append({"type": "row", "id": len(panels) + 1, "title": title, "gridPos": place, "panels": []})
        top += 1
        for number, panel in enumerate(row):
            width = _WIDTH // min(_PANELS_A_LINE, len(row))
            line, column = divmod(number, _PANELS_A_LINE)
            place = {"h": _HEIGHT, "w": width, "x": column * width, "y": top + line * _HEIGHT}
            panels.append(_panel(panel, len(panels) + 1, place))
        top += -(-len(row) // _PANELS_A_LINE) * _HEIGHT
    return {
        "uid": f"museed-{board.name}",
        "title": board.title,
        "tags": ["museed"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "source"}]},
        "links": [{"type": "dashboards", "title": "MUSEED", "tags": ["museed"], "asDropdown": True}],
        "panels": panels,
    }


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    drawn: dict[str, Any] = {"fillOpacity": 10, "showPoints": "never"}
    if panel.is_stacked:
        drawn["stacking"] = {"mode": "normal"}
    return {
        "type": "stat" if panel.is_number else "timeseries",
        "id": number,
        "title": panel.title,
        "description": panel.note,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, **({} if panel.is_number else {"custom": drawn})},
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for at, (expression, legend) in enumerate(panel.queries)
        ],
    }
