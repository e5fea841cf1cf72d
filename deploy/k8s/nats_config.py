"""Writes the configuration of NATS in a cluster: `python -m deploy.k8s.nats_config [--check]`.

Users and what they may do are those of the mesh on one machine; passwords come from the environment of the server.
"""

import argparse
import json
import re
from pathlib import Path

from deploy.local.nats import PERMISSIONS

FOLDER = Path(__file__).parent
CLUSTER_FILE = FOLDER / "base" / "nats.conf"
SINGLE_FILE = FOLDER / "overlays" / "local" / "nats.conf"
TLS_FOLDER = FOLDER / "components" / "tls"
NODES = 3
# What JetStream keeps on each node, of volumes of 50 GiB.
FILE_STORE_GIB = 45
CLUSTER_USER = "cluster"
# NATS reads a name after a dollar from its environment only where it stands outside of quotes.
_VARIABLE = re.compile(r'"(\$[A-Z0-9_]+)"')


def password_variable(user: str) -> str:
    """Return the name of the variable that holds a user's password."""
    return f"NATS_PASSWORD_{user.upper()}"


def _user(name: str) -> dict[str, object]:
    return {
        "user": name,
        "password": f"${password_variable(name)}",
        "permissions": {
            "publish": {"allow": PERMISSIONS[name]},
            "subscribe": {"allow": [f"_INBOX_{name}.>"]},
        },
    }


def _tls(*, comes_first: bool) -> dict[str, object]:
    """Describe who the server is, and that it wants a certificate of each caller.

    Args:
        comes_first: Nothing is said before the handshake, so that nobody can talk a client out of it.
    """
    folder = "/etc/museed/tls"
    files = {"cert_file": f"{folder}/tls.crt", "key_file": f"{folder}/tls.key", "ca_file": f"{folder}/ca.crt"}
    return {**files, "verify": True, "timeout": 5, **({"handshake_first": True} if comes_first else {})}


def render(nodes: int, file_store_gib: int, *, has_tls: bool = False) -> str:
    """Render the configuration of every node.

    Args:
        nodes: 1 has no cluster.
        file_store_gib: Most that JetStream keeps on a node; less than its volume holds.
        has_tls: Whether clients and nodes show certificates.
    """
    config: dict[str, object] = {
        "server_name": "$POD_NAME",
        "port": 4222,
        "http_port": 8222,
        "pid_file": "/tmp/nats.pid",
        "max_payload": 1024 * 1024,
        "lame_duck_grace_period": "10s",
        "lame_duck_duration": "30s",
        "jetstream": {
            "store_dir": "/data",
            # What was acknowledged is on the disk, and not only in the kernel's memory.
            "sync_interval": "always",
            "max_memory_store": 256 * 1024**2,
            "max_file_store": file_store_gib * 1024**3,
        },
        "authorization": {"users": [_user(name) for name in PERMISSIONS]},
    }
    if nodes > 1:
        who = {"user": CLUSTER_USER, "password": f"${password_variable(CLUSTER_USER)}"}
        cluster: dict[str, object] = {
            "name": "museed",
            "port": 6222,
            "authorization": who,
            # Whole addresses: a password inside of one is no variable.
            "routes": [f"$NATS_ROUTE_{number}" for number in range(nodes)],
        }
        if has_tls:
            cluster["tls"] = _tls(comes_first=False)
        config["cluster"] = cluster
    if has_tls:
        config["tls"] = _tls(comes_first=True)
    return _VARIABLE.sub(r"\1", json.dumps(config, indent=2)) + "\n"


FILES = {
    CLUSTER_FILE: (NODES, FILE_STORE_GIB, False),
    SINGLE_FILE: (1, FILE_STORE_GIB, False),
    TLS_FOLDER / "nats-cluster.conf": (NODES, FILE_STORE_GIB, True),
    TLS_FOLDER / "nats-single.conf": (1, FILE_STORE_GIB, True),
}


def main() -> None:
    """Write both files, or say which is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="Write nothing; fail where a file is not what it would be."
    )
    only_checks = parser.parse_args().check
    for path, (nodes, file_store_gib, has_tls) in FILES.items():
        text = render(nodes, file_store_gib, has_tls=has_tls)
        if not only_checks:
            path.write_text(text)
        elif not path.is_file() or path.read_text() != text:
            raise SystemExit(f"{path} is stale: python -m deploy.k8s.nats_config")


if __name__ == "__main__":
    main()
