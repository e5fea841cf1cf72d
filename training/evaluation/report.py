"""Puts figures into tables: as text for a terminal and `table.md`, as `table.json`, and against a committed one."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.evaluation.intervals import Estimate

TITLE = "What encoders retrieve"
STEM = "table"
TABLE_JSON = f"{STEM}.json"
TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure, with an interval where it has one."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, estimate: Estimate) -> "Cell":
        """Take mean and interval; bounds that are NaN are none."""
        bounds = (estimate.low, estimate.high)
        low, high = (None if math.isnan(bound) else bound for bound in bounds)
        return cls(estimate.mean, low, high)

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "–"
        bounds = "" if self.low is None or self.high is None else f" [{self.low:.2f}, {self.high:.2f}]"
        digits = 3 if abs(self.value) < 10 else 1 if abs(self.value) < 100 else 0
        return f"{self.value:.{digits}f}{bounds}"


Cells = dict[str, Cell]


class TableInvalid(TrainingError):
    """A file that is no table of a run."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    Attributes:
        title: Its name.
        note: What the figures are, in a sentence or two.
        rows: Cells by column, by row; a row may lack columns.
    """

    title: str
    note: str
    rows: dict[str, Cells]

    def columns(self) -> list[str]:
        """Return the columns in the order of their first appearance."""
        return list(dict.fromkeys(column for cells in self.rows.values() for column in cells))


@dataclass(frozen=True, slots=True)
class Report:
    """All tables of a run, and what they rest on.

    Attributes:
        facts: Sentences: counts, what was merged, what was left out.
        encoders: encoder_id by row name.
        tables: In order.
    """

    facts: list[str]
    encoders: dict[str, str]
    tables: list[Table] = field(default_factory=list)

    def text(self, title: str = TITLE) -> str:
        """Return Markdown whose columns are aligned, so that it reads on a terminal as well."""
        parts = [f"# {title}", "", *(f"- {fact}" for fact in self.facts), ""]
        for table in self.tables:
            parts += [f"## {table.title}", "", table.note, "", *_aligned(table), ""]
        return "\n".join(parts)

    def write(self, folder: Path, stem: str = STEM, title: str = TITLE) -> None:
        """Write both files, `stem` with .md and .json, into a folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{stem}.md").write_text(self.text(title), encoding="utf-8")
        (folder / f"{stem}.json").write_text(json.dumps(_finite(asdict(self)), indent=1) + "\n", encoding="utf-8")


def read_table(path: Path) -> dict[str, Any]:  # a tree of JSON values
    """Read a `table.json` that was written.

    Raises:
        TableInvalid: It is missing, or no such table; the message names file and fault.
    """
    if not path.is_file():
        raise TableInvalid(f"{path} is missing: run once without --check")
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if bad := [place for place, value in _figures(found["tables"]) if not math.isfinite(value)]:
            raise ValueError(f"{bad[0]} is not finite")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise TableInvalid(f"{path} is no table of a run: {error!r}: write it anew without --check") from error
    return found


def compare(found: Report, committed: Mapping[str, Any]) -> list[str]:
    """Compare a run with the contents of a `table.json`.

    Only encoders of this run are compared; each of their figures must lie within ± 0.01 of the committed one.

    Returns:
        A line for each figure that differs, and for each that only one of them has.
    """
    wanted = dict(_figures(committed["tables"]))
    own = dict(_figures(_finite(asdict(found))["tables"]))
    titles = {table.title for table in found.tables}
    differing = []
    for place in sorted(own.keys() | wanted.keys()):
        title, row, column, part = place
        if place not in own and (
            title not in titles or not set(row.split(" · ")[0].split(" + ")) <= found.encoders.keys()
        ):
            continue  # of a part or an encoder that this run was not asked for
        mine, theirs = own.get(place), wanted.get(place)
        if mine is None or theirs is None or abs(mine - theirs) > TOLERANCE:
            told = [("none" if value is None else f"{value:.4f}") for value in (mine, theirs)]
            differing.append(f"{title}: {row}: {column} ({part}): found {told[0]}, committed {told[1]}")
    return differing


def _figures(tables: list[dict[str, Any]]) -> Iterator[tuple[tuple[str, str, str, str], float]]:
    for table in tables:
        for row, cells in table["rows"].items():
            for column, cell in cells.items():
                for part, value in cell.items():
                    if value is not None:
                        yield (str(table["title"]), row, column, part), float(value)


def _finite(value: Any) -> Any:  # a tree of JSON values
    """Replace NaN by None and round: JSON has no NaN, and the last digits differ from machine to machine."""
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 5)
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return value


def _aligned(table: Table) -> list[str]:
    columns = table.columns()
    grid = [["", *columns]]
    for name, cells in table.rows.items():
        grid.append([name, *(str(cells[column]) if column in cells else "" for column in columns)])
    widths = [max(len(row[at]) for row in grid) for at in range(len(grid[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in grid
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [lines[0], rule, *lines[1:]]
