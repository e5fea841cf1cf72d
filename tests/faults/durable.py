"""Asks the servers of a running mesh whether what they acknowledge survives a power failure."""

import asyncpg
import httpx

from tests.faults.findings import Finding, Kind
from tests.faults.mesh import FaultyMesh

_POSTGRES = ("fsync", "synchronous_commit", "full_page_writes")
WANTED = {**dict.fromkeys(_POSTGRES, "on"), "sync_always of NATS": "True"}


async def read_settings(mesh: FaultyMesh) -> dict[str, str]:
    """Return what PostgreSQL and NATS say of themselves; settings of users or databases, too."""
    connection = await asyncpg.connect(mesh.database.url(), timeout=30)
    try:
        found = {name: str(await connection.fetchval(f"SHOW {name}")) for name in _POSTGRES}
        for row in await connection.fetch("SELECT unnest(setconfig) AS setting FROM pg_db_role_setting"):
            name, _, value = row["setting"].partition("=")
            found[f"{name} of somebody"] = value
    finally:
        await connection.close()
    async with httpx.AsyncClient(timeout=30) as client:
        told = (await client.get(f"{mesh.nats_monitor_url}/varz")).json()
    return {**found, "sync_always of NATS": str(told["jetstream"]["config"].get("sync_always"))}


def judge_settings(found: dict[str, str]) -> list[Finding]:
    """Return each that differs from what is meant, and each that nobody meant."""
    return [
        Finding(Kind.LOST, f"{name} is {found.get(name)}, and should be {WANTED.get(name)}")
        for name in sorted(WANTED.keys() | found.keys())
        if found.get(name) != WANTED.get(name)
    ]
