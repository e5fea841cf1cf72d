"""Brings a folder of music into the library: read here, registered at the gateway, waited for until all is heard."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from deploy.local.client import ClientError, GatewayClient
from deploy.local.files import Candidate, Skipped, Tally, scan
from deploy.local.ingest_ledger import Ledger, readings
from deploy.local.ingest_report import IngestReport
from deploy.local.ingest_run import IngestProgress, IngestRun

__all__ = ["IngestProgress", "IngestReport", "ingest_folder"]


def ingest_folder(
    client: GatewayClient,
    folder: Path,
    progress: IngestProgress,
    exclude: frozenset[str] = frozenset(),
    ledger: Ledger | None = None,
) -> IngestReport:
    """Register every track of a folder and wait until each one is in the index or is known not to be embeddable.

    Safe to stop and to repeat: files whose size and time of change are those that were registered are not opened, and
    what is in the library already is not embedded again. A file that lies elsewhere now keeps its track; one that is
    gone is marked missing.

    Args:
        client: Logged in as an admin.
        folder: As the processes that read media see it.
        progress: Told how far it is.
        exclude: Relative paths that are left alone.
        ledger: Remembers what was read.

    Raises:
        ClientError: The gateway is away, refuses, or the folder cannot be read.
    """
    folder = folder.expanduser().resolve()
    tally = Tally()
    try:
        everything = list(scan(folder, tally))
    except OSError as error:
        raise ClientError(f"cannot read the folder {folder}: {error.strerror}", "UNREADABLE") from error
    run = IngestRun(client, folder, progress)
    run.look_for_missing({item.relative_path.encode() for item in everything if isinstance(item, Candidate)})
    found = [item for item in everything if _path(item) not in exclude]
    run.report.files, run.report.other_files = len(found), tally.other_files
    done = 0

    def to_read() -> Iterator[Candidate]:
        nonlocal done
        for item in found:
            if isinstance(item, Candidate) and not run.is_unchanged(item):
                yield item
                continue
            done += 1
            if isinstance(item, Skipped):
                run.leave_out(item)
            else:
                run.skip_unchanged()

    progress.reading(0, len(found))
    with closing(readings(to_read(), ledger or Ledger(None))) as results:
        for _, reading in results:
            done += 1
            if isinstance(reading, Skipped):
                run.leave_out(reading)
            else:
                run.add(reading)
            progress.reading(done, len(found))
    progress.reading(done, len(found))
    return run.finish()


def _path(item: Candidate | Skipped) -> str:
    return item.relative_path if isinstance(item, Candidate) else item.display_path
