"""Runs an ingest under progress bars, and shows what came of it."""

import json
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from deploy.local.client import GatewayClient
from deploy.local.ingest import IngestReport, ingest_folder
from deploy.local.tables import console, show_skipped

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


def ingest_with_progress(client: GatewayClient, folder: Path, exclude: frozenset[str] = frozenset()) -> IngestReport:
    """Ingest a folder while two bars show how far it is."""
    with Progress(*COLUMNS, console=console) as progress:
        return ingest_folder(client, folder, Bars(progress), exclude)


def show_ingest(report: IngestReport, report_file: Path | None = None) -> None:
    """Print what an ingest did, and write what it left out to a file."""
    if report_file is not None:
        with report_file.open("w") as file:
            for path, reason, message in report.left_out:
                file.write(json.dumps({"path": path, "reason": reason, "message": message}) + "\n")
    show_skipped(report.left_out, str(report_file) if report_file is not None else None)
    outcomes = ", ".join(f"{count} {name.lower()}" for name, count in sorted(report.outcomes.items())) or "none"
    console.print(
        f"{report.files} files with a name of audio, {report.other_files} others. Tracks: {outcomes}. "
        f"{report.indexed} of this folder can be played and found. {report.seconds:.1f} s."
    )
