"""NATS in a cluster: the committed configuration is the rendered one, and a server takes it with the passwords made."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from deploy.k8s import nats_config, secrets
from deploy.local.nats import PERMISSIONS
from tests.fakes.certificates import Authority

_SERVER = Path(sysconfig.get_path("scripts", vars={"base": sys.prefix})) / "nats-server"


@pytest.mark.parametrize("path", nats_config.FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_committed_file_is_what_is_rendered(path: Path) -> None:
    assert path.read_text() == _rendered(path)


def _rendered(path: Path) -> str:
    nodes, file_store_gib, has_tls = nats_config.FILES[path]
    return nats_config.render(nodes, file_store_gib, has_tls=has_tls)


def _environment(password: str | None = None) -> dict[str, str]:
    made = secrets.made(is_local=False)["museed-nats"]
    found = {nats_config.password_variable(user): password or value for user, value in made.items()}
    routes = {
        f"NATS_ROUTE_{number}": f"nats://cluster:{found['NATS_PASSWORD_CLUSTER']}@nats-{number}.nats-peers.museed:6222"
        for number in range(nats_config.NODES)
    }
    return {**os.environ, "POD_NAME": "nats-0", **found, **routes}


def _judge(path: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [str(_SERVER), "-t", "--config", str(path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("path", nats_config.FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_server_takes_it(path: Path, tmp_path: Path) -> None:
    Authority().issue(tmp_path, "nats")
    config = tmp_path / "nats.conf"
    config.write_text(path.read_text().replace("/etc/museed/tls", str(tmp_path)))
    done = _judge(config, _environment())
    assert done.returncode == 0, done.stderr
    assert "configuration file" in done.stderr


def test_server_refuses_it_without_passwords() -> None:
    environment = {name: value for name, value in _environment().items() if name != "NATS_PASSWORD_SOCIAL"}
    done = _judge(nats_config.CLUSTER_FILE, environment)
    assert done.returncode == 1
    assert "NATS_PASSWORD_SOCIAL" in done.stderr


def test_number_is_no_password() -> None:
    """Why passwords begin with a letter."""
    done = _judge(nats_config.SINGLE_FILE, _environment("123456"))
    assert done.returncode != 0


def test_each_password_begins_with_a_letter() -> None:
    made = secrets.made(is_local=True)
    assert set(made["museed-nats"]) == {*PERMISSIONS, "cluster"}
    passwords = [*made["museed-nats"].values(), made["museed-operator"]["password"]]
    assert [one for one in passwords if not (one[0].isalpha() and one.isalnum() and len(one) == 49)] == []
    assert len(set(passwords)) == len(passwords)


def test_what_is_acknowledged_is_on_disk() -> None:
    assert '"sync_interval": "always"' in nats_config.CLUSTER_FILE.read_text()
