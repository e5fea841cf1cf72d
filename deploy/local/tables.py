"""What the `museed` command shows: playlists, search results, reports and counts as tables."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clients.python.operations import JobStatus, TrackRow

# Markup is off: titles, paths and messages may hold brackets.
console = Console(highlight=False, markup=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

if TYPE_CHECKING:  # they show things themselves
    from deploy.local.playlists import WholePlaylist

_MAX_EXAMPLES = 3


def command(arguments: str) -> str:
    """Return a command line of `museed` as it can be typed here."""
    program = Path(sys.argv[0])
    inside = program.resolve().is_relative_to(Path.cwd())
    return f"{os.path.relpath(program) if inside else program.name} {arguments}"


def duration(seconds: float) -> str:
    """Return minutes and seconds, for example 3:07."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def job_line(job: JobStatus) -> str:
    """Return how far a job is, for example "embedding 40%, window 4 of 10, 3 s left"."""
    parts = [f"{job.state.lower()} {job.progress:.0%}"]
    if job.stage is not None and job.stage.total:
        parts.append(f"{job.stage.unit} {job.stage.done} of {job.stage.total}")
    if job.eta_seconds is not None:
        parts.append(f"{job.eta_seconds:.0f} s left")
    return ", ".join(parts)


def show_playlist(playlist: "WholePlaylist") -> None:
    """Print a playlist with one row for each entry, and where each can be heard."""
    table = Table(title=_two_lines(playlist.title, playlist.playlist_id), title_justify="left", expand=True)
    table.add_column("#", justify="right")
    table.add_column("title\nartist", ratio=1, no_wrap=True)
    table.add_column("genre\ntags", ratio=1, no_wrap=True)
    table.add_column("similarity", justify="right")
    table.add_column("length", justify="right")
    for number, entry in enumerate(playlist.entries, start=1):
        track = entry.track
        tags = ", ".join(tag.name for tag in track.tags[:3])
        table.add_row(
            str(number),
            _two_lines(track.title, track.artist),
            _two_lines(track.genre or "—", tags),
            "seed" if entry.is_seed else _similarity(entry.similarity),
            duration(track.duration_seconds),
            style="bold" if entry.is_seed else None,
        )
    console.print(table)


def show_urls(playlist: "WholePlaylist", count: int | None = None) -> None:
    """Print where entries can be played, one line each, ready to be copied."""
    for number, entry in enumerate(playlist.entries[:count], start=1):
        console.print(f"  {number:>2}. {entry.track.stream_url}", soft_wrap=True, markup=False)


def show_tracks(rows: Iterable[TrackRow], title: str) -> None:
    """Print tracks, one row each, with the id that `museed playlist --seed` takes."""
    table = Table(title=Text(title), title_justify="left")
    table.add_column("title, artist", overflow="fold")
    table.add_column("length", justify="right", no_wrap=True)
    table.add_column("track id", no_wrap=True)
    for track in rows:
        table.add_row(_two_lines(track.title, track.artist), duration(track.duration_seconds), track.track_id)
    console.print(table)


def show_skipped(rows: Sequence[tuple[str, str, str]], report: str | None) -> None:
    """Print files that did not get into the library as (path, reason, message): counts, and a few of each reason."""
    by_reason: dict[str, list[tuple[str, str]]] = {}
    for path, reason, message in rows:
        by_reason.setdefault(reason, []).append((path, message))
    for reason, left_out in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        console.print(f"{len(left_out)} left out: {reason}", style="bold")
        for path, message in left_out[:_MAX_EXAMPLES]:
            console.print(f"  {path}: {message}", soft_wrap=True)
        if len(left_out) > _MAX_EXAMPLES:
            console.print(f"  … and {len(left_out) - _MAX_EXAMPLES} more")
    if rows and report:
        console.print(f"The whole list: {report}", soft_wrap=True)


def show_counts(title: str, rows: Mapping[str, object]) -> None:
    """Print names and values in two columns."""
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(name, Text(str(value)))
    console.print(table)


def _two_lines(first: str, second: str | None) -> Text:
    return Text(first).append(f"\n{second or '—'}", style="dim")


def _similarity(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"
