"""Runs seeds of faults until stopped, each once; `make test-faults`, and with SEED=N one of them again."""

import argparse
import asyncio
import itertools
import json
import math
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.faults.findings import Finding, Kind
from tests.faults.history import Outcome
from tests.faults.run import Report, plan_of, render_music, run_seed, summary
from tests.faults.table import render_plans, render_summary

_DONE = Path(".museed/faults/done.jsonl")


def main() -> int:
    """Run, and return 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=_natural, help="run this one alone, whether it was run before or not")
    parser.add_argument("--first", type=_natural, default=1, help="seed to begin with")
    parser.add_argument("--seeds", type=_natural, help="stop after so many; without it, when interrupted")
    parser.add_argument("--faults", type=_natural, default=40, help="faults of a seed (40)")
    parser.add_argument("--pace", type=_positive, default=1.0, help="multiplies every pause and duration")
    parser.add_argument("--done", type=Path, default=_DONE, help=f"remembers what was run ({_DONE})")
    parser.add_argument("--plan", action="store_true", help="print the plan of --seed, or which faults --seeds hold")
    parser.add_argument("--table", action="store_true", help="print what came of the seeds that were run")
    given = parser.parse_args()
    if given.plan and given.seeds:
        seeds = range(given.first, given.first + given.seeds)
        print(render_plans({seed: plan_of(seed, given.faults, given.pace) for seed in seeds}))
        return 0
    if given.plan:
        print(*plan_of(given.first if given.seed is None else given.seed, given.faults, given.pace), sep="\n")
        return 0
    if given.table:
        return _print_table(_rows(given.done))
    _end_in_order()
    given.done.parent.mkdir(parents=True, exist_ok=True)
    library = render_music(Path(mkdtemp(prefix="museed-faults-music-")))
    try:
        for seed in _seeds(given):
            _run(seed, given, library)
    except KeyboardInterrupt:
        pass
    finally:
        shutil.rmtree(library, ignore_errors=True)
    return _print_table(_rows(given.done))


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return int(text)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _end_in_order() -> None:
    """Stop the mesh whichever way this is asked to end; a shell has what it starts in the background ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def _seeds(given: argparse.Namespace) -> Iterator[int]:
    if given.seed is not None:
        yield given.seed
        return
    done = {row["seed"] for row in _rows(given.done) if (row["count"], row["pace"]) == (given.faults, given.pace)}
    left = (seed for seed in itertools.count(given.first) if seed not in done)
    yield from itertools.islice(left, given.seeds)


def _run(seed: int, given: argparse.Namespace, library: Path) -> None:
    faults = plan_of(seed, given.faults, given.pace)
    folder = Path(mkdtemp(prefix=f"museed-faults-{seed}-"))
    print(f"seed {seed}, {len(faults)} faults, in {folder}", flush=True)
    try:
        report = asyncio.run(run_seed(seed, faults, folder, library, _say))
    except KeyboardInterrupt:  # as if it had not been begun: it comes again
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except Exception as error:  # a mesh that does not even start is a finding, and the next seed may say more
        traceback.print_exc()
        report = Report(seed, findings=[Finding(Kind.ENDLESS, f"the run ended with {error!r}")])
    print(summary(report), flush=True)
    with given.done.open("a") as file:
        file.write(json.dumps({"count": given.faults, "pace": given.pace, **_row(report)}) + "\n")
    if report.findings:
        again = f"make test-faults SEED={seed} FAULTS={given.faults} ARGS=--pace={given.pace}"
        print(f"  again with: {again}; logs and history: {folder}", flush=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _say(text: str) -> None:
    print(f"  {text.splitlines()[0]}", flush=True)  # below it stand the last lines of a log, which is kept


def _row(report: Report) -> dict[str, Any]:
    return {
        "seed": report.seed,
        "took_s": round(report.took_s),
        "longest_s": round(report.longest_s, 1),
        "places": report.places,
        "missed": report.missed,
        "overlapping": report.overlapping,
        "operations": report.operations,
        "kinds": report.kinds,
        "jobs": report.jobs,
        "events": report.events,
        "heard": report.heard,
        "findings": [str(finding) for finding in report.findings],
        "broken": {kind: report.found(kind) for kind in Kind},
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row for row in rows if "missed" in row]  # the others are of an older suite, whose plans were others
    return list({(row["seed"], row["count"], row["pace"]): row for row in rows}.values())


def _print_table(rows: list[dict[str, Any]]) -> int:
    """Print what came of all seeds that were run, each as it was last; returns 1 where something was found."""
    print(f"\n{render_summary(rows)}")
    failed = [row["seed"] for row in rows if row["findings"]]
    if failed:
        print(f"\nfailed seeds: {', '.join(map(str, failed))}")
    return 1 if failed or not any(row["operations"].get(Outcome.DONE) for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
