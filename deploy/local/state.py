"""The state folder of a local mesh: its layout, its secrets, its lock, and what a killed supervisor left behind."""

import contextlib
import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Self

import psutil

_SECRET_NAMES = (
    "postgres",
    "nats_social",
    "nats_embedder",
    "nats_retriever",
    "nats_gateway",
    "url_signing_key",
    "operator",
    "listener",
)
_LEFTOVER_GRACE_S = 15.0
# Where a restore puts things until all of them are there.
RESTORING = "restoring"


class StateError(SystemExit):
    """The state folder cannot be used now; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class State:
    """A state folder. Everything that a mesh keeps is below it; deleting it is a fresh start."""

    folder: Path

    @classmethod
    def open(cls, folder: Path) -> "State":
        """Make the folder when it is missing.

        Raises:
            StateError: It cannot be made, or a restore was interrupted there.
        """
        folder = folder.expanduser().resolve()
        if (folder / RESTORING).exists():
            raise StateError(
                f"a restore into {folder} has not ended: wait for it, or, where nothing restores any more, "
                "empty the folder and restore again"
            )
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("logs", "nats", "blobs", "artifacts", "snapshots", "spool"):
                (folder / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StateError(f"the state folder {folder} cannot be used: {error.strerror}") from None
        return cls(folder)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def secret(self, name: str) -> str:
        """Return a password of this mesh, made on first use and readable by its owner only."""
        return self._secrets()[name]

    def _secrets(self) -> dict[str, str]:
        path = self.folder / "secrets.json"
        try:
            found: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        except ValueError as error:
            raise StateError(
                f"{path} is damaged ({error}): put back a copy of it, or begin with another state folder and "
                "`museed restore` a backup there"
            ) from None
        missing = [name for name in _SECRET_NAMES if name not in found]
        if missing:
            found |= {name: secrets.token_urlsafe(32) for name in missing}
            write_atomically(path, json.dumps(found, indent=2))
        return found

    def read_json(self, name: str) -> Any:
        """Return what a JSON file of the folder holds, None when there is none."""
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else None

    def write_json(self, name: str, value: object) -> None:
        """Replace a JSON file of the folder."""
        write_atomically(self.folder / name, json.dumps(value, indent=2))

    def lock(self) -> IO[str]:
        """Take the folder for this process until the returned file is closed.

        Raises:
            StateError: Another supervisor has it.
        """
        file = (self.folder / "lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise StateError(
                f"a mesh already runs in {self.folder} (process {owner}).\n"
                "Stop it with Ctrl-C there, or give this one another folder: museed up --state OTHER"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        return file

    def record_processes(self, pids: dict[str, int]) -> None:
        """Note the running children, so that the next supervisor can clear them when this one is killed."""
        rows = {}
        for name, pid in pids.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                rows[name] = {"pid": pid, "created": psutil.Process(pid).create_time()}
        if rows != self.read_json("processes.json"):
            self.write_json("processes.json", rows)

    def clear_leftovers(self) -> list[str]:
        """End children of a killed supervisor that are still there. Blocks for at most 15 s; returns their names."""
        found = {}
        for name, row in (self.read_json("processes.json") or {}).items():
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(row["pid"])
                # A process id is used again; a process id with the same start is the same process.
                if abs(process.create_time() - row["created"]) < 1.0 and process.status() != psutil.STATUS_ZOMBIE:
                    found[process] = name
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, alive = psutil.wait_procs(list(found), timeout=_LEFTOVER_GRACE_S)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=5)
        return sorted(found.values())


@dataclass(frozen=True, slots=True)
class Pin:
    """The encoder that serves a library, and what to start for every encoder that ever did: `encoder.json`.

    Attributes:
        encoder_id: Served when it was last looked.
        choices: Name or absolute folder by encoder id.
    """

    encoder_id: str
    choices: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, state: State) -> Self | None:
        """Read the pin of a library; None for a new one."""
        found = state.read_json("encoder.json")
        if found is None:
            return None
        # Before there were switches, the name of the one encoder stood here.
        return cls(found["encoder_id"], found.get("choices") or {found["encoder_id"]: found["name"]})

    def write(self, state: State) -> None:
        """Replace the pin of a library."""
        state.write_json("encoder.json", asdict(self))

    @property
    def choice(self) -> str:
        """What to start for the encoder that serves."""
        return self.choices[self.encoder_id]

    def serving(self, encoder_id: str) -> Self:
        """Return a pin that says that this encoder serves."""
        return replace(self, encoder_id=encoder_id)

    def remember(self, encoder_id: str, choice: str) -> Self:
        """Return a pin that knows what to start for this encoder."""
        return replace(self, choices={**self.choices, encoder_id: choice})


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a reader, or a crash, sees the old or the new text; readable by its owner only."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
