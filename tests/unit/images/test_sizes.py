"""The table of sizes is what the lists of wheels say."""

import importlib.metadata
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.images import sizes
from deploy.images.requirements import Pin, read, write
from deploy.images.table import BY_NAME, Image


def test_committed_table_is_current() -> None:
    assert list(sizes.faults()) == []


def test_stale_table_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / "SIZES.md"
    stale.write_text(sizes.TABLE.read_text().replace("| `social` | ", "| `social` | 1"))
    monkeypatch.setattr(sizes, "TABLE", stale)
    assert list(sizes.faults()) == ["SIZES.md is not what the wheels say: python -m deploy.images.sizes"]
    stale.unlink()
    assert list(sizes.faults()) == ["SIZES.md is not what the wheels say: python -m deploy.images.sizes"]


def test_wheel_of_unknown_size_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "unpacked.tsv"
    kept.write_text(sizes.UNPACKED.read_text().replace("faiss-gpu\t1.15.1", "faiss-gpu\t1.15.0"))
    monkeypatch.setattr(sizes, "UNPACKED", kept)
    assert list(sizes.faults()) == [
        "unpacked.tsv has no size of faiss-gpu 1.15.1: python -m deploy.images.sizes --fetch"
    ]


def test_size_is_that_of_the_files_without_scripts_that_name_their_folder() -> None:
    found = importlib.metadata.distribution("uvicorn")
    files = found.files or []
    scripts = [file for file in files if file.parts[-2:] == ("bin", "uvicorn")]
    assert len(scripts) == 1
    total = sum(file.size or 0 for file in files)
    assert sizes.installed_bytes(found) == total - (scripts[0].size or 0)


def test_row_adds_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sizes, "read", lambda path: [Pin("one", "1", 64 * "a", 3_000_000), Pin("two", "2", "", 400_000)]
    )
    monkeypatch.setattr(sizes, "on_disk", lambda pins: {("one", "1"): 9_600_000, ("two", "2"): 20_000_000})
    assert sizes.table([BY_NAME["social"]]).splitlines()[-1] == "| `social` | 2 | 3 | 30 | – | two 20, one 10 |"


def test_model_is_counted_where_it_is_copied() -> None:
    rows = [line.split(" | ") for line in sizes.TABLE.read_text().splitlines() if line.startswith("| `")]
    assert {row[0].strip("|` "): row[4] for row in rows if row[4] != "–"} == {
        name: "19" for name in ("embedder", "embedder-gpu", "embedder-bulk")
    }


def test_fetched_size_is_kept_while_the_version_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "unpacked.tsv"
    kept.write_text("faiss-gpu\t1.15.1\t5\n")
    monkeypatch.setattr(sizes, "UNPACKED", kept)
    asked: list[str] = []

    def fetched(pin: Pin) -> int:
        asked.append(pin.name)
        return 7

    monkeypatch.setattr(sizes, "_fetched_bytes", fetched)
    sizes.fetch()
    rows = dict(line.rsplit("\t", 1) for line in kept.read_text().splitlines())
    assert rows.pop("faiss-gpu\t1.15.1") == "5"
    assert set(rows.values()) == {"7"}
    assert asked == sorted(row.split("\t")[0] for row in rows)
    assert "faiss-gpu" not in asked


def test_image_of_another_list_has_another_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = [replace(pin, size=pin.size + 10_000_000) for pin in read(BY_NAME["social"].requirements)[:1]]
    write(tmp_path / "social.txt", pins)
    monkeypatch.setattr(Image, "requirements", property(lambda image: tmp_path / f"{image.name}.txt"))
    assert sizes.table([BY_NAME["social"]]).splitlines()[-1].startswith("| `social` | 1 | 10 | ")
