"""Seeds of faults over a whole mesh, checked against all that people were told: the suite's short and long form."""

from pathlib import Path

import pytest

from tests.faults.run import plan_of, render_music, run_seed, summary


async def run(seed: int, count: int, pace: float, folder: Path, music: Path) -> None:
    library = render_music(music)
    report = await run_seed(seed, plan_of(seed, count, pace), folder, library, print)
    print(summary(report))
    assert report.findings == [], summary(report)
    assert report.faults.total() + report.missed == count
    assert report.events > 0


async def test_nothing_is_lost_doubled_stale_or_endless(memory_folder: Path, tmp_path: Path) -> None:
    await run(8668, 8, 0.5, memory_folder / "faults", tmp_path / "music")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 14))
async def test_nothing_is_lost_doubled_stale_or_endless_under_many_faults(tmp_path: Path, seed: int) -> None:
    await run(seed, 40, 1.0, tmp_path / "faults", tmp_path / "music")
