"""What is meant to survive a power failure is synced: PostgreSQL's commits, NATS's messages."""

import json
from pathlib import Path

from deploy.local.nats import PERMISSIONS, render_config
from deploy.local.postgres import Postgres


def test_nats_syncs_each_message_before_it_is_acknowledged(tmp_path: Path) -> None:
    config = json.loads(render_config(4222, tmp_path, dict.fromkeys(PERMISSIONS, "secret")))
    assert config["jetstream"]["sync_interval"] == "always"
    assert config["jetstream"]["store_dir"] == str(tmp_path)


def test_postgres_is_started_with_commits_that_are_synced(tmp_path: Path) -> None:
    options = Postgres.at(tmp_path / "data", password="secret").command()
    assert {"fsync=on", "synchronous_commit=on"} <= set(options)
