"""NATS over mutual TLS, with the very configuration and the very start of the cluster's."""

import asyncio
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.k8s import nats_config, secrets
from services.chassis import tls
from services.chassis.bus import Bus, BusSettings
from services.chassis.tls import Identity
from tests.conftest import free_port
from tests.fakes.certificates import Authority

_SCRIPTS = sysconfig.get_path("scripts", vars={"base": sys.prefix})
_PATIENCE_S = 60.0
_REFUSED_S = 2.0


class Nats:
    """One server, started by nats.sh."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.passwords = secrets.made(is_local=True)["museed-nats"]
        self.certificates = folder / "tls"
        text = (nats_config.TLS_FOLDER / "nats-single.conf").read_text()
        text = text.replace("/etc/museed/tls", str(self.certificates)).replace('"/data"', f'"{folder / "data"}"')
        (folder / "nats-single.conf").write_text(text)

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it, looking at its certificate five times a second."""
        named = {nats_config.password_variable(user): value for user, value in self.passwords.items()}
        places = {
            "NATS_PLAIN_CONFIG": str(nats_config.SINGLE_FILE),
            "NATS_CERTIFICATE": str(self.certificates / "tls.crt"),
            "NATS_CONFIG_FOLDER": str(self.folder),
            "NATS_PID_FILE": str(self.folder / "pid"),
            "NATS_LOOK_INTERVAL_S": "0.2",
            "PATH": f"{_SCRIPTS}:{os.environ['PATH']}",
        }
        options = ["--addr", "127.0.0.1", "--port", str(self.port), "--http_port", str(free_port())]
        command = ["sh", str(nats_config.TLS_FOLDER / "nats.sh"), *options, "--pid", places["NATS_PID_FILE"]]
        environment = {**os.environ, **named, **places, "POD_NAME": "nats-0"}
        with (self.folder / "log").open("wb") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    async def connected(self, identity: Identity | None) -> Bus:
        """Connect as social."""
        settings = BusSettings(url=f"nats://127.0.0.1:{self.port}", user="social", password=self.passwords["social"])
        return await Bus.connect(settings, "social", identity=identity)


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def nats(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nats]:
    monkeypatch.setattr(tls, "_LOOK_INTERVAL_S", 0.0)
    made = Nats(tmp_path)
    authority.issue(made.certificates, "nats")
    process = made.start()
    try:
        yield made
    finally:
        os.killpg(process.pid, 9)
        process.wait()


async def test_bus_goes_over_tls_and_certificates_are_renewed(nats: Nats, authority: Authority, tmp_path: Path) -> None:
    social = authority.issue(tmp_path / "social", "social").identity()
    bus = await asyncio.wait_for(nats.connected(social), _PATIENCE_S)
    await bus.ensure_streams()
    other = Authority("the-next-ca")
    both = authority.certificate + other.certificate
    stranger = other.issue(tmp_path / "stranger", "social", ca=both).identity()
    for refused in (None, stranger):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(nats.connected(refused), _REFUSED_S)
    other.issue(nats.certificates, "nats", ca=both)
    new = await asyncio.wait_for(nats.connected(stranger), _PATIENCE_S)
    assert bus.is_connected
    assert (await bus.publish("museed.social.v1.job_progressed", b"what", "event-1")).sequence == 1
    await new.close()
    await bus.close()
