"""Every Secret of the manifests, and a way to make those that are nobody else's: `python -m deploy.k8s.secrets`.

Prints a manifest for `kubectl create -f -`, which refuses what is there already: nothing is written to a disk, and no
password that is in use is replaced.
"""

import argparse
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from deploy.k8s.nats_config import CLUSTER_USER
from deploy.local.nats import PERMISSIONS

NAMESPACE = "museed"


def _password() -> str:
    # NATS reads a variable that looks like a number as one: a letter comes first, and no other signs.
    return f"p{secrets.token_hex(24)}"


@dataclass(frozen=True)
class Secret:
    """What a Secret holds.

    Attributes:
        name: Of the Secret.
        what: For people.
        make: By key, how a value is made; None where it comes from outside.
    """

    name: str
    what: str
    make: dict[str, Callable[[], str] | None]


def _is(text: str) -> Callable[[], str]:
    return lambda: text


SECRETS = (
    Secret(
        "museed-nats",
        "passwords of the users of NATS",
        {user: _password for user in (*PERMISSIONS, CLUSTER_USER)},
    ),
    Secret("museed-gateway", "signs addresses of streams, the same in every replica", {"url-signing-key": _password}),
    Secret(
        "museed-operator",
        "the first account, and so the admin; operator makes it, ingest logs in as it",
        {"username": _is("operator"), "password": _password, "email": _is("operator@museed.example.org")},
    ),
    Secret(
        "museed-blobs",
        "the blob store: `s3://bucket/prefix`, and how S3 is spoken to",
        {"url": None, "endpoint": None, "region": None, "access-key-id": None, "secret-access-key": None},
    ),
    Secret(
        "museed-backups",
        "S3 keys of the bucket of PostgreSQL's backups",
        {"access-key-id": None, "secret-access-key": None},
    ),
    Secret(
        "museed-postgres-app",
        "the database: CloudNativePG makes it; overlays/local has no operator",
        {"username": None, "password": None, "dbname": None, "uri": None},
    ),
    Secret("museed-mail", "optional: `smtp://user:password@host:587`; without it no mail is sent", {"url": None}),
    Secret(
        "museed-milvus",
        "components/milvus: where Milvus is, and `user:password` or an API key",
        {"uri": None, "token": None},
    ),
    Secret(
        "museed-bulk-music",
        "optional, in the namespace `museed-bulk`: the store that bulk work reads music from",
        {"endpoint": None, "region": None, "access-key-id": None, "secret-access-key": None},
    ),
)


def _local() -> dict[str, dict[str, str]]:
    """Make what overlays/local has inside of the cluster."""
    password = _password()
    return {
        "museed-blobs": {
            "url": "s3://museed",
            "endpoint": "http://blobs.museed:7070",
            "region": "us-east-1",
            "access-key-id": "museed",
            "secret-access-key": _password(),
        },
        "museed-postgres-app": {
            "username": "museed",
            "password": password,
            "dbname": "museed",
            "uri": f"postgresql://museed:{password}@museed-postgres-rw.museed:5432/museed",
        },
    }


def made(is_local: bool) -> dict[str, dict[str, str]]:
    """Return fresh values by Secret and key: of those that are nobody else's, and for overlays/local of its stores."""
    found = {
        one.name: {key: make() for key, make in one.make.items() if make is not None}
        for one in SECRETS
        if all(make is not None for make in one.make.values())
    }
    return {**found, **(_local() if is_local else {})}


def main() -> None:
    """Print the manifest."""
    parser = argparse.ArgumentParser(prog="python -m deploy.k8s.secrets", description=__doc__)
    parser.add_argument("--local", action="store_true", help="Those of overlays/local, too.")
    values = made(parser.parse_args().local)
    items = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "type": "Opaque",
            "stringData": data,
        }
        for name, data in values.items()
    ]
    print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2))


if __name__ == "__main__":
    main()
