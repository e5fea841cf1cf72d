"""Takes a library away as one file, and brings it back into an empty state folder.

The database comes first and the blobs after it: blobs never change, so whatever the database names is there, but for
what expired in between. What can be made again stays behind: the streams of NATS and the index's snapshots, which
social and the retriever fill from the database. A stream of another time would even be believed over the database.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.archive import ArchiveWriter, BackupError, can_hold, extract, writing
from deploy.local.postgres import Postgres, PostgresError
from deploy.local.process import die_with
from deploy.local.state import RESTORING, Pin, State, StateError

# All else is between the processes of one machine, and made anew.
_KEPT_SECRETS = ("operator", "url_signing_key")
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0
_DATABASE = "database.dump"
# What is void by the time of a restore: a log-in that was ended since would go on, and tries would be counted again.
_LEFT_OUT = tuple(f"--exclude-table-data={name}" for name in ("refresh_tokens", "quota_windows"))


@dataclass(frozen=True, slots=True)
class Backup:
    """What was taken along: files, and their bytes together."""

    files: int
    size_bytes: int


def back_up(folder: Path, target: Path) -> Backup:
    """Write a library to a file, whether its mesh runs or not. Blocks for as long as that takes.

    Raises:
        BackupError: There is no library, the file is there already, or PostgreSQL refuses.
        OSError: Something cannot be read or written.
    """
    folder, target = folder.expanduser().resolve(), target.expanduser().resolve()
    if not (folder / "postgres" / "PG_VERSION").exists():
        raise BackupError(f"there is no library in {folder}")
    if target.exists():
        raise BackupError(f"{target} is there already")
    state = State.open(folder)
    postgres = Postgres.at(state / "postgres", state.secret("postgres"))
    dump = target.with_name(f"{target.name}.{os.getpid()}.{_DATABASE}.partial")
    try:
        os.close(os.open(dump, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        with writing(target) as archive:
            with contextlib.ExitStack() as stack:
                with contextlib.suppress(StateError):  # a mesh runs there, and so does its PostgreSQL
                    stack.enter_context(state.lock())
                    state.clear_leftovers()
                    stack.enter_context(serving(postgres, state))
                _run(postgres, "pg_dump", "--format=custom", "--no-owner", *_LEFT_OUT, f"--file={dump}")
            archive.add_path(_DATABASE, dump)
            _add_files(archive, state)
            return Backup(len(archive.checksums), archive.size_bytes)
    finally:
        dump.unlink(missing_ok=True)


def restore(source: Path, folder: Path) -> None:
    """Bring a library back. Until all of it is there and whole, the folder is as good as empty.

    Raises:
        BackupError: The file is damaged, the folder holds something, or PostgreSQL refuses; the folder is empty again.
        OSError: Something cannot be read or written.
    """
    source, folder = source.expanduser().resolve(), folder.expanduser().resolve()
    if folder.exists() and any(not found.is_dir() for found in folder.rglob("*")):
        raise BackupError(f"{folder} is not empty: name another folder with --state, or empty this one")
    staging = folder / RESTORING
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        extract(source, staging)
        _fill_database(source, State.open(staging))
        os.sync()
        _move_up(staging)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _add_files(archive: ArchiveWriter, state: State) -> None:
    kept = {name: state.secret(name) for name in _KEPT_SECRETS}
    archive.add_bytes("secrets.json", json.dumps(kept, indent=2).encode())
    pin = Pin.read(state)
    if pin is not None:
        archive.add_path("encoder.json", state / "encoder.json")
        for encoder_id, choice in pin.choices.items():
            # One that lies elsewhere is not there where this is restored.
            if not (state / "models" / encoder_id).is_dir() and Path(choice).is_dir():
                _add_tree(archive, Path(choice), f"models/{encoder_id}")
    _add_tree(archive, state / "models", "models")
    _add_tree(archive, state / "blobs" / "sha256", "blobs/sha256")


def _add_tree(archive: ArchiveWriter, folder: Path, name: str) -> None:
    for path in sorted(folder.rglob("*")):
        inside = f"{name}/{path.relative_to(folder).as_posix()}"
        # What is being written has a name that no finished file has.
        if path.is_file() and not path.is_symlink() and can_hold(inside):
            with contextlib.suppress(FileNotFoundError):  # it expired while we came here
                archive.add_path(inside, path)


def _fill_database(source: Path, state: State) -> None:
    dump = state / _DATABASE
    if not dump.exists() or not (state / "secrets.json").exists():
        raise BackupError(f"{source} is damaged: it holds no database, or no secrets")
    _check_settings(source, state)
    postgres = Postgres.at(state / "postgres", state.secret("postgres"))
    with serving(postgres, state):
        _run(postgres, "pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--dbname=postgres", dump)
    dump.unlink()
    # Postgres is moved to another folder: what lies beside it belongs to this place.
    shutil.rmtree(postgres.socket_folder, ignore_errors=True)
    (state / "lock").unlink(missing_ok=True)


def _check_settings(source: Path, state: State) -> None:
    """Check what is read before the database, and by every start."""
    try:
        secrets = state.read_json("secrets.json")
        if set(secrets) != set(_KEPT_SECRETS) or not all(isinstance(one, str) for one in secrets.values()):
            raise ValueError("other secrets than a backup holds")
        Pin.read(state)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BackupError(f"{source} is damaged: secrets.json or encoder.json cannot be read: {error}") from error


def _move_up(staging: Path) -> None:
    """Put what was restored in its place. Who is killed here leaves the staging folder, which tells of it."""
    folder = staging.parent
    for found in folder.iterdir():
        if found != staging:
            shutil.rmtree(found)  # holds no file
    for found in staging.iterdir():
        found.rename(folder / found.name)
    staging.rmdir()


@contextlib.contextmanager
def serving(postgres: Postgres, state: State) -> Iterator[None]:
    """Run the database server of a library whose mesh does not run, on a new database where there is none."""
    try:
        postgres.initialise()  # also the folder of its socket, which no backup holds
    except PostgresError as error:
        raise BackupError(str(error)) from error
    user, parent = postgres.user, os.getpid()
    with (state / "logs" / "postgres.log").open("ab") as log:
        process = subprocess.Popen(
            postgres.command(), user=user, group=user, extra_groups=None if user is None else [], stdout=log,
            stderr=log, cwd="/", preexec_fn=lambda: die_with(parent, signal.SIGINT),
        )  # fmt: skip
    try:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not _answers(postgres):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BackupError(f"PostgreSQL did not start; its log is {state / 'logs' / 'postgres.log'}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)  # at once; the next start reads what was written
            process.wait()


def _answers(postgres: Postgres) -> bool:
    return subprocess.run(postgres.client("pg_isready", "--quiet"), check=False).returncode == 0


def _run(postgres: Postgres, program: str, *arguments: str | Path) -> None:
    """Run a client of the database; its password goes by the environment, which other users do not see."""
    environment = {**os.environ, "PGPASSWORD": postgres.password}
    command = postgres.client(program, *arguments)
    done = subprocess.run(command, env=environment, check=False, capture_output=True)
    if done.returncode != 0:
        raise BackupError(f"{program} failed:\n{done.stderr.decode(errors='replace').strip()}")
