"""Another encoder takes over in a running mesh with tracks in it, and goes back: nothing is lost, nothing mixed."""

import asyncio
import dataclasses
import itertools
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest
from safetensors import numpy as safetensors

from clients.python.operations import SeedInput
from deploy.local.client import ClientError, GatewayClient
from deploy.local.playlists import make_playlist, seed_input
from deploy.local.postgres import Postgres
from deploy.local.state import State
from services.embedder.artifact import open_artifact, write_artifact
from services.embedder.choice import MINI_FOLDER
from services.retriever.similarity import cosines
from tests.e2e.conftest import MUSEED, RunningMesh, folder_of_a_mesh, tone, write_track
from tests.e2e.waiting import PATIENCE_S, eventually, patiently

TRACKS = 30
SECONDS = 31
LENGTH = 5

ENCODERS = "{ encoders { encoderId name role trackCount indexedCount failedCount isRunning } }"
ENCODER_OF = "query P($id: ID!) { playlist(id: $id) { encoderId } }"
SIMILAR = "query S($id: ID!) { similarTracks(trackId: $id, first: 5) { nodes { trackId } } }"
VECTORS = """
SELECT progress.track_id::text AS track_id, embedding.vector
FROM track_embeddings AS progress
JOIN embeddings AS embedding USING (encoder_id, audio_hash) WHERE progress.encoder_id = $1 ORDER BY progress.track_id
"""


@pytest.fixture(scope="module")
def mesh(memory_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMesh]:
    """A mesh with a library of thirty tracks, each of an artist of its own, so that only sound orders a list."""
    folder = tmp_path_factory.mktemp("switch")
    for number in range(TRACKS):
        # Of different lengths: of two that sound alike and are as long as each other one is a near-duplicate.
        seconds = SECONDS + 2.1 * number
        audio = tone(seconds, 55 * 2 ** (number / 6), 1 + number % 7, 0.3 + 0.4 * (number % 5), seed=number)
        name = f"{number:02d}"
        write_track(folder / "music" / f"{name}.flac", audio, title=f"Piece {name}", artist=f"Artist {name}")
    running = RunningMesh(folder_of_a_mesh(memory_folder))
    running.start()
    running.ingest(folder / "music")
    yield running
    assert running.stop() == 0


def centred(mesh: RunningMesh, folder: Path, name: str, seed: int) -> Path:
    """Make another encoder of the one that serves: it subtracts a mean from every vector."""
    original = open_artifact(MINI_FOLDER)
    weights = safetensors.load_file(original.weights_path)
    weights["centring.mean"] = (np.random.default_rng(seed).standard_normal(original.manifest.dim) * 0.05).astype(
        np.float32
    )
    manifest = dataclasses.replace(original.manifest, name=name, centring="centring.mean")
    return write_artifact(folder / name, safetensors.save(weights), manifest).folder


