"""Hears a huge catalogue on many machines: `python -m services.embedder.bulk MANIFEST OUT`; see the README.

Goes on where it was when it is run again. Needs the extra `bulk`.
"""

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TextIO

from services.chassis import settings
from services.embedder.bulk.output import PartReport, RunError, RunFolder
from services.embedder.bulk.rows import ManifestError, digest, parts
from services.embedder.settings import EncodingSettings


def read_arguments(given: list[str] | None) -> argparse.Namespace:
    """Read the command line; ends the process where it is none."""
    parser = argparse.ArgumentParser(prog="python -m services.embedder.bulk", description=__doc__)
    parser.add_argument("manifest", type=Path, help="JSON Lines or .parquet: path, and audio_hash where it is known")
    parser.add_argument("out", type=Path, help="gets parts/NNNNNN, each a folder for `museed vectors import`")
    parser.add_argument("--root", type=Path, help="of relative paths; without it the manifest's folder")
    parser.add_argument(
        "--part-rows", type=int, default=2_000, help="written together; lost together by a killed worker"
    )
    parser.add_argument("--workers", type=int, default=0, help="0 is as many as the cluster holds")
    parser.add_argument("--cpus", type=float, default=2, help="of each worker")
    parser.add_argument("--gpus", type=float, default=0, help="of each worker; a part of one is allowed")
    parser.add_argument("--address", help="of the cluster; without it RAY_ADDRESS, else a Ray on this machine alone")
    chosen = parser.parse_args(given)
    if chosen.part_rows < 1 or chosen.workers < 0 or chosen.cpus <= 0 or chosen.gpus < 0:
        parser.error("--part-rows, --cpus must be above 0, --workers and --gpus not below")
    return chosen


def main(given: list[str] | None = None, answers: TextIO | None = None) -> int:
    """Hear what is not there yet, and print one line a part and a summary.

    Args:
        given: The command line; None takes the process's own.
        answers: Where lines go; None is standard output.

    Returns:
        0 where every row has an end, left out ones included; 1 with one line where the run cannot go on.
    """
    arguments = read_arguments(given)
    chosen = settings.load(EncodingSettings)
    manifest, out = arguments.manifest.resolve(), arguments.out.resolve()
    try:
        sha256 = digest(manifest)
    except ManifestError as error:
        print(error, file=sys.stderr)
        return 1
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    # Ray takes seconds, and what can be refused was.
    from services.embedder.bulk.workers import RunFailed, Share, Workers, join, places

    root = (arguments.root or manifest.parent).resolve()
    share, folder, total = Share(arguments.cpus, arguments.gpus), RunFolder(out), Counter[str]()

    def told(report: PartReport) -> None:
        total.update({"HEARD": report.heard, **report.left_out})
        print(
            json.dumps({"part": report.number, "heard": report.heard, "left_out": report.left_out}),
            file=answers,
            flush=True,
        )

    try:
        join(arguments.address)
        workers = Workers(arguments.workers or places(share), share, chosen, root, out)
        folder.begin(sha256, arguments.part_rows, workers.encoder_id())
        folder.tidy()
        todo = parts(manifest, arguments.part_rows)
        workers.hear((part for part in todo if not _is_known(folder, part.number, total)), told)
    except (ManifestError, RunError, RunFailed) as error:
        print(error, file=sys.stderr)
        return 1
    heard = total.pop("HEARD", 0)
    summary = {"rows": heard + total.total(), "heard": heard, "left_out": dict(sorted(total.items()))}
    print(json.dumps(summary), file=answers, flush=True)
    return 0


def _is_known(folder: RunFolder, number: int, total: Counter[str]) -> bool:
    if not folder.is_done(number):
        return False
    report = folder.report(number)
    total.update({"HEARD": report.heard, **report.left_out})
    return True


if __name__ == "__main__":
    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray tells there, past Python, what it thinks of dead workers
    raise SystemExit(main(answers=own))
