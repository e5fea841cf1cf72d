"""What a crash of the machine does to files: the newest of them are there in part, or not at all."""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.faults.mesh import FaultyMesh

# Of a message that NATS was about to write.
_TORN_BYTES = 200


def wipe(mesh: FaultyMesh) -> None:
    """Delete all that NATS keeps."""
    shutil.rmtree(mesh.nats_store, ignore_errors=True)
    mesh.nats_store.mkdir(mode=0o700, exist_ok=True)


def tearable(mesh: FaultyMesh, name: str, since: float = 0.0) -> list[Path]:
    """Return the files of a process that a power failure may leave in part.

    NATS syncs each message, so a torn one lies behind the last, and what it keeps to start faster may be torn. A
    snapshot and an upload that is coming may be cut off anywhere.

    Args:
        mesh: Whose.
        name: The process.
        since: Unix time; of uploads only those that came later, since earlier deaths leave what nobody reads.
    """
    match name:
        case "nats":
            found = [path for path in _below(mesh.nats_store) if path.suffix == ".blk" or path.name == "index.db"]
        case "retriever":
            found = list(_below(mesh.state / "snapshots"))
        case _:
            found = [path for path in _below(mesh.state / "blobs" / "incoming") if _written_at(path) > since]
    return sorted(path for path in found if _size(path))


def tear(paths: list[Path], share: float, dice: random.Random) -> list[Path]:
    """Tear some of these files, and at least one where there is any; returns those.

    Args:
        paths: As `tearable` says; their processes have ended.
        share: How much of each stays, in [0, 1).
        dice: Decides which.
    """
    torn = [path for path in paths if dice.random() < 0.5] or paths[:1]
    for path in torn:
        if path.suffix == ".blk":
            with path.open("ab") as file:
                file.write(path.read_bytes()[: max(1, int(share * _TORN_BYTES))])
        else:
            os.truncate(path, int(share * path.stat().st_size))
    return torn


def _below(folder: Path) -> Iterator[Path]:
    """Files of a folder whose owner is at work: what goes meanwhile is passed over."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names)


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # moved to where it belongs
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:  # moved to where it belongs
        return 0
