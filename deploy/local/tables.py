"""What the `museed` command shows: playlists, search results, reports and counts as tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

console = Console(highlight=False)

_MAX_REPORT_ROWS = 20


def duration(seconds: float) -> str:
    """Return minutes and seconds, for example 3:07."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def show_playlist(playlist: Mapping[str, Any]) -> None:
    """Print a playlist with one row for each entry, and where each can be heard."""
    table = Table(title=f"{playlist['title']}\n[dim]{playlist['playlistId']}[/dim]", title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("title", ratio=3)
    table.add_column("artist", ratio=2)
    table.add_column("genre")
    table.add_column("tags", ratio=3)
    table.add_column("similarity", justify="right")
    table.add_column("length", justify="right")
    entries: Sequence[Mapping[str, Any]] = playlist["entries"]
    for number, entry in enumerate(entries, start=1):
        track = entry["track"]
        similarity = "seed" if entry["isSeed"] else _similarity(entry["similarity"])
        table.add_row(
            str(number),
            Text(track["title"]),
            Text(track["artist"] or "—"),
            track["genre"],
            ", ".join(tag["name"] for tag in track["tags"][:3]),
            similarity,
            duration(track["durationSeconds"]),
            style="bold" if entry["isSeed"] else None,
        )
    console.print(table)


def show_urls(playlist: Mapping[str, Any], count: int | None = None) -> None:
    """Print where entries can be played, one line each, ready to be copied."""
    for number, entry in enumerate(playlist["entries"][:count], start=1):
        console.print(f"  {number:>2}. {entry['track']['streamUrl']}", soft_wrap=True, markup=False)


def show_tracks(rows: Iterable[Mapping[str, Any]], title: str) -> None:
    """Print tracks, one row each, with the id that `museed playlist --seed` takes."""
    table = Table(title=title, title_justify="left")
    for name in ("title", "artist", "album", "genre", "length", "track id"):
        table.add_column(name, overflow="fold", no_wrap=name == "track id")
    for track in rows:
        table.add_row(
            Text(track["title"]),
            Text(track["artist"] or "—"),
            Text(track["album"] or "—"),
            track["genre"],
            duration(track["durationSeconds"]),
            track["trackId"],
        )
    console.print(table)


def show_skipped(rows: Sequence[tuple[str, str, str]], report: str | None) -> None:
    """Print files that did not get into the library as (path, reason, message), counted by reason."""
    if not rows:
        return
    counts: dict[str, int] = {}
    for _, reason, _ in rows:
        counts[reason] = counts.get(reason, 0) + 1
    summary = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda row: -row[1]))
    table = Table(title=f"{len(rows)} files were left out: {summary}", title_justify="left")
    for name in ("file", "reason", "why"):
        table.add_column(name, overflow="fold")
    for path, reason, message in rows[:_MAX_REPORT_ROWS]:
        table.add_row(Text(path), reason, Text(message))
    if len(rows) > _MAX_REPORT_ROWS:
        table.add_row("…", f"{len(rows) - _MAX_REPORT_ROWS} more", f"all of them: {report}" if report else "")
    console.print(table)


def show_counts(title: str, rows: Mapping[str, object]) -> None:
    """Print names and values in two columns."""
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(name, Text(str(value)))
    console.print(table)


def _similarity(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"
