"""`museed encoder`: which models a library knows, the switch to another, and the way back."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from clients.python import operations
from clients.python.operations import EncoderRow, SwitchEncoderInput
from deploy.local import account, requests
from deploy.local.client import ClientError, GatewayClient, accepted
from deploy.local.patience import patiently
from deploy.local.progress import COLUMNS, Bars
from deploy.local.state import State
from deploy.local.tables import command, console
from deploy.local.trouble import told_errors

app = typer.Typer(no_args_is_help=True, help="Which model hears the library, and the switch to another one.")

StateOption = Annotated[
    Path, typer.Option("--state", envvar="MUSEED_STATE", help="Folder that holds everything the mesh keeps.")
]
DEFAULT_STATE = Path(".museed")
_POLL_INTERVAL_S = 0.5


def list_encoders(client: GatewayClient) -> tuple[EncoderRow, ...]:
    """Return all encoders, the serving one first.

    Raises:
        ClientError: The gateway is away, or the caller is no admin.
    """
    return operations.encoders(client)


@app.command("list")
def list_command(state: StateOption = DEFAULT_STATE) -> None:
    """Show every encoder of the library: what it is for, and how many tracks it knows."""
    with told_errors(), account.connect(state) as client:
        show_encoders(list_encoders(client))


@app.command("switch")
def switch_command(
    encoder: Annotated[str, typer.Argument(help="A name, a model folder, or a hub name: what MUSEED_ENCODER takes.")],
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Let another encoder hear the library, and serve it once it knows every track. Ctrl-C leaves the work going on."""
    with told_errors(_still_going_on()), account.connect(state) as client:
        list_encoders(client)  # a mesh that is away, and somebody who may not, are told before anything is started
        with console.status(f"starting {encoder} …"):
            encoder_id = _begin(client, state, encoder)
        _follow(client, encoder_id)


@app.command("rollback")
def rollback_command(state: StateOption = DEFAULT_STATE) -> None:
    """Give up the switch under way; without one, go back to the encoder before."""
    with told_errors(_still_going_on()), account.connect(state) as client:
        done = accepted(operations.rollback_encoder(client))
        serving = done.roles.serving_id or ""
        if done.given_up_id:
            console.print(f"The switch to {done.given_up_id} is given up; {serving} goes on serving.", soft_wrap=True)
        else:
            _follow(client, done.roles.candidate_id or serving)


def show_encoders(rows: Sequence[EncoderRow]) -> None:
    """Print encoders, one row each."""
    table = Table(title="encoders", title_justify="left")
    table.add_column("encoder", no_wrap=True)
    table.add_column("role", no_wrap=True)
    table.add_column("tracks it knows", justify="right")
    table.add_column("not audible", justify="right")
    table.add_column("embedder")
    for row in rows:
        table.add_row(
            row.encoder_id,
            row.role.lower(),
            f"{row.indexed_count} of {row.track_count}",
            str(row.failed_count),
            "runs" if row.is_running else "away",
            style="bold" if row.role == "SERVING" else None,
        )
    console.print(table)


def _begin(client: GatewayClient, state: Path, choice: str) -> str:
    """Have the encoder started and switched to; returns its id."""
    if os.environ.get("MUSEED_URL"):
        # A mesh of other machines: whoever runs it has started the second embedder already.
        accepted(operations.switch_encoder(client, SwitchEncoderInput(encoder_id=choice)))
        return choice
    folder = Path(choice).expanduser()
    return requests.ask(State.open(state), str(folder.resolve()) if folder.is_dir() else choice)


def _follow(client: GatewayClient, encoder_id: str) -> None:
    """Show how far an encoder is until it serves.

    Raises:
        ClientError: It was given up, or hears nothing.
    """
    started = time.monotonic()
    with Progress(*COLUMNS, console=console) as progress:
        bars = Bars(progress)
        while True:
            row = next(row for row in patiently(lambda: list_encoders(client)) if row.encoder_id == encoder_id)
            done, total = row.indexed_count + row.failed_count, row.track_count
            bars.embedding(done, total)
            if row.role == "SERVING":
                break
            if row.role != "CANDIDATE":
                raise ClientError(f"the switch to {encoder_id} was given up", "SWITCH_GIVEN_UP")
            if total and row.failed_count == total:
                raise ClientError(
                    f"{encoder_id} hears none of the {total} tracks, and will not be served. "
                    f"Give it up: {command('encoder rollback')}",
                    "ENCODER_HEARS_NOTHING",
                )
            time.sleep(_POLL_INTERVAL_S)
    seconds = time.monotonic() - started
    console.print(
        f"{encoder_id} serves {row.indexed_count} tracks; {row.failed_count} it cannot hear. {seconds:.1f} s.\n"
        f"Back to the one before: {command('encoder rollback')}",
        soft_wrap=True,
    )


def _still_going_on() -> str:
    return (
        f"A switch that has begun goes on in the mesh. How far it is: {command('encoder list')}. "
        f"Give it up: {command('encoder rollback')}"
    )
