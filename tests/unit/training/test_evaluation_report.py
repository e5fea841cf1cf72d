"""How figures are written, read again and compared."""

import json
from pathlib import Path

import pytest

from training.evaluation.intervals import Estimate
from training.evaluation.report import Cell, Report, Table, TableInvalid, compare, read_table

NAN = float("nan")


def report(precision: float = 0.9, low: float = 0.8) -> Report:
    rows = {
        "musicnn-msd": {"P@5": Cell(precision, low, 0.95), "mAP": Cell(0.5)},
        "museed-mini": {"P@5": Cell(0.91)},
        "chance": {"P@5": Cell(0.3)},
    }
    encoders = {"musicnn-msd": "musicnn-msd-1", "museed-mini": "museed-mini-1"}
    return Report(["5 pieces."], encoders, [Table("Families", "A note.", rows)])


def committed(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "table.json").read_text())
    return found


def test_text_is_aligned_and_says_what_is_missing() -> None:
    lines = report().text().splitlines()
    assert lines[:7] == ["# What encoders retrieve", "", "- 5 pieces.", "", "## Families", "", "A note."]
    assert lines[8:13] == [
        "|             | P@5                | mAP   |",
        "|-------------|--------------------|-------|",
        "| musicnn-msd | 0.900 [0.80, 0.95] | 0.500 |",
        "| museed-mini | 0.910              |       |",
        "| chance      | 0.300              |       |",
    ]


def test_a_bound_that_is_not_a_number_is_none() -> None:
    assert Cell.of(Estimate(0.5, NAN, NAN, 3, 1)) == Cell(0.5)
    assert Cell.of(Estimate(0.5, 0.4, 0.6, 3, 2)) == Cell(0.5, 0.4, 0.6)
    assert str(Cell(NAN)) == "–"


def test_written_figures_are_found_equal(tmp_path: Path) -> None:
    report().write(tmp_path)
    assert (tmp_path / "table.md").read_text() == report().text()
    assert compare(report(), committed(tmp_path)) == []
    assert compare(report(precision=0.9099), committed(tmp_path)) == []


def test_a_figure_beyond_the_tolerance_is_named(tmp_path: Path) -> None:
    report().write(tmp_path)
    assert compare(report(precision=0.911), committed(tmp_path)) == [
        "Families: musicnn-msd: P@5 (value): found 0.9110, committed 0.9000"
    ]
    assert compare(report(low=0.5), committed(tmp_path)) == [
        "Families: musicnn-msd: P@5 (low): found 0.5000, committed 0.8000"
    ]


def test_a_row_that_one_side_lacks_is_named_unless_its_encoder_was_not_asked_for(tmp_path: Path) -> None:
    report().write(tmp_path)
    shorter = report()
    del shorter.tables[0].rows["museed-mini"]
    assert compare(shorter, committed(tmp_path)) == ["Families: museed-mini: P@5 (value): found none, committed 0.9100"]
    del shorter.encoders["museed-mini"]
    assert compare(shorter, committed(tmp_path)) == []
    longer = report()
    longer.tables[0].rows["muq-1024"] = {"P@5": Cell(0.95)}
    assert compare(longer, committed(tmp_path)) == ["Families: muq-1024: P@5 (value): found 0.9500, committed none"]


def test_a_table_that_was_not_asked_for_is_passed_over(tmp_path: Path) -> None:
    whole = report()
    whole.tables.append(Table("Robustness", "", {"musicnn-msd": {"cosine": Cell(1.0)}}))
    whole.write(tmp_path)
    assert compare(report(), committed(tmp_path)) == []


def test_a_figure_that_is_not_a_number_is_written_as_null(tmp_path: Path) -> None:
    Report([], {}, [Table("Families", "", {"a": {"P@5": Cell(NAN)}})]).write(tmp_path)
    text = (tmp_path / "table.json").read_text()
    assert "NaN" not in text
    with pytest.raises(KeyError):
        json.loads(text)["tables"][0]["rows"]["a"]["mAP"]


def test_a_written_table_is_read_back(tmp_path: Path) -> None:
    report().write(tmp_path)
    assert read_table(tmp_path / "table.json") == committed(tmp_path)
    assert compare(report(), read_table(tmp_path / "table.json")) == []


@pytest.mark.parametrize(
    "contents",
    [
        b"", b"[]", b"{}", b'{"tables": [', b'{"tables": 1}', b'{"tables": [1]}', b'{"tables": [{"rows": {}}], ',
        b'{"tables": [{"title": "a", "rows": {"b": []}}]}', b'{"tables": [{"title": "a", "rows": {"b": {"c": 1}}}]}',
        b'{"tables": [{"rows": {"b": {"c": {"value": 1}}}}]}', b"\xff\xfe", b"[" * 100_000,
        b'{"tables": [{"title": "a", "rows": {"b": {"c": {"value": "x"}}}}]}',
        b'{"tables": [{"title": "a", "rows": {"b": {"c": {"value": NaN}}}}]}',
    ],
    ids=lambda contents: repr(contents[:60]),
)  # fmt: skip
def test_what_is_no_table_is_refused_by_name(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(contents)
    with pytest.raises(TableInvalid, match=r"table\.json is no table of a run: .*: write it anew without --check"):
        read_table(path)


def test_a_table_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TableInvalid, match=r"table\.json is missing: run once without --check"):
        read_table(tmp_path / "table.json")