def museed(mesh: RunningMesh, *arguments: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [MUSEED, *arguments, "--state", mesh.folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def encoders(mesh: RunningMesh) -> dict[str, dict[str, Any]]:
    """Every encoder by its role; waits for a mesh that comes back."""

    def ask() -> dict[str, dict[str, Any]]:
        with mesh.operator() as client:
            return {row["role"]: row for row in client.query(ENCODERS)["encoders"]}

    return patiently(ask, FileNotFoundError)


def vectors(mesh: RunningMesh, encoder_id: str) -> tuple[list[str], np.ndarray]:
    """What the truth says of an encoder: track ids, and their vectors, shape (tracks, dim)."""

    async def fetch() -> list[asyncpg.Record]:
        url = Postgres.at(mesh.folder / "postgres", State.open(mesh.folder).secret("postgres")).url()
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(VECTORS, encoder_id))
        finally:
            await connection.close()

    rows = asyncio.run(fetch())
    return [row["track_id"] for row in rows], np.stack([np.frombuffer(row["vector"], np.float32) for row in rows])


def neighbours(mesh: RunningMesh, encoder_id: str) -> dict[str, set[str]]:
    """The exact neighbours of every track under an encoder; their order in a playlist is that of its flow."""
    ids, matrix = vectors(mesh, encoder_id)
    assert len(ids) == TRACKS
    found = {}
    for row, track_id in enumerate(ids):
        cosine = cosines(matrix, matrix[row])
        order = sorted((-float(cosine[other]), ids[other]) for other in range(TRACKS) if other != row)
        found[track_id] = {other for _, other in order[:LENGTH]}
    return found


class Listener(threading.Thread):
    """Somebody who asks for playlists and similar tracks without a pause, and never expects a failure."""

    def __init__(self, mesh: RunningMesh, seeds: list[str]) -> None:
        super().__init__()
        self._mesh = mesh
        self._seeds = seeds
        self._ended = threading.Event()
        self.playlists: list[tuple[str, str, list[str]]] = []
        self.failures: list[str] = []

    def run(self) -> None:
        with self._mesh.person("ann") as client:
            number = 0
            while not self._ended.is_set():
                seed = self._seeds[number % len(self._seeds)]
                number += 1
                try:
                    client.query(SIMILAR, id=seed)
                    self.playlists.append((seed, *playlist(client, SeedInput(track_id=seed))))
                except ClientError as error:
                    self.failures.append(f"{error.code}: {error}")

    def end(self) -> None:
        self._ended.set()
        self.join(PATIENCE_S)


def playlist(client: GatewayClient, seed: SeedInput) -> tuple[str, list[str]]:
    """Make a playlist; returns its encoder and its tracks without the seed, in their order."""
    made = make_playlist(client, [seed], lambda _: None, length=LENGTH)
    encoder_id: str = client.query(ENCODER_OF, id=made.playlist_id)["playlist"]["encoderId"]
    return encoder_id, [entry.track.track_id for entry in made.entries if not entry.is_seed]


def test_what_cannot_be_switched_to_is_told_with_its_code(mesh: RunningMesh, tmp_path: Path) -> None:
    for arguments, code in (
        (("switch", "no-such-encoder"), "ENCODER_UNAVAILABLE"),
        (("switch", str(tmp_path)), "ARTIFACT_MISSING"),
        (("switch", "museed-mini"), "ENCODER_ALREADY_SERVING"),
        (("rollback",), "NO_PREVIOUS_ENCODER"),
    ):
        done = museed(mesh, "encoder", *arguments)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {code}: "), done.stderr
    assert list(encoders(mesh)) == ["SERVING"]
    nowhere = RunningMesh(tmp_path / "nowhere")
    done = museed(nowhere, "encoder", "switch", "musicnn-mtt")
    assert done.returncode == 1
    assert "no mesh runs in" in done.stderr


def test_switch_and_rollback_lose_and_mix_nothing(mesh: RunningMesh, tmp_path: Path) -> None:
    first = encoders(mesh)["SERVING"]["encoderId"]
    exact = {first: neighbours(mesh, first)}
    upload = write_track(tmp_path / "demo.flac", tone(SECONDS, 333, 4, 0.7, seed=77), title="Demo")
    listener = Listener(mesh, list(exact[first]))
    listener.start()
    try:
        done = museed(mesh, "encoder", "switch", str(centred(mesh, tmp_path, "centred", 1)))
        assert done.returncode == 0, done.stderr
        found = encoders(mesh)
        second = found["SERVING"]["encoderId"]
        assert (second.startswith("centred-"), found["PREVIOUS"]["encoderId"]) == (True, first)
        assert (found["SERVING"]["indexedCount"], found["SERVING"]["failedCount"]) == (TRACKS, 0)
        with mesh.person("bob") as bob:
            assert playlist(bob, seed_input(bob, str(upload)))[0] == second
        time.sleep(1.5)  # the listener goes on for a while
        done = museed(mesh, "encoder", "rollback")
        assert done.returncode == 0, done.stderr
        assert encoders(mesh)["SERVING"]["encoderId"] == first
        time.sleep(1.0)
    finally:
        listener.end()
    exact[second] = neighbours(mesh, second)
    assert listener.failures == []
    assert exact[first] != exact[second]
    wrong = [
        (seed, encoder_id, tracks)
        for seed, encoder_id, tracks in listener.playlists
        if (exact[encoder_id][seed], LENGTH) != (set(tracks), len(tracks))
    ]
    assert wrong == []
    served = [encoder_id for _, encoder_id, _ in listener.playlists]
    changes = [two for two in itertools.pairwise(served) if two[0] != two[1]]
    assert changes == [(first, second), (second, first)]


def test_switch_goes_on_after_ctrl_c_and_kills(mesh: RunningMesh, tmp_path: Path) -> None:
    first = encoders(mesh)["SERVING"]["encoderId"]
    folder = centred(mesh, tmp_path, "other-centre", 2)
    command: list[str | Path] = [MUSEED, "encoder", "switch", folder, "--state", mesh.folder]
    client = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    found = eventually(
        lambda: encoders(mesh), lambda found: "CANDIDATE" in found or found["SERVING"]["encoderId"] != first
    )
    client.send_signal(signal.SIGINT)
    _, told = client.communicate(timeout=PATIENCE_S)
    assert (client.returncode, "encoder list" in told) == (130, True)
    assert found["CANDIDATE"]["encoderId"].startswith("other-centre-")
    again = museed(mesh, "encoder", "switch", "musicnn-mtt")
    assert again.stderr.startswith("error: SWITCH_UNDER_WAY: "), again.stderr

    mesh.kill("embedder-2")
    mesh.kill("supervisor")
    mesh.start()
    found = eventually(lambda: encoders(mesh), lambda found: found["SERVING"]["encoderId"] != first)
    second = found["SERVING"]["encoderId"]
    assert second.startswith("other-centre-")
    assert (found["SERVING"]["indexedCount"], found["PREVIOUS"]["encoderId"]) == (TRACKS, first)
    exact = neighbours(mesh, second)
    with mesh.person("ann") as ann:
        for seed in list(exact)[:3]:
            made_by, tracks = playlist(ann, SeedInput(track_id=seed))
            assert (made_by, set(tracks), len(tracks)) == (second, exact[seed], LENGTH)

    # The supervisor follows social's row; it may be at starting a process at the moment.
    eventually(lambda: json.loads((mesh.folder / "encoder.json").read_text())["encoder_id"] == second)
    assert mesh.stop() == 0
    mesh.start()
    with mesh.person("ann") as ann:
        seed = next(iter(exact))
        made_by, tracks = playlist(ann, SeedInput(track_id=seed))
        assert (made_by, set(tracks), len(tracks)) == (second, exact[seed], LENGTH)
    eventually(lambda: encoders(mesh)["PREVIOUS"]["isRunning"])
