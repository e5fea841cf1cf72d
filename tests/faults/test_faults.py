"""One seed of faults over a whole mesh, checked against all that people were told: the short form of the suite."""

from pathlib import Path

from tests.e2e.conftest import render_library
from tests.faults.history import Outcome
from tests.faults.run import plan_of, run_seed, summary

# Chosen for its faults: of most kinds, on most processes.
SEED = 3
FAULTS = 8
PACE = 0.5


async def test_nothing_is_lost_doubled_stale_or_endless(memory_folder: Path, tmp_path: Path) -> None:
    library = render_library(tmp_path / "music", artists=2, tracks=2)
    faults = plan_of(SEED, FAULTS, PACE)
    folder = memory_folder / "faults"
    folder.mkdir()
    report = await run_seed(SEED, faults, folder, library, print)
    print(summary(report))
    assert report.findings == [], summary(report)
    assert report.faults.total() == FAULTS
    assert report.operations[Outcome.DONE] > 0
