"""The `museed` command: starts the mesh on this machine, and is a client of its gateway."""

import asyncio
import signal
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from dotenv import load_dotenv

from clients.python import operations
from deploy.local import account
from deploy.local.backup_commands import backup_command, restore_command
from deploy.local.client import ClientError, GatewayClient
from deploy.local.encoder_commands import DEFAULT_STATE, StateOption, list_encoders, show_encoders
from deploy.local.encoder_commands import app as encoder_app
from deploy.local.ingest_commands import app as ingest_app
from deploy.local.jamendo_commands import app as jamendo_app
from deploy.local.mesh import running_mesh
from deploy.local.observe import CONSOLE, endpoint_of
from deploy.local.operator_command import operator_command
from deploy.local.playlists import make_playlist, search_tracks, seed_input
from deploy.local.restarts import restart_command
from deploy.local.secrets_command import secrets_command
from deploy.local.settings import LocalSettings
from deploy.local.state import StateError
from deploy.local.tables import command, console, job_line, show_counts, show_playlist, show_tracks, show_urls
from deploy.local.trouble import told_errors
from deploy.local.vectors_commands import app as vectors_app
from deploy.local.work import dead_letters_command, show_metrics, show_work
from services.chassis.settings import load

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(ingest_app, name="ingest")
app.add_typer(jamendo_app, name="jamendo")
app.add_typer(vectors_app, name="vectors")
app.add_typer(encoder_app, name="encoder")
app.command("dead-letters")(dead_letters_command)
app.command("backup")(backup_command)
app.command("restore")(restore_command)
app.command("restart")(restart_command)
app.command("operator")(operator_command)
app.command("secrets")(secrets_command)

# How the gateway refuses what only admins may see.
_NOT_FOR_EVERYBODY = frozenset({"PERMISSION_DENIED", "LOGIN_REQUIRED"})


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    """One song in, a playlist out. `museed up` serves the mesh; the other commands are clients of it."""
    load_dotenv(".env")  # what is set outside wins
    if version:
        console.print(metadata.version("museed"))
        raise typer.Exit


@app.command()
def up(
    state: StateOption = DEFAULT_STATE,
    encoder: Annotated[
        str,
        typer.Option(envvar="MUSEED_ENCODER", help="auto, museed-mini, musicnn-msd, musicnn-mtt, or a model folder."),
    ] = "auto",
    observe: Annotated[
        bool, typer.Option("--observe", help="Draw what each request does in all services, or send it to a collector.")
    ] = False,
    collector: Annotated[
        str, typer.Argument(help="With --observe: where to send spans instead, grpc://host:port.", show_default=False)
    ] = "",
    replicas: Annotated[
        int, typer.Option(envvar="MUSEED_REPLICAS", min=1, max=8, help="Processes of each service.")
    ] = 1,
) -> None:
    """Serve the whole mesh on this machine until Ctrl-C. Ports are settings: MUSEED_GATEWAY_PORT and so on."""
    settings = load(LocalSettings).model_copy(update={"state": state, "encoder": encoder, "replicas": replicas})
    if observe:
        settings = settings.model_copy(update={"observe": collector or CONSOLE})
    elif collector:
        raise typer.BadParameter(f"{collector!r} is only of use with --observe")
    if settings.observe not in ("", CONSOLE):
        try:
            endpoint_of(settings.observe)
        except StateError as error:
            raise typer.BadParameter(str(error)) from error
    with told_errors():
        asyncio.run(_serve(settings))


async def _serve(settings: LocalSettings) -> None:
    serving = asyncio.current_task()
    assert serving is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        async with running_mesh(settings, lambda text: console.print(text, soft_wrap=True)) as mesh:
            console.print(f"\nMUSEED is ready: {mesh.ports.url}", style="bold", soft_wrap=True)
            console.print(f"GraphiQL: {mesh.ports.url}/graphql", soft_wrap=True)
            console.print(f"State and logs: {settings.state.expanduser().resolve()}", soft_wrap=True)
            console.print("In another terminal:")
            for example in ("ingest folder ~/Music", "search TEXT", "playlist --seed FILE"):
                console.print(f"  {command(example)}")
            if settings.observe:
                where = "here" if settings.observe == CONSOLE else f"to {settings.observe}"
                console.print(f"Spans of requests go {where}.", soft_wrap=True)
            console.print("Ctrl-C stops.\n")
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        console.print("Stopped. The next start goes on where this was.")


@app.command()
def demo(
    music: Annotated[
        Path | None, typer.Option(help="A folder of music; without it the demo renders a small library of its own.")
    ] = None,
    state: Annotated[Path, typer.Option(help="The demo's own folder.")] = Path(".museed/demo"),
) -> None:
    """Ingest a folder, make a playlist from an upload and one from a track, and stop."""
    from deploy.local.demo import run_demo  # music21 is slow to load, and only the demo needs it

    with told_errors():
        asyncio.run(run_demo(music, state))


@app.command()
def playlist(
    seed: Annotated[list[str], typer.Option(help="An audio file, or the id of a track. Can be given again.")],
    length: Annotated[int, typer.Option(help="Tracks beside the seeds, 1 to 500.")] = 25,
    max_per_artist: Annotated[int, typer.Option(help="Most tracks of one artist.")] = 3,
    title: Annotated[str, typer.Option(help="Named after the seeds when it is left out.")] = "",
    urls: Annotated[bool, typer.Option(help="Print where each track can be played.")] = True,
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Make a playlist from one or more seeds."""
    with told_errors(), account.connect(state) as client:
        seeds = [seed_input(client, text) for text in seed]
        with console.status("asking …") as status:
            made = make_playlist(
                client,
                seeds,
                lambda job: status.update(job_line(job)),
                length=length,
                max_per_artist=max_per_artist,
                title=title,
            )
        show_playlist(made)
        if urls:
            show_urls(made)


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="Part of a title, an artist or an album; small typos do not matter.")],
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Find tracks of the library."""
    with told_errors(), account.connect(state) as client:
        rows = search_tracks(client, text, limit)
        if rows:
            show_tracks(rows, f"{len(rows)} tracks like {text!r}")
        else:
            console.print(f"No track is like {text!r}. What is there: {command('status')}")


@app.command()
def status(state: StateOption = DEFAULT_STATE) -> None:
    """Show what the mesh holds, what is under way, and what could not be done."""
    with told_errors(), account.connect(state) as client:
        stats = operations.stats(client)
        console.print(f"The mesh at {client.url} is up.")
        counts = {
            "tracks": stats.track_count,
            "tracks in the index": stats.indexed_count,
            "people": stats.user_count,
            "playlists": stats.playlist_count,
        }
        show_counts("library", counts)
        if stats.genres:
            show_counts("genres", {row.genre: row.track_count for row in stats.genres})
        else:
            console.print(f"The library is empty. Fill it with: {command('ingest folder ~/Music')}")
        _show_what_admins_see(client)
        show_metrics(state)


def _show_what_admins_see(client: GatewayClient) -> None:
    try:
        show_encoders(list_encoders(client))
    except ClientError as error:
        if error.code not in _NOT_FOR_EVERYBODY:
            raise
        return
    try:
        show_work(client)
    except ClientError as error:  # NATS is away, or the gateway knows nothing of it: all else is still worth telling
        console.print(f"What is under way cannot be told: {error.code}: {error}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    app()
