"""What is meant to survive a power failure is synced: PostgreSQL's commits, NATS's messages."""

import json
from pathlib import Path

from deploy.local.nats import PERMISSIONS, render_config
from deploy.local.postgres import Postgres
from tests.faults.durable import WANTED, judge_settings
from tests.faults.findings import Kind


def test_nats_syncs_each_message_before_it_is_acknowledged(tmp_path: Path) -> None:
    config = json.loads(render_config(4222, tmp_path, dict.fromkeys(PERMISSIONS, "secret")))
    assert config["jetstream"]["sync_interval"] == "always"
    assert config["jetstream"]["store_dir"] == str(tmp_path)


def test_mesh_that_may_forget_is_a_finding() -> None:
    assert judge_settings(dict(WANTED)) == []
    for name in WANTED:
        assert [finding.kind for finding in judge_settings({**WANTED, name: "off"})] == [Kind.LOST]
    assert [finding.kind for finding in judge_settings({**WANTED, "synchronous_commit of social": "off"})] == [
        Kind.LOST
    ]


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
