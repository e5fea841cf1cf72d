"""Asks the servers of a running mesh whether what they acknowledge survives a power failure."""

import json
from pathlib import Path

import asyncpg

from tests.faults.findings import Finding, Kind
from tests.faults.mesh import FaultyMesh

WANTED = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "sync_interval": "always"}


async def read_settings(mesh: FaultyMesh) -> dict[str, str]:
    """Return what PostgreSQL says of itself and what NATS was started with; settings of users or databases, too."""
    connection = await asyncpg.connect(mesh.database.url(), timeout=30)
    try:
        names = [name for name in WANTED if name != "sync_interval"]
        found = {name: str(await connection.fetchval(f"SHOW {name}")) for name in names}
        for row in await connection.fetch("SELECT unnest(setconfig) AS setting FROM pg_db_role_setting"):
            name, _, value = row["setting"].partition("=")
            found[f"{name} of somebody"] = value
    finally:
        await connection.close()
    (config,) = [Path(text) for text in mesh.process("nats").spec.command if text.endswith("nats.json")]
    found["sync_interval"] = str(json.loads(config.read_text())["jetstream"].get("sync_interval"))
    return found


def judge_settings(found: dict[str, str]) -> list[Finding]:
    """Return each that differs from what is meant, and each that nobody meant."""
    return [
        Finding(Kind.LOST, f"{name} is {found.get(name)}, and should be {WANTED.get(name)}")
        for name in sorted(WANTED.keys() | found.keys())
        if found.get(name) != WANTED.get(name)
    ]
