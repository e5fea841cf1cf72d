"""Bulk work as KubeRay starts it: a head of Ray with the wheels of the image, and the job that the manifest names."""

import contextlib
import http.client
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.images.requirements import Pin, read
from deploy.images.table import BY_NAME
from deploy.k8s.manifests import FOLDER, Document, of_kind, parse, pods_of, render
from deploy.local.vectors_io import open_matrix
from tests.conftest import free_port
from tests.fixtures.image_trees import ImageTree, make_tree
from tests.integration.embedder import audio_files

pytestmark = pytest.mark.long

_TOKEN = "of-this-test"
_LARGE = ("cuda", "nvidia", "torch", "triton")
_PATIENCE_S = 300
_MOST_STARTS = 5
_ASK_S = 20


def installed(pin: Pin) -> bool:
    try:
        return importlib.metadata.version(pin.name) == pin.version
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.fixture(scope="module")
def job() -> Document:
    [found] = of_kind(parse(render(FOLDER / "bulk")), "RayJob")
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> ImageTree:
    """The image without PyTorch, which `museed-mini` does not need: what is not installed here comes from the index."""
    folder = tmp_path_factory.mktemp("bulk")
    wanted = [pin for pin in read(BY_NAME["embedder-bulk"].requirements) if not pin.name.startswith(_LARGE)]
    made = make_tree(BY_NAME["embedder-bulk"], folder, {pin.name for pin in wanted if installed(pin)})
    more = folder / "more.txt"
    more.write_text("".join(f"{pin.line()}\n" for pin in wanted if not installed(pin)))
    assert "aiohttp-cors==" in more.read_text()
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    command: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
    ]
    subprocess.run([*command, "--python", made.python, "--requirements", more], check=True, timeout=600)
    return made


class Head:
    """A head that runs, asked as kubelets and KubeRay ask it.

    Ray gives each start 30 s of its own, which a busy machine may need: one that ended is started anew.
    """

    def __init__(self, tree: ImageTree, folder: Path, log: Path) -> None:
        self._tree, self._folder, self._log = tree, folder, log
        self._starts = 0
        self._start()

    def _start(self) -> None:
        self._starts += 1
        self._ports = {8265: free_port(), 52365: free_port()}
        # Of a server that nobody needs here; it comes last, and Ray ends where it does not come.
        self._last_port = free_port()
        given = {
            "temp-dir": self._folder, "num-cpus": 2, "object-store-memory": 134217728,
            "port": 0, "ray-client-server-port": self._last_port, "min-worker-port": 0, "max-worker-port": 0,
            "include-dashboard": "true", "dashboard-host": "127.0.0.1",
            "dashboard-port": self._ports[8265], "dashboard-agent-listen-port": self._ports[52365],
        }  # fmt: skip
        arguments = [f"--{name}={value}" for name, value in given.items()]
        apart = ("RAY_", "PYTHON", "MUSEED", "EMBEDDER")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(apart)},
            **self._tree.environment,
            "HOME": str(self._folder),
            "EMBEDDER_ARTIFACT_FOLDER": str(self._folder / "artifacts"),
            "EMBEDDER_ENCODER": "museed-mini",
            "EMBEDDER_MODEL_THREADS": "1",
            "EMBEDDER_BULK_DECODERS": "1",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": _TOKEN,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        with self._log.open("wb") as file:
            self._process = subprocess.Popen(
                [self._tree.python, "-m", "ray.scripts.scripts", "start", "--head", "--block", *arguments],
                cwd=self._tree.app, env=environment, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip

    def said(self) -> str:
        """Return what all processes of this Ray have said last."""
        logs = [self._log, *self._folder.glob("session_*/logs/*.*")]
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in logs)

    def wait_for(self, path: str, port: int) -> None:
        """Wait until it has started and a probe is answered; its dashboard answers before it gives up."""
        until = time.monotonic() + _PATIENCE_S
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get(path, port) == b"success" and "Ray runtime started" in self._log.read_text():
                    # Listens at the node's own address alone.
                    socket.create_connection((self._address(), self._last_port), _ASK_S).close()
                    return
            if self._process.poll() is not None and self._starts < _MOST_STARTS:
                self.end()
                self._start()
                until = time.monotonic() + _PATIENCE_S
            assert self._process.poll() is None, self.said()
            assert time.monotonic() < until, self.said()
            time.sleep(0.5)

    def _address(self) -> str:
        [found] = re.findall(r"--address='([0-9.]+):", self._log.read_text())
        return str(found)

    def get(self, path: str, port: int = 8265, body: Any = None, token: str = "") -> bytes:
        """Ask for a path, with a body to post where there is one."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._ports[port]}{path}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=_ASK_S) as answer:
            found: bytes = answer.read()
        return found

    def end(self) -> None:
        """End it and all that it started."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture(scope="module")
def head(tree: ImageTree, job: Document, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    # Names of its sockets may have 107 letters.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    found = Head(tree, folder, tmp_path_factory.mktemp("log") / "head")
    try:
        for pods in pods_of([job]):
            for probe in ("readinessProbe", "livenessProbe"):
                asked = pods.containers[0][probe]["httpGet"]
                found.wait_for(asked["path"], asked["port"])
        yield found
    finally:
        found.end()
        shutil.rmtree(folder, ignore_errors=True)


def test_job_is_taken_from_who_has_the_token_alone(head: Head) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        head.get("/api/jobs/", body={"entrypoint": "true"})
    refused.value.close()
    assert refused.value.code == 401


def test_job_of_the_manifest_is_heard_to_its_end(head: Head, job: Document, tmp_path: Path) -> None:
    for number in range(2):
        audio_files.write(tmp_path / f"{number}.flac", audio_files.music(32, seed=number, rate=22_050), 22_050)
    lines = "".join(json.dumps({"path": f"{number}.flac"}) + "\n" for number in range(2))
    (tmp_path / "manifest.jsonl").write_text(lines)
    words = shlex.split(job["spec"]["entrypoint"])
    own = {"--workers": "1", "--cpus": "1", "--gpus": "0", "--root": str(tmp_path)}
    words = [own.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    entrypoint = shlex.join(words).replace("/run/bulk", str(tmp_path))

    sent = json.loads(head.get("/api/jobs/", body={"entrypoint": entrypoint}, token=_TOKEN))
    until, told = time.monotonic() + _PATIENCE_S, {"status": ""}
    while told["status"] not in ("SUCCEEDED", "FAILED", "STOPPED") and time.monotonic() < until:
        time.sleep(1)
        told = json.loads(head.get(f"/api/jobs/{sent['submission_id']}", token=_TOKEN))
    logs = json.loads(head.get(f"/api/jobs/{sent['submission_id']}/logs", token=_TOKEN))["logs"]

    assert told["status"] == "SUCCEEDED", f"{told} {logs[-4000:]}"
    assert '{"rows": 2, "heard": 2, "left_out": {}}' in logs
    assert len(open_matrix(tmp_path / "out" / "parts" / "000000" / "vectors.npy")) == 2
