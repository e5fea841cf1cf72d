"""Runs an ingest under progress bars, and shows what came of it."""

from collections.abc import Iterable
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from deploy.local.client import GatewayClient
from deploy.local.files import MIN_DURATION_S
from deploy.local.ingest import ingest_folder
from deploy.local.ingest_ledger import Ledger
from deploy.local.ingest_report import OUTCOMES, IngestReport, write_report
from deploy.local.ingest_sources import ingest_rows
from deploy.local.tables import console, show_counts, show_skipped
from services.social.sources.rows import LeftOut, SourceTrack

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TextColumn("{task.fields[rate]}"),
)


class Bars:
    """Two progress bars: files that are read here, tracks that are heard by the mesh."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def reading(self, done: int, total: int) -> None:
        """Show how many files were read."""
        self._show("reading files", done, total)

    def embedding(self, done: int, total: int) -> None:
        """Show how many tracks were heard, how many a second, and how long the rest takes."""
        self._show("hearing tracks", done, total)

    def _show(self, name: str, done: int, total: int) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, first=done, rate="")
        self._progress.update(self._tasks[name], completed=done, total=total)
        self._progress.update(self._tasks[name], rate=self._rate(self._tasks[name]))

    def _rate(self, task_id: TaskID) -> str:
        task = self._progress.tasks[task_id]
        fresh = task.completed - task.fields["first"]
        if not task.elapsed or fresh <= 0:
            return ""
        rate = fresh / task.elapsed
        left = (task.total or 0) - task.completed
        return f"{rate:.1f}/s, {left / rate:.0f} s left" if left > 0 else f"{rate:.1f}/s"


def ingest_with_progress(
    client: GatewayClient, folder: Path, exclude: frozenset[str] = frozenset(), ledger: Path | None = None
) -> IngestReport:
    """Ingest a folder while two bars show how far it is."""
    with Progress(*COLUMNS, console=console) as progress, Ledger(ledger) as remembered:
        return ingest_folder(client, folder, Bars(progress), exclude, remembered)


def ingest_rows_with_progress(
    client: GatewayClient,
    folder: Path,
    rows: Iterable[SourceTrack | LeftOut],
    ledger: Path | None = None,
    min_duration_s: float = MIN_DURATION_S,
) -> IngestReport:
    """Ingest what a source names while two bars show how far it is."""
    with Progress(*COLUMNS, console=console) as progress, Ledger(ledger) as remembered:
        return ingest_rows(client, folder, rows, Bars(progress), remembered, min_duration_s)


def show_ingest(
    report: IngestReport, report_file: Path | None = None, what: str = "files with a name of audio"
) -> None:
    """Print what an ingest did, and write every file that it changed or left out to a file.

    Args:
        report: What it did.
        report_file: Where JSON Lines go; None writes none.
        what: What was counted.
    """
    if report_file is not None:
        write_report(report, report_file)
    show_skipped(report.left_out, str(report_file) if report_file is not None else None)
    rows: dict[str, object] = {
        words: report.outcomes[name] for name, words in OUTCOMES.items() if report.outcomes.get(name)
    }
    if report.unread:
        rows[OUTCOMES["UNCHANGED"]] = f"{report.outcomes['UNCHANGED']} ({report.unread} not opened)"
    show_counts("tracks", rows or {"registered": 0})
    others = f", {report.other_files} others" if report.other_files else ""
    console.print(
        f"{report.files} {what}{others}. {len(report.left_out)} left out. "
        f"{report.indexed} of this folder can be played and found. {report.seconds:.1f} s.",
        soft_wrap=True,
    )
    if report.warning:
        console.print(f"Beware: {report.warning}", soft_wrap=True)
