"""What is meant to survive a power failure is synced: PostgreSQL's commits, NATS's messages."""

import json
from pathlib import Path

import asyncpg

from deploy.local.nats import PERMISSIONS, render_config
from deploy.local.postgres import Postgres


def test_nats_syncs_each_message_before_it_is_acknowledged(tmp_path: Path) -> None:
    config = json.loads(render_config(4222, tmp_path, dict.fromkeys(PERMISSIONS, "secret")))
    assert config["jetstream"]["sync_interval"] == "always"
    assert config["jetstream"]["store_dir"] == str(tmp_path)


async def test_running_postgres_syncs_each_commit_whoever_connects(postgres: Postgres, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        found = {name: await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit")}
        found["full_page_writes"] = await connection.fetchval("SHOW full_page_writes")
        # Nobody has a setting of their own, neither a user nor a database.
        others = await connection.fetch("SELECT setconfig FROM pg_db_role_setting")
    finally:
        await connection.close()
    assert (found, others) == ({"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}, [])


def test_no_statement_of_ours_lets_go_of_synced_commits() -> None:
    services = Path(__file__).parents[2] / "services"
    texts = [path.read_text() for path in [*services.rglob("*.py"), *services.rglob("*.sql")]]
    assert len(texts) > 300
    assert [text for text in texts if "synchronous_commit" in text] == []
    # How much somebody asked for in the last minutes may be forgotten; nobody was told that it is kept.
    found = [line for text in texts for line in text.splitlines() if "UNLOGGED" in line]
    assert found == ["CREATE UNLOGGED TABLE quota_windows ("]


def test_postgres_is_started_with_commits_that_are_synced(tmp_path: Path) -> None:
    options = Postgres.at(tmp_path / "data", password="secret").command()
    assert {"fsync=on", "synchronous_commit=on"} <= set(options)
