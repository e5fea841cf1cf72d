"""`museed jamendo`: music from Jamendo's API, onto the disk."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from deploy.local.jamendo_client import JamendoClient
from deploy.local.jamendo_download import METADATA, MOST_TRACKS, download_tracks
from deploy.local.progress import COLUMNS, Bars
from deploy.local.tables import command, console, show_skipped
from deploy.local.trouble import told_errors

app = typer.Typer(no_args_is_help=True, help="Music under Creative Commons licences from Jamendo.")


@app.callback()
def main() -> None:
    """Music under Creative Commons licences from Jamendo."""


@app.command("download")
def download_command(
    folder: Annotated[Path, typer.Argument(help=f"Gets NN/ID.mp3 and {METADATA}; what is there is kept.")],
    client_id: Annotated[
        str, typer.Option(envvar="JAMENDO_CLIENT_ID", help="Of an application registered at developer.jamendo.com.")
    ],
    count: Annotated[int, typer.Option(min=1, max=MOST_TRACKS, help="At most this many tracks.")] = 200,
    tags: Annotated[str, typer.Option(help='Only with all of these, for example "pop+female".')] = "",
) -> None:
    """Download tracks, the most popular first. Safe to stop and to repeat: whole files are kept, half ones go on."""
    client = JamendoClient(client_id)
    with told_errors():
        try:
            with Progress(*COLUMNS, console=console) as progress:
                report = download_tracks(client, folder.expanduser(), count, tags, Bars(progress).reading)
        finally:
            client.close()
        show_skipped(report.left_out, None)
        console.print(
            f"{report.found} tracks: {report.downloaded} downloaded, {report.kept} there already, "
            f"{len(report.left_out)} left out. Bring them in with: {command(f'ingest jamendo {folder}')}",
            soft_wrap=True,
        )
