"""`museed secrets`: writes what compose.yaml takes by files: passwords, addresses with them, NATS's configuration."""

import json
import secrets
from pathlib import Path
from typing import Annotated

import typer

from deploy.local import nats
from deploy.local.tables import console
from deploy.local.trouble import told_errors

_PORT = 4222
_MONITOR = "127.0.0.1:8222"


def secrets_command(
    folder: Annotated[Path, typer.Argument(help="Where to write them; made when missing.")],
) -> None:
    """Write the secrets of a mesh under Docker Compose, one file each; what is there already stays as it is."""
    with told_errors():
        written = write_secrets(folder)
    console.print(f"{len(written)} written to {folder}: {', '.join(written) or 'all were there'}", markup=False)


def write_secrets(folder: Path) -> list[str]:
    """Write what is missing; returns the names of the files that were.

    The folder is its owner's alone. The files can be read by whoever reaches them: each container sees some, as users
    of its own, and Compose mounts files with the modes that they have here.

    Raises:
        OSError: Something cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written: list[str] = []

    def kept(name: str, fresh: str) -> str:
        path = folder / name
        if not path.exists():
            path.write_text(fresh)
            path.chmod(0o644)
            written.append(name)
        return path.read_text()

    passwords = {user: kept(f"nats_{user}_password", secrets.token_urlsafe(32)) for user in nats.PERMISSIONS}
    database_password = kept("postgres_password", secrets.token_urlsafe(32))
    kept("social_database_url", f"postgresql://museed:{database_password}@postgres:5432/museed")
    kept("social_mail_url", "console:")
    kept("gateway_url_signing_key", secrets.token_urlsafe(48))
    kept("operator_password", secrets.token_urlsafe(24))
    kept("nats.conf", nats_config(passwords))
    return written


def nats_config(passwords: dict[str, str]) -> str:
    """Return the configuration of NATS on one machine, for a container: it listens to its network, and keeps /data."""
    config = json.loads(nats.render_config(_PORT, Path("/data"), passwords))
    return json.dumps({**config, "host": "0.0.0.0", "http": _MONITOR}, indent=2)
