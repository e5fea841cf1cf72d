"""Brings the tracks in that a source names: rows of a manifest or of a data set, each with a file below one folder."""

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from deploy.local.client import ClientError, GatewayClient
from deploy.local.files import MIN_DURATION_S, Candidate, Skipped
from deploy.local.ingest_ledger import Ledger, readings
from deploy.local.ingest_report import IngestReport
from deploy.local.ingest_run import IngestProgress, IngestRun
from services.social.sources.rows import LeftOut, SourceTrack

FILE_MISSING = "FILE_MISSING"
DUPLICATE = "DUPLICATE"
DUPLICATE_ROW = "DUPLICATE_ROW"


def ingest_rows(
    client: GatewayClient,
    folder: Path,
    rows: Iterable[SourceTrack | LeftOut],
    progress: IngestProgress,
    ledger: Ledger | None = None,
    min_duration_s: float = MIN_DURATION_S,
) -> IngestReport:
    """Register the tracks of a source and wait until each one is heard or known not to be.

    Every row is counted: it is registered, or left out with its reason. What a source says goes before a file's own
    tags. Of files with the very same audio the first row counts. Safe to stop and to repeat: no file is read twice
    where there is a ledger, and every row is registered again, so that what a source says otherwise is seen.

    Args:
        client: Logged in as an admin.
        folder: Below it lie the files, as the processes that read media see it.
        rows: Of one of the parsers.
        progress: Told how far it is.
        ledger: Remembers what was read.
        min_duration_s: Shorter recordings are left out.

    Raises:
        ClientError: The gateway is away, refuses, or the folder is none.
        SourceError: The source cannot be used.
    """
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise ClientError(f"there is no folder {folder}", "UNREADABLE")
    wanted, left_out = _wanted(rows)
    run = IngestRun(client, folder, progress)
    run.report.files = len(wanted) + len(left_out)
    run.report.left_out += left_out
    run.look_for_missing(frozenset())
    first_of: dict[bytes, str] = {}
    done = len(left_out)
    progress.reading(done, run.report.files)
    with closing(readings(_there(folder, wanted, run), ledger or Ledger(None), min_duration_s)) as results:
        for candidate, reading in results:
            if isinstance(reading, Skipped):
                run.leave_out(reading)
            elif (first := first_of.setdefault(reading.audio_hash, candidate.relative_path)) != candidate.relative_path:
                run.report.left_out.append((reading.display_path, DUPLICATE, f"the same audio as {first}"))
            else:
                run.add(reading, wanted[candidate.relative_path])
            done += 1
            progress.reading(done, run.report.files)
    progress.reading(run.report.files, run.report.files)
    return run.finish()


def _wanted(
    rows: Iterable[SourceTrack | LeftOut],
) -> tuple[dict[str, SourceTrack], list[tuple[str, str, str]]]:
    """Return tracks by path, and what is left out as (place, reason, message)."""
    wanted: dict[str, SourceTrack] = {}
    left_out: list[tuple[str, str, str]] = []
    for row in rows:
        if isinstance(row, LeftOut):
            left_out.append((row.place, row.reason.value, row.message))
        elif row.path in wanted:
            left_out.append((row.path, DUPLICATE_ROW, "another row names this file already"))
        else:
            wanted[row.path] = row
    return wanted, left_out


def _there(folder: Path, wanted: Iterable[str], run: IngestRun) -> Iterator[Candidate]:
    """Walk the files that are there."""
    for path in wanted:
        if os.path.lexists(folder / path):
            yield Candidate(folder, path)
        else:
            run.report.left_out.append((path, FILE_MISSING, "there is no such file"))
