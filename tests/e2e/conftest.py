"""A whole mesh as a person starts it: `museed up` in a folder of its own, with a small library rendered here."""

import contextlib
import json
import os
import signal
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import mutagen
import numpy as np
import psutil
import pytest
import soundfile

from deploy.local import account
from deploy.local.client import Credentials, GatewayClient
from deploy.local.ingest import IngestProgress, IngestReport, ingest_folder
from deploy.local.state import State
from tests.e2e.spans import Spans, collected
from tests.e2e.waiting import PATIENCE_S

MUSEED = Path(sysconfig.get_path("scripts")) / "museed"
RATE_HZ = 22050


# What a document asks of every error of a mutation.
ERROR_FIELDS = "... on UserError { message code field value limit }"


class Silent:
    """An ingest's progress that nobody watches."""

    def reading(self, done: int, total: int) -> None: ...

    def embedding(self, done: int, total: int) -> None: ...


class RunningMesh:
    """`museed up` in a folder. A test may kill what it likes of it.

    Args:
        folder: Its state.
        options: Further ones of the command.
        observed: Where its spans go, if anywhere.
        environment: Further settings.
    """

    def __init__(self, folder: Path, *options: str, observed: "Spans | None" = None, **environment: str) -> None:
        self.folder = folder
        self.observed = observed
        self._options = options
        self._environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        names = ["GATEWAY", "SOCIAL", "EMBEDDER", "RETRIEVER", "NATS", *(["METRICS"] if self.observed else [])]
        ports = {f"MUSEED_{name}_PORT": "0" for name in names}
        watched = ["--observe", self.observed.address] if self.observed else []
        with (self.folder.parent / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [MUSEED, "up", "--state", self.folder, *watched, *self._options],
                env={**os.environ, **ports, **self._environment},
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                self.process.wait(PATIENCE_S)
                raise AssertionError(f"the mesh did not start:\n{(self.folder.parent / 'up.log').read_text()}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        try:
            found = json.loads((self.folder / "mesh.json").read_text())
        except FileNotFoundError:
            return False
        return self.process is not None and found["pid"] == self.process.pid

    @property
    def url(self) -> str:
        found: dict[str, str] = json.loads((self.folder / "mesh.json").read_text())
        return found["url"]

    def supervisor(self) -> psutil.Process:
        assert self.process is not None
        return psutil.Process(self.process.pid)

    def stop(self) -> int:
        """Stop as Ctrl-C does and return the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)

    def kill(self, name: str) -> None:
        """Kill -9 one of the mesh's processes by its name, or "supervisor"."""
        assert self.process is not None
        if name == "supervisor":
            self.process.kill()
            self.process.wait(PATIENCE_S)
            return
        psutil.Process(self.processes()[name]).kill()

    def processes(self) -> dict[str, int]:
        """Return the process ids of its parts by name."""
        found = json.loads((self.folder / "processes.json").read_text())
        return {name: row["pid"] for name, row in found.items()}

    def operator(self) -> GatewayClient:
        return GatewayClient(self.url, account.operator(State.open(self.folder)))

    def person(self, name: str) -> GatewayClient:
        who = Credentials(name, f"password of {name}", sign_up_email=f"{name}@example.org")
        with contextlib.ExitStack() as undo:
            client = undo.enter_context(GatewayClient(self.url, who))
            client.enter()
            undo.pop_all()
        return client

    def guest(self) -> GatewayClient:
        return GatewayClient(self.url, None)

    def ingest(self, library: Path, progress: IngestProgress | None = None) -> IngestReport:
        with self.operator() as client:
            return ingest_folder(client, library, progress or Silent())


def folder_of_a_mesh(memory_folder: Path) -> Path:
    """Return where a mesh may keep its state. Its parent is the mesh's own, too."""
    return Path(tempfile.mkdtemp(prefix="mesh-", dir=memory_folder)) / "state"


def tone(seconds: float, register_hz: float, harmonics: int, pulse_hz: float, seed: int) -> np.ndarray:
    """Render a chord that throbs, with a little noise: shape (samples,), float32, within ±0.6."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    voice = sum(np.sin(2 * np.pi * register_hz * n * time_s + n) / n for n in range(1, harmonics + 1))
    pulse = 0.6 + 0.4 * np.sin(2 * np.pi * pulse_hz * time_s)
    noise = np.random.default_rng(seed).standard_normal(len(time_s)) * 0.02
    audio = voice * pulse + noise
    return np.asarray(0.5 * audio / np.abs(audio).max(), dtype=np.float32)


def write_track(path: Path, audio: np.ndarray, **tags: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, RATE_HZ, format="FLAC")
    file = mutagen.File(path)
    file.update(tags)
    file.save()
    return path


def render_library(folder: Path, artists: int = 4, tracks: int = 4, seed: int = 0) -> Path:
    """Render `artists` × `tracks` pieces of 31 s and more.

    An artist's pieces sound so much alike that of two of one length one would be a near-duplicate.
    """
    for artist in range(artists):
        for number in range(tracks):
            audio = tone(
                31 + 2.5 * number,
                110 * 2**artist * (1 + 0.06 * number),
                2 + 3 * artist,
                0.5 + artist,
                seed + 10 * artist + number,
            )
            write_track(
                folder / f"artist-{artist}" / f"{number}.flac",
                audio,
                title=f"Piece {artist}-{number}",
                artist=f"Artist {artist}",
                album=f"Album {artist}",
                genre="Electronic",
                date="2020",
            )
    return folder


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_library(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="session")
def spans() -> Iterator[Spans]:
    """A collector of spans, as an operator has one."""
    with collected() as found:
        yield found


@pytest.fixture(scope="session")
def mesh(memory_folder: Path, library: Path, spans: Spans) -> Iterator[RunningMesh]:
    """A mesh that holds the library, and is observed; tests add to it and break nothing of it."""
    running = RunningMesh(folder_of_a_mesh(memory_folder), observed=spans)
    running.start()
    running.ingest(library)
    yield running
    assert running.stop() == 0


@pytest.fixture
def own_mesh(memory_folder: Path) -> Iterator[RunningMesh]:
    """An empty mesh of this test's own, to be broken; it is stopped at the end if it still runs."""
    running = RunningMesh(folder_of_a_mesh(memory_folder))
    running.start()
    yield running
    if running.process is not None and running.process.poll() is None:
        assert running.stop() == 0
