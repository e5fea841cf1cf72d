"""The table of strategies: its headline is of the validation part and one model's memory; so is the committed one."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import training
from training.catalogue import Track
from training.evaluation.report import Cell, Report, Table
from training.evaluation.strategies import STEM, TITLE
from training.evaluation.strategy_cell import CellCost
from training.evaluation.strategy_table import headlines, strategy_table

FAMILIES = ("electronic", "metal", "orchestral")
VALIDATION, TEST = ("supertux-data", "warzone2100-music"), ("unknown-horizons", "singularity-music")
RESULTS = Path(training.__path__[0]) / "results"


def tracks(packages: tuple[str, ...] = (*VALIDATION, *TEST)) -> list[Track]:
    return [
        Track(f"{package}/{number}.ogg", f"{package}:{number}", FAMILIES[number % 3], "tag", "", "", "", 60.0)
        for package in packages
        for number in range(15)
    ]


def vectors(of: list[Track], *, is_test_told: bool = True) -> NDArray[np.float32]:
    """Families as they are; without `is_test_told` the packages of the test part take each other's for another."""
    found = np.zeros((len(of), 6), np.float32)
    for row, track in enumerate(of):
        family = FAMILIES.index(track.family)
        if not is_test_told and track.package in TEST:
            family = 3 + (family + TEST.index(track.package)) % 3
        found[row, family] = 1
    return found


def cost(peak_mib: float | None, above_model_mib: float | None) -> CellCost:
    return CellCost(peak_mib, above_model_mib, None, 0.25)


def test_the_headline_is_of_the_validation_part_and_of_what_one_model_holds() -> None:
    pieces = tracks()
    found = {
        # Its model happens to hold 20 MiB less once it is loaded; as measured it would be 49 %.
        "mean · 10 s": (vectors(pieces, is_test_told=False), cost(190, 20)),
        "whole clip": (vectors(pieces), cost(390, 200)),
    }
    table = strategy_table("net", pieces, found)
    row = table.rows["mean · 10 s"]
    assert [row[column].value for column in ("P@5 validation", "P@5 test", "P@5")] == [1, 0, 0.5]
    assert [row[column].value for column in ("peak MiB", "MiB above the model")] == [190, 20]
    assert headlines("net", table) == [
        "net: the mean of windows of 10 s keeps 100% of the whole clip's P@5 validation with 54% of its memory."
    ]
    assert "Memory and time are of a process of its own" in table.note


def test_memory_that_loading_hides_is_left_out_and_that_is_told() -> None:
    pieces = tracks()
    found = {"mean · 10 s": (vectors(pieces), cost(None, None)), "whole clip": (vectors(pieces), cost(None, None))}
    table = strategy_table("net", pieces, found)
    assert table.columns() == [
        *("P@5", "P@5 validation", "P@5 test", "kNN accuracy", "core-seconds a clip", "numbers a vector")
    ]
    assert "Memory could not be told from that of loading here; time is of a process of its own" in table.note
    assert headlines("net", table) == [
        "net: the mean of windows of 10 s keeps 100% of the whole clip's P@5 validation."
    ]


def test_without_the_validation_part_there_is_no_headline() -> None:
    pieces = tracks(TEST)
    found = {"mean · 10 s": (vectors(pieces), cost(190, 20)), "whole clip": (vectors(pieces), cost(390, 200))}
    table = strategy_table("net", pieces, found)
    assert table.rows["whole clip"]["P@5 test"].value == 1
    assert headlines("net", table) == []


def test_the_committed_headlines_follow_from_the_committed_cells() -> None:
    committed = json.loads((RESULTS / f"{STEM}.json").read_text())
    (found,) = committed["tables"]
    rows = {row: {column: Cell(**cell) for column, cell in cells.items()} for row, cells in found["rows"].items()}
    table = Table(found["title"], found["note"], rows)
    (name,) = committed["encoders"]
    assert headlines(name, table) == committed["facts"][1:]
    report = Report(committed["facts"], committed["encoders"], [table])
    assert report.text(TITLE) == (RESULTS / f"{STEM}.md").read_text()
