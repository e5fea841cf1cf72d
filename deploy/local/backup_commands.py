"""`museed backup` and `museed restore`."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.local.backup import back_up, restore
from deploy.local.encoder_commands import DEFAULT_STATE, StateOption
from deploy.local.tables import command, console
from deploy.local.trouble import told_errors

_MB = 1_000_000


def backup_command(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not be there yet.")],
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Write the whole library to one file: people, playlists, vectors, uploads. The mesh may run meanwhile.

    Music that was read in place stays where it is.
    """
    with told_errors("Interrupted; nothing was written."), console.status("backing up …"):
        made = back_up(state, file)
    console.print(f"Backed up {made.files} files, {made.size_bytes / _MB:.1f} MB, to {file}", soft_wrap=True)
    console.print("Whoever has it can be everybody of this mesh: keep it as safe as the state folder.")


def restore_command(
    file: Annotated[Path, typer.Argument(help="A file that `museed backup` wrote.")],
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Bring a library back from a backup, into an empty state folder."""
    with told_errors("Interrupted; nothing was restored."), console.status("restoring …"):
        restore(file, state)
    console.print(f"Restored to {state.expanduser().resolve()}", soft_wrap=True)
    console.print(f"Serve it: {command('up')}. The index fills itself from the database.")
