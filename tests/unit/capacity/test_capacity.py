import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from deploy.capacity import embedding, index, money, processes, storage
from deploy.capacity.__main__ import DOCUMENT, main
from deploy.capacity.document import render, shown
from deploy.capacity.figures import GROUPS, Case, Figure, FigureError, Kind, all_figures, changed
from deploy.capacity.lines import Line, of_case, three

ROOT = Path(__file__).resolve().parents[3]
EXPECTED = of_case(all_figures(), Case.EXPECTED)
LINES = (*embedding.EMBEDDING, *index.INDEX, *storage.POSTGRES, *storage.NATS, *storage.BLOBS, *processes.PROCESSES)


def test_the_committed_document_is_what_the_figures_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0

    assert main([]) == 0
    assert capsys.readouterr().out == DOCUMENT.read_text(encoding="utf-8")


def test_a_document_of_other_figures_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--set", "users=2e6"]) == 1

    assert "--write" in capsys.readouterr().err


@pytest.mark.parametrize("figure", [each for each in all_figures() if each.quote], ids=lambda each: each.name)
def test_what_was_measured_stands_where_it_is_said_to(figure: Figure) -> None:
    text = " ".join((ROOT / figure.source).read_text(encoding="utf-8").split())

    assert " ".join(figure.quote.split()) in text


def test_what_is_measured_names_a_file_or_a_benchmark() -> None:
    commands = {each.source for each in all_figures() if each.kind is Kind.MEASURED and not each.quote}

    modules = {found[1] for each in commands if (found := re.match(r"python -m (\S+)", each))}
    assert len(commands) == 2
    assert modules == {"benchmarks.storage"}
    assert all(find_spec(module) for module in modules)


def test_every_assumption_has_a_range_or_is_given() -> None:
    given = {"users", "tracks", "dimension", "nats_replicas", "windows_kept"}

    fixed = {each.name for each in all_figures() if each.kind is not Kind.MEASURED and each.cheap == each.dear}

    assert fixed == given


def test_names_are_unique_and_every_figure_is_computed_with() -> None:
    asked = set()

    class Watched(dict[str, float]):
        def __getitem__(self, name: str) -> float:
            asked.add(name)
            return super().__getitem__(name)

    for line in (*LINES, *money.MONTH, *money.ONCE):
        line.compute(Watched(EXPECTED))
    index.libraries_of_machines(Watched(EXPECTED))
    index.search_ms(Watched(EXPECTED), 1e5)

    names = [each.name for each in all_figures()]
    assert len(set(names)) == len(names)
    assert sorted(set(names) - asked) == []


@pytest.mark.parametrize("line", [*money.MONTH, money.MONTH_TOTAL, *money.ONCE], ids=lambda line: line.what[:30])
def test_the_cheap_case_costs_least_and_the_dear_one_most(line: Line) -> None:
    cases = {case: of_case(all_figures(), case) for case in Case}

    cheap, expected, dear = three(line, cases)

    assert 0 < cheap < expected < dear


def test_the_first_embedding_by_hand() -> None:
    figures = EXPECTED | {"tracks": 3600.0, "track_s": 100.0, "gpu_windows_per_s": 10.0, "served_share": 0.5}

    assert embedding.windows(figures) == 36_000
    assert embedding.gpu_hours(figures) == 2.0
    assert embedding.decoding_core_hours(figures) == pytest.approx(100 / 30 * 0.045, rel=1e-12)


@pytest.mark.parametrize(("kind", "megabytes"), [("flat", 363), ("sq8", 92), ("ivf-sq8", 95), ("hnsw-sq8", 115)])
def test_the_index_of_the_measured_size_takes_what_was_measured(kind: str, megabytes: int) -> None:
    assert round(88_423 * index.code_bytes(kind, EXPECTED) / 1e6) == megabytes


def test_a_library_of_one_machine_and_one_search_have_no_shards() -> None:
    small = EXPECTED | {"tracks": 1e6, "users": 1000.0}

    assert [index.search_ms(small, tracks) for tracks in (1000, 88_423, 1e6)] == [0.6, 0.6, 12]
    assert index.search_ms(small, 999_999) == pytest.approx(12, rel=1e-5)
    assert (index.shards(small), index.replicas(small)) == (1, 2)


def test_streams_hold_what_fits_and_no_more_than_their_days() -> None:
    days = {line.what: line for line in storage.NATS}["`PEOPLE_EVENTS`: days until its bound pushes events out"]

    assert days.compute(EXPECTED | {"users": 1000.0}) == 7
    assert days.compute(EXPECTED) < 1


def test_figures_are_set_by_name() -> None:
    groups = changed(GROUPS, ["users=5", "gpu_hour=1:2:3"])

    found = {each.name: each for group in groups.values() for each in group}
    assert (found["users"].cheap, found["users"].expected, found["users"].dear) == (5, 5, 5)
    assert (found["gpu_hour"].cheap, found["gpu_hour"].expected, found["gpu_hour"].dear) == (1, 2, 3)
    assert found["gpu_hour"].source == "set by hand"
    assert "What 5 people" in render(groups)


@pytest.mark.parametrize("setting", ["no_such=1", "users", "users=", "users=many", "users=0", "users=1:2", "users=inf"])
def test_what_is_no_figure_is_refused(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FigureError):
        changed(GROUPS, [setting])

    assert main(["--set", setting]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (0, "", "0"),
        (4880.2, "h", "4,880 h"),
        (1_234_567, "", "1,230,000"),
        (2.25, "", "2.25"),
        (999, "B", "999 B"),
        (4.75e9, "B", "4.8 GB"),
        (6e15, "B", "6 PB"),
        (5.2e9, "bit/s", "5.2 Gbit/s"),
    ],
)
def test_numbers_are_told_with_two_or_three_digits(number: float, unit: str, text: str) -> None:
    assert shown(number, unit) == text
