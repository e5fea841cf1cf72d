"""A progress bar with rate and time left on a terminal, a line now and then in a log. Knows no work."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

_LINE_INTERVAL_S = 15.0


class Progress:
    """Counts what is done of a known total.

    Args:
        title: What is being done.
        total: How much there is.
        unit: What is counted.
        done: What an earlier run had done.
    """

    def __init__(self, title: str, total: int, unit: str, done: int = 0) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done = self._done_before = done
        self._started = self._told = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = Bar(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))
        self._task = self._bar.add_task(title, total=total, completed=done, note="")

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()
        if not sys.stderr.isatty():
            self._tell("")

    def advance(self, note: str = "") -> None:
        """Count one more, with a word on how it went."""
        self._done += 1
        self._bar.update(self._task, completed=self._done, note=note)
        if not sys.stderr.isatty() and time.monotonic() - self._told >= _LINE_INTERVAL_S:
            self._tell(note)

    def _tell(self, note: str) -> None:
        self._told = time.monotonic()
        rate = (self._done - self._done_before) / max(self._told - self._started, 1e-9)
        left = self._total - self._done
        eta = f"{left / rate / 60:.1f} min left" if rate else "time left unknown" if left else "done"
        text = f"{self._title}: {self._done}/{self._total} {self._unit}, {rate:.2f}/s, {eta}"
        print(f"{text}  {note}".rstrip(), file=sys.stderr, flush=True)
