"""Tells expected errors of the `museed` command in one sentence."""

import contextlib
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool

import typer

from deploy.local.archive import BackupError
from deploy.local.client import ClientError
from deploy.local.process import StartError
from deploy.local.tables import errors


@contextlib.contextmanager
def told_errors(interrupted: str = "Interrupted; run it again to go on.") -> Iterator[None]:
    """Say expected errors in one sentence and exit with 1; with 130 after Ctrl-C.

    Args:
        interrupted: What to say after Ctrl-C.
    """
    try:
        yield
    except ClientError as error:
        where = f" ({error.field}: {error.value})" if error.field and error.value else ""
        errors.print(f"error: {error.code}: {error}{where}", markup=False)
        raise typer.Exit(1) from None
    except (BackupError, StartError, OSError, BrokenProcessPool) as error:
        errors.print(f"error: {error}", markup=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        errors.print(interrupted, markup=False)
        raise typer.Exit(130) from None
