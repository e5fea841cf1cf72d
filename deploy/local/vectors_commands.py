"""`museed vectors`: what an encoder heard, out of a library and into another."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from clients.python.operations import EncoderRow
from deploy.local import account
from deploy.local.client import ClientError, GatewayClient
from deploy.local.encoder_commands import DEFAULT_STATE, StateOption, list_encoders
from deploy.local.ingest_calls import register_root
from deploy.local.progress import COLUMNS, Bars
from deploy.local.tables import console, show_counts, show_skipped
from deploy.local.trouble import told_errors
from deploy.local.vectors_io import MATRIX, ROWS, export_vectors, import_vectors, open_matrix

app = typer.Typer(no_args_is_help=True, help="Vectors of recordings as files: a NumPy matrix with a line for each row.")

_WORDS = {
    "STORED": "stored, on their way to the index",
    "KNOWN": "known already",
    "NO_TRACK": "of no track of this library",
    "REFUSED": "refused",
}


@app.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(help=f"Gets {MATRIX} and {ROWS}.")],
    encoder: Annotated[str | None, typer.Option(help="Its id or its name; the serving one without it.")] = None,
    root: Annotated[Path | None, typer.Option(help="Only of the tracks of this folder of music.")] = None,
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Write every recording's vector: a float32 matrix, and JSON Lines with the hash of each row's audio."""
    with told_errors(), account.connect(state) as client:
        encoder_id, row = _encoder(client, encoder)
        if root is not None and not root.expanduser().is_dir():
            raise ClientError(f"there is no folder {root}", "UNREADABLE")
        root_id = register_root(client, str(root.expanduser().resolve())) if root is not None else None
        with Progress(*COLUMNS, console=console) as progress:
            bars = Bars(progress)
            total = row.indexed_count
            dimension = row.dimension
            count = export_vectors(
                client, encoder_id, dimension, folder, root_id, lambda done: bars.embedding(done, max(done, total))
            )
        console.print(f"{count} vectors of {dimension} numbers by {encoder_id}: {folder / MATRIX}", soft_wrap=True)


@app.command("import")
def import_command(
    folder: Annotated[Path, typer.Argument(help=f"Holds {MATRIX} and {ROWS}.")],
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Take vectors in, so that these recordings need not be heard here. Nothing that is known is replaced."""
    with told_errors(), account.connect(state) as client:
        dimensions = {row.encoder_id: row.dimension for row in list_encoders(client)}
        total = open_matrix(folder / MATRIX).shape[0]
        with Progress(*COLUMNS, console=console) as progress:
            bars = Bars(progress)
            report = import_vectors(client, dimensions, folder, lambda done: bars.reading(done, total))
        show_skipped(report.left_out, None)
        show_counts("vectors", {_WORDS[name]: count for name, count in report.outcomes.items()} or {"vectors": 0})
        console.print(f"{report.rows} rows, {len(report.left_out)} left out.")


def _encoder(client: GatewayClient, wanted: str | None) -> tuple[str, EncoderRow]:
    """Return an encoder's id and what the library says of it."""
    rows = list_encoders(client)
    if wanted is None:
        found = [row for row in rows if row.role == "SERVING"]
    else:
        found = [row for row in rows if wanted in (row.encoder_id, row.name)]
    if len(found) != 1:
        known = ", ".join(row.encoder_id for row in rows) or "none"
        raise ClientError(f"not one encoder {wanted or 'is served'}; the library knows: {known}", "ENCODER_NOT_FOUND")
    return found[0].encoder_id, found[0]
