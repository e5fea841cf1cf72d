"""Every process of overlays/local with the very environment and arguments of the manifests, asked by their probes.

There is no cluster: names become ports of the loopback, volumes folders, and the blob store a folder, too. With
components/tls a CA of the test's signs what the Certificates ask for; the PostgreSQL of a wheel speaks no TLS.
"""

import functools
import os
import signal
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from deploy.k8s import secrets
from deploy.k8s.manifests import Document, Pods, named, of_kind, parse, pods_of, render, value_of
from tests.conftest import free_port
from tests.e2e.conftest import render_library
from tests.e2e.waiting import PATIENCE_S, eventually
from tests.fakes.certificates import Authority
from tests.kustomizations import copied_manifests, overlay_with

_SERVICES = ("social", "embedder", "retriever", "gateway")
_COMMANDS = {"ghcr.io/museed/museed": "deploy.local.cli", **{f"ghcr.io/museed/{n}": f"services.{n}" for n in _SERVICES}}
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_ASK_S = 5.0
_CERTIFICATES = "/etc/museed/tls"
_EXAMPLE_PAGE = Path(__file__).parents[2] / "examples" / "web"


class Rehearsal:
    """Runs containers as processes of this machine.

    Args:
        folder: For what they write.
        database_url: Of an empty database.
        components: That are added to the overlay.
    """

    def __init__(self, folder: Path, database_url: str, components: Sequence[str] = ()) -> None:
        self.folder = folder
        overlay = overlay_with(copied_manifests(folder / "k8s"), "local", components)
        self.documents: list[Document] = parse(render(overlay))
        self.has_tls = "tls" in components
        self.authority = Authority()
        self.issue_certificates()
        self.pods: dict[str, Pods] = {pods.name: pods for pods in pods_of(self.documents)}
        self.ports = {
            (pods.name, number): free_port() for pods in self.pods.values() for number in pods.ports().values()
        }
        self._secrets = secrets.made(is_local=True)
        self._secrets["museed-postgres-app"]["uri"] = database_url
        self._secrets["museed-blobs"]["url"] = (folder / "blobs").as_uri()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def issue_certificates(self) -> None:
        """Do what cert-manager does: lay a new certificate where each Secret is mounted."""
        for document in of_kind(self.documents, "Certificate"):
            wanted = document["spec"]
            if not wanted.get("isCA"):
                folder = self.certificates(wanted["secretName"])
                self.authority.issue(folder, *wanted["dnsNames"], usages=wanted["usages"])

    def certificates(self, secret: str) -> Path:
        """Return where the files of a Secret of cert-manager's are."""
        return self.folder / "certificates" / secret

    def _here(self, owner: str, text: str) -> str:
        """Return what stands for an address or a path of the cluster on this machine."""
        for (name, number), port in self.ports.items():
            text = text.replace(f"{name}.museed:{number}", f"localhost:{port}")
            if name == owner:
                text = text.replace(f"0.0.0.0:{number}", f"127.0.0.1:{port}")
        if text.startswith(f"{_CERTIFICATES}/"):
            [secret] = [volume["secret"] for volume in self.pods[owner].spec["volumes"] if volume["name"] == "tls"]
            return f"{self.certificates(secret['secretName'])}{text.removeprefix(_CERTIFICATES)}"
        if text == "/app/web":
            return str(_EXAMPLE_PAGE)
        for path in ("/music", "/var/lib/museed", "/var/cache/museed", "/tmp"):
            if text == path or text.startswith(f"{path}/"):
                place = self.folder / ("music" if path == "/music" else owner + path.replace("/", "-"))
                place.mkdir(parents=True, exist_ok=True)
                return f"{place}{text.removeprefix(path)}"
        return text

    def environment(self, owner: str, container: dict[str, Any]) -> dict[str, str]:
        """Return a container's environment; nothing of this process's own settings is in it."""
        found = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "TMPDIR", "HOME") if name in os.environ}
        found["COLUMNS"] = "200"  # of tables
        for variable in container.get("env", []):
            value = value_of(variable, self.documents)
            source = variable.get("valueFrom", {}).get("secretKeyRef")
            if source and (source["name"] in self._secrets or not source.get("optional")):
                value = self._secrets[source["name"]][source["key"]]
            if value is not None and not variable["name"].startswith("PGSSL"):
                found[variable["name"]] = self._here(owner, value)
        return found

    def command(self, owner: str, container: dict[str, Any]) -> list[str]:
        """Return a container's command line, with the entry point of its image where it names none."""
        entry = container.get("command")
        if entry is None:
            entry = ["python", "-m", _COMMANDS[container["image"].partition(":")[0].partition("@")[0]]]
        assert entry[0] == "python"
        return [sys.executable, *entry[1:], *(self._here(owner, word) for word in container.get("args", []))]

    def start(self, owner: str, container: dict[str, Any]) -> subprocess.Popen[bytes]:
        """Start a container."""
        with self.log(container["name"]).open("ab") as log:
            process = subprocess.Popen(
                self.command(owner, container), env=self.environment(owner, container), stdout=log, stderr=log
            )
        self._running[container["name"]] = process
        return process

    def start_nats(self) -> None:
        """Start NATS by its command and its configuration, whose folders are some of this machine."""
        [container] = self.pods["nats"].containers
        for volume in self.pods["nats"].spec["volumes"]:
            if config := named(self.documents, "ConfigMap", volume.get("configMap", {}).get("name", "")):
                for name, text in config["data"].items():
                    text = text.replace('"/data"', f'"{self.folder / "nats"}"')
                    text = text.replace(_CERTIFICATES, str(self.certificates("museed-tls-nats")))
                    (self.folder / name).write_text(text)
        scripts = sysconfig.get_path("scripts", vars={"base": sys.prefix})
        command = [
            f"{self.folder}/{Path(word).name}" if word.startswith("/") else word for word in container["command"]
        ]
        options = ["--addr", "127.0.0.1", "--pid", f"{self.folder}/nats.pid"]
        ports = ["--port", str(self.ports["nats", 4222]), "--http_port", str(self.ports["nats", 8222])]
        environment = {
            **self.environment("nats", container),
            "PATH": f"{scripts}:{os.environ['PATH']}",
            "POD_NAME": "nats-0",
            "NATS_PLAIN_CONFIG": f"{self.folder}/nats.conf",
            "NATS_CONFIG_FOLDER": str(self.folder),
            "NATS_CERTIFICATE": str(self.certificates("museed-tls-nats") / "tls.crt"),
            "NATS_PID_FILE": f"{self.folder}/nats.pid",
            "NATS_LOOK_INTERVAL_S": "0.2",
        }
        with self.log("nats").open("wb") as log:
            self._running["nats"] = subprocess.Popen(
                [*command, *options, *ports], env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def log(self, name: str) -> Path:
        """Return where the output of a container is."""
        return self.folder / f"{name}.log"

    def run(self, owner: str, container: dict[str, Any]) -> str:
        """Run a container of a Job until it ends well, again as often as its pod would; returns what it wrote."""
        assert self.pods[owner].spec["restartPolicy"] == "OnFailure"
        log = self.log(container["name"])
        eventually(
            lambda: self.start(owner, container).wait(PATIENCE_S) == 0 or log.read_text()[-3000:],
            lambda done: done is True,
        )
        return log.read_text()

    def answers(self, name: str, probe: str) -> bool:
        """Ask a container as a kubelet does; one that has ended fails the test."""
        [container] = self.pods[name].containers
        assert self._running[name].poll() is None, self.log(name).read_text()[-3000:]
        asked = container[probe]
        if "grpc" in asked:
            return self.is_healthy(name, asked["grpc"]["port"], asked["grpc"].get("service", ""))
        return self._http(name, asked["httpGet"])

    def is_healthy(self, name: str, number: int, service: str = "") -> bool:
        """Ask for the health of a service at a port, without TLS; False where nobody says that it serves."""
        with grpc.insecure_channel(f"127.0.0.1:{self.ports[name, number]}") as channel:
            request = health_pb2.HealthCheckRequest(service=service)
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            try:
                answer = check(request, timeout=_ASK_S)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def _http(self, name: str, asked: dict[str, Any]) -> bool:
        port = self.ports[name, self.pods[name].ports()[asked["port"]]]
        headers = {one["name"]: one["value"] for one in asked.get("httpHeaders", [])}
        request = urllib.request.Request(f"http://127.0.0.1:{port}{asked['path']}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=_ASK_S) as answer:
                return bool(200 <= answer.status < 400)
        except (urllib.error.URLError, OSError):
            return False

    def metrics(self, name: str) -> str:
        """Return what a container tells Prometheus."""
        port = self.ports[name, self.pods[name].ports()["metrics"]]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=_ASK_S) as answer:
            return str(answer.read().decode())

    def close(self) -> None:
        """Kill what still runs."""
        for name, process in self._running.items():
            if name == "nats":  # it has a child that looks at its certificate
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.wait()


@pytest.fixture(params=[(), ("tls",)], ids=["plain", "tls"])
def rehearsal(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Iterator[Rehearsal]:
    made = Rehearsal(tmp_path, database_url, request.param)
    try:
        yield made
    finally:
        made.close()


def test_from_secrets_to_the_first_playlist(rehearsal: Rehearsal) -> None:
    render_library(rehearsal.folder / "music", artists=2, tracks=2)
    containers = {name: pods.containers[0] for name, pods in rehearsal.pods.items()}
    [schema] = rehearsal.pods["social"].spec["initContainers"]
    waiting = rehearsal.start("social", schema)
    for name in ("embedder", "retriever", "gateway"):
        rehearsal.start(name, containers[name])
    assert waiting.poll() is None
    rehearsal.run("migrate", containers["migrate"])
    assert waiting.wait(PATIENCE_S) == 0
    assert not rehearsal.answers("gateway", "startupProbe")
    rehearsal.start("social", containers["social"])
    rehearsal.start_nats()
    assert "operator is admin of this mesh" in rehearsal.run("operator", containers["operator"])
    for name in (*_SERVICES, "nats"):
        for probe in _PROBES:
            eventually(functools.partial(rehearsal.answers, name, probe))
    rehearsal.run("ingest", containers["ingest"])
    playlist = {"name": "playlist", "args": ["playlist", "--seed", "/music/artist-0/0.flac", "--length", "3"]}
    made = rehearsal.run("ingest", {**containers["ingest"], **playlist})
    assert [title for title in ("Piece 0-1", "Piece 1-0", "Piece 1-1") if title not in made] == []
    door = rehearsal.ports["gateway", rehearsal.pods["gateway"].ports()["http"]]
    with urllib.request.urlopen(f"http://127.0.0.1:{door}/", timeout=_ASK_S) as page:
        assert page.read() == (_EXAMPLE_PAGE / "index.html").read_bytes()
    metrics = {name: rehearsal.metrics(name) for name in _SERVICES}
    told = {name: "museed_tls_certificate_left_seconds" in text for name, text in metrics.items()}
    assert told == dict.fromkeys(_SERVICES, rehearsal.has_tls)
    are_open = {name: rehearsal.is_healthy(name, rehearsal.pods[name].ports()["grpc"]) for name in _SERVICES[:3]}
    assert are_open == dict.fromkeys(_SERVICES[:3], not rehearsal.has_tls)
