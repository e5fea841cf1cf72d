"""Three servers with the configuration of the cluster, without and with TLS: streams are on all of them, one may go."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.k8s import nats_config, secrets
from services.chassis.bus import SOCIAL_EVENTS, STREAMS, Bus, BusSettings
from services.chassis.errors import Unavailable
from services.chassis.tls import Identity
from tests.conftest import free_port
from tests.fakes.certificates import Authority

_SCRIPTS = sysconfig.get_path("scripts", vars={"base": sys.prefix})
_SUBJECT = "museed.social.v1.job_progressed"
_WAIT_S = 120.0


class Cluster:
    """Servers of base/nats.conf: only where they listen, keep things and find each other is of this machine.

    Args:
        folder: Of theirs.
        authority: Signs their certificates where they speak TLS, as with components/tls.
    """

    def __init__(self, folder: Path, authority: Authority | None = None) -> None:
        self._folder = folder
        self._authority = authority
        self.passwords = secrets.made(is_local=False)["museed-nats"]
        self.ports = [free_port() for _ in range(nats_config.NODES)]
        self._route_ports = [free_port() for _ in range(nats_config.NODES)]
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start all."""
        routes = {
            f"NATS_ROUTE_{number}": f"nats://cluster:{self.passwords['cluster']}@localhost:{port}"
            for number, port in enumerate(self._route_ports)
        }
        passwords = {nats_config.password_variable(user): value for user, value in self.passwords.items()}
        for number, port in enumerate(self.ports):
            path = f"{_SCRIPTS}:{os.environ['PATH']}"
            environment = {**os.environ, **routes, **passwords, "POD_NAME": f"nats-{number}", "PATH": path}
            own = self._folder / str(number)
            own.mkdir()
            options = {
                "--addr": "127.0.0.1",
                "--port": port,
                "--http_port": free_port(),
                "--cluster": f"nats://127.0.0.1:{self._route_ports[number]}",
                "--pid": own / "pid",
            }
            command = [*self._command(own, environment), *(str(part) for pair in options.items() for part in pair)]
            with (own / "log").open("wb") as log:
                self._processes.append(
                    subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
                )

    def _command(self, own: Path, environment: dict[str, str]) -> list[str]:
        """Write the configuration of a server, and return how it is started."""
        source = nats_config.CLUSTER_FILE if self._authority is None else nats_config.TLS_FOLDER / "nats-cluster.conf"
        config = own / "nats-cluster.conf"
        text = source.read_text().replace('"/data"', f'"{own / "data"}"').replace("/etc/museed/tls", f"{own / 'tls'}")
        config.write_text(text)
        if self._authority is None:
            return ["nats-server", "--config", str(config)]
        self._authority.issue(own / "tls", "nats", "localhost", usages=["server auth", "client auth"])
        environment |= {
            "NATS_PLAIN_CONFIG": str(nats_config.CLUSTER_FILE),
            "NATS_CERTIFICATE": str(own / "tls" / "tls.crt"),
            "NATS_CONFIG_FOLDER": str(own),
            "NATS_PID_FILE": str(own / "pid"),
        }
        return ["sh", str(nats_config.TLS_FOLDER / "nats.sh")]

    def kill(self, number: int) -> None:
        """Kill one."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._processes[number].pid, signal.SIGKILL)
        self._processes[number].wait()

    def close(self) -> None:
        """Kill all."""
        for number in range(len(self._processes)):
            self.kill(number)

    def settings(self, user: str, password: str | None = None) -> BusSettings:
        """Return how a service reaches the first server, which tells it of the others."""
        found = password or self.passwords[user]
        return BusSettings(
            url=f"nats://127.0.0.1:{self.ports[0]}", user=user, password=found, stream_replicas=nats_config.NODES
        )


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def authority(request: pytest.FixtureRequest) -> Authority | None:
    return Authority() if request.param else None


@pytest.fixture
def social(authority: Authority | None, tmp_path: Path) -> Identity | None:
    """Who connects."""
    if authority is None:
        return None
    return authority.issue(tmp_path / "social", "social", usages=["client auth"]).identity()


@pytest.fixture
async def cluster(memory_folder: Path, authority: Authority | None) -> AsyncIterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="nats-", dir=memory_folder, ignore_cleanup_errors=True) as name:
        made = Cluster(Path(name), authority)
        made.start()
        try:
            yield made
        finally:
            made.close()


async def _provisioned(bus: Bus) -> None:
    while True:
        with contextlib.suppress(Unavailable, TimeoutError):
            await bus.ensure_streams()
            return
        await asyncio.sleep(0.2)


async def _stored(bus: Bus, event_id: str) -> None:
    while True:
        with contextlib.suppress(Unavailable):
            await bus.publish(_SUBJECT, b"what", event_id)
            return
        await asyncio.sleep(0.2)


async def test_streams_are_kept_three_times_and_one_server_may_go(cluster: Cluster, social: Identity | None) -> None:
    bus = await asyncio.wait_for(Bus.connect(cluster.settings("social"), "social", identity=social), _WAIT_S)
    try:
        await asyncio.wait_for(_provisioned(bus), _WAIT_S)
        infos = [await bus.jetstream.stream_info(name) for name in STREAMS]
        assert [info.config.num_replicas for info in infos] == [3] * len(STREAMS)
        assert [len(info.cluster.replicas or ()) for info in infos if info.cluster] == [2] * len(STREAMS)
        await bus.publish(_SUBJECT, b"what", "event-1")
        cluster.kill(0)
        await asyncio.wait_for(_stored(bus, "event-2"), _WAIT_S)
        info = await bus.jetstream.stream_info(SOCIAL_EVENTS)
        assert info.state.messages == 2
    finally:
        await bus.close()
