"""Seeds are run once each: whoever stops in between goes on where it was, and a seed that failed can be run again."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import __main__ as faults
from tests.faults.findings import Finding, Kind
from tests.faults.run import Report


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[tuple[int, int, Path]]]:
    """Which seeds were begun, with how many faults and where; none has a mesh, and the seed 3 fails."""
    begun: list[tuple[int, int, Path]] = []

    async def run_seed(seed: int, plan: list[object], folder: Path, *_: object) -> Report:
        await asyncio.sleep(0)
        begun.append((seed, len(plan), folder))
        (folder / "state").mkdir()
        return Report(
            seed,
            faults=Counter({"kill": len(plan)}),
            places=Counter({"kill nats": len(plan)}),
            operations=Counter({"done": 10}),
            kinds=Counter({"create": 7, "read_list": 3}),
            findings=[Finding(Kind.LOST, "a list")] if seed == 3 else [],
            missed=1,
            overlapping=2,
            events=5,
        )

    monkeypatch.setattr(faults, "run_seed", run_seed)
    monkeypatch.setattr(faults, "render_music", lambda folder: folder)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield begun
    for number, handler in handlers.items():
        signal.signal(number, handler)


def main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *arguments: str) -> int:
    done = str(tmp_path / "done.jsonl")
    monkeypatch.setattr(sys, "argv", ["faults", "--done", done, "--faults", "4", *arguments])
    return faults.main()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_seed_comes_again_and_the_others_do_not(
    runs: list[tuple[int, int, Path]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    whole = getattr(faults, "run_seed")  # noqa: B009  # as the module has it
    is_cleared: list[bool] = []

    async def interrupted(seed: int, *rest: object) -> Report:
        report: Report = await whole(seed, *rest)
        if seed == 2:
            os.kill(os.getpid(), number)
            try:
                await asyncio.sleep(60)
            finally:
                is_cleared.append(True)  # where a mesh is stopped
        return report

    monkeypatch.setattr(faults, "run_seed", interrupted)
    # As a shell leaves it to what it starts in the background.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert main(monkeypatch, tmp_path) == 0
    assert is_cleared == [True]
    assert "1 seeds, 4 faults" in capsys.readouterr().out
    assert not runs[1][2].exists()

    monkeypatch.setattr(faults, "run_seed", whole)
    assert main(monkeypatch, tmp_path, "--seeds", "3") == 1
    assert [(seed, count) for seed, count, _ in runs] == [(1, 4), (2, 4), (2, 4), (3, 4), (4, 4)]
    out = capsys.readouterr().out
    assert "4 seeds, 16 faults in 0 minutes, 8 of which began while another lasted for the same process or a " in out
    assert "link of it (4 more found nothing to be done to): " in out
    assert "28 changes acknowledged, 12 reads judged" in out
    assert "| lost | doubled | stale | foreign | endless | refused |\n" in out
    assert "\n| 1 | 0 | 0 | 0 | 0 | 0 |\n" in out
    assert "| kill | 16 | nats 16 |" in out


def test_failed_seed_keeps_its_folder_and_tells_how_to_run_it_again(
    runs: list[tuple[int, int, Path]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(monkeypatch, tmp_path, "--seed", "3", "--pace", "0.5") == 1
    out = capsys.readouterr().out
    assert "again with: make test-faults SEED=3 FAULTS=4 ARGS=--pace=0.5" in out
    assert "failed seeds: 3" in out
    assert runs[0][2].exists()
    assert main(monkeypatch, tmp_path, "--seed", "3", "--pace", "0.5") == 1
    assert "1 seeds, 4 faults" in capsys.readouterr().out
    assert main(monkeypatch, tmp_path, "--table") == 1
    assert "1 seeds, 4 faults" in capsys.readouterr().out


def test_table_of_plans_says_where_each_kind_comes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["faults", "--plan", "--seeds", "13"])
    assert faults.main() == 0
    out = capsys.readouterr().out
    assert out.startswith("13 seeds, 520 faults\n\n| fault | times | where |\n|---|---|---|\n| blackout |")
    assert "| wipe |" in out


def test_plan_of_seed_0_is_its_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for seed in ("0", "1"):
        monkeypatch.setattr(sys, "argv", ["faults", "--plan", "--seed", seed])
        assert faults.main() == 0
        told.append(capsys.readouterr().out)
    assert told[0] != told[1]


@pytest.mark.parametrize("given", [("--seed", "-1"), ("--faults", "-3"), ("--pace", "0"), ("--pace", "nan")])
def test_numbers_that_make_no_plan_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: tuple[str, str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["faults", "--plan", *given])
    with pytest.raises(SystemExit):
        faults.main()
    assert given[0] in capsys.readouterr().err
