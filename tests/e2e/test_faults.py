"""Nothing is lost: any process killed with -9 while it works, the supervisor too, or all of NATS's memory gone."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from uuid_utils.compat import uuid7

from clients.python.operations import SeedInput
from deploy.local import patience
from deploy.local.client import ClientError, GatewayClient
from deploy.local.playlists import make_playlist, search_tracks, seed_input
from tests.e2e.conftest import RunningMesh, Silent, folder_of_a_mesh, render_library, tone, write_track
from tests.e2e.waiting import eventually, patiently

PROCESSES = ["postgres", "nats", "embedder", "social", "retriever", "gateway"]
TRACKS = 6
T = TypeVar("T")

_GENERATE = """mutation G($input: GeneratePlaylistInput!) { generatePlaylist(input: $input) {
  __typename ... on GeneratePlaylistSuccess { job { jobId } } ... on UserError { message code } } }"""
_JOB = "query J($id: ID!) { job(id: $id) { state isFinished playlistId failureReason failureMessage } }"


@pytest.fixture(scope="module")
def mesh(memory_folder: Path) -> Iterator[RunningMesh]:
    """A mesh for these tests to kill parts of; it must be whole again after each."""
    running = RunningMesh(folder_of_a_mesh(memory_folder))
    running.start()
    yield running
    assert running.stop() == 0


def counts(mesh: RunningMesh) -> dict[str, int]:
    def ask() -> dict[str, int]:
        with mesh.guest() as client:
            found: dict[str, int] = client.query("{ stats { trackCount indexedCount playlistCount } }")["stats"]
            return found

    return patiently(ask)


def library_of_its_own(folder: Path, number: int) -> Path:
    """Render a library that no other test has: the seed of the noise makes other audio."""
    return render_library(folder, artists=2, tracks=TRACKS // 2, seed=1000 * (number + 1))


@pytest.mark.parametrize("victim", PROCESSES)
def test_process_killed_during_ingest_loses_nothing(mesh: RunningMesh, tmp_path: Path, victim: str) -> None:
    library = library_of_its_own(tmp_path / "music", PROCESSES.index(victim))
    before = counts(mesh)
    killer = threading.Timer(1.0, mesh.kill, [victim])
    killer.start()
    report = patiently(lambda: mesh.ingest(library))
    killer.join()
    assert (report.indexed, report.left_out) == (TRACKS, [])
    after = counts(mesh)
    assert after["trackCount"] == after["indexedCount"] == before["trackCount"] + TRACKS


@pytest.mark.parametrize("victim", PROCESSES)
def test_process_killed_during_generation_makes_one_playlist(mesh: RunningMesh, tmp_path: Path, victim: str) -> None:
    upload = write_track(tmp_path / "demo.flac", tone(600, 200, 4, 2, seed=PROCESSES.index(victim)), title="Demo")
    before = counts(mesh)
    if before["trackCount"] == 0:
        mesh.ingest(library_of_its_own(tmp_path / "music", 99))

    def as_ann(call: Callable[[GatewayClient], T]) -> T:
        with mesh.person("ann") as client:
            return call(client)

    seed = patiently(lambda: as_ann(lambda client: seed_input(client, str(upload))))
    request = {"seeds": [seed.written()], "length": 5, "maxPerArtist": 5, "idempotencyKey": str(uuid7())}
    killer = threading.Timer(0.3, mesh.kill, [victim])
    killer.start()
    job_id = patiently(lambda: as_ann(lambda client: client.mutate(_GENERATE, request)))["job"]["jobId"]
    job = eventually(
        lambda: patiently(lambda: as_ann(lambda client: client.query(_JOB, id=job_id)))["job"],
        lambda job: job["isFinished"],
    )
    killer.join()
    assert (job["state"], job["failureReason"]) == ("SUCCEEDED", None)
    assert counts(mesh)["playlistCount"] == before["playlistCount"] + 1
    again = patiently(lambda: as_ann(lambda client: client.mutate(_GENERATE, request)))
    assert again["job"]["jobId"] == job_id


def all_of_it(client: GatewayClient) -> set[str]:
    """Return the titles of a playlist that must hold the whole library."""
    seed = search_tracks(client, "Piece 0-0", 1)[0].track_id
    playlist = make_playlist(client, [SeedInput(track_id=seed)], lambda _: None, length=TRACKS, max_per_artist=TRACKS)
    return {entry.track.title for entry in playlist.entries}


def titles() -> set[str]:
    return {f"Piece {artist}-{number}" for artist in range(2) for number in range(TRACKS // 2)}


def test_killed_supervisor_takes_all_along_and_the_next_goes_on(
    own_mesh: RunningMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_PATIENCE_S", 0.0)
    library = render_library(tmp_path / "music", artists=2, tracks=TRACKS // 2)

    class KillAtWork(Silent):
        """Kills as soon as the tracks are known, when the first of them are being heard."""

        def __init__(self) -> None:
            self.was_done: int | None = None

        def embedding(self, done: int, total: int) -> None:
            if self.was_done is None:
                self.was_done = done
                own_mesh.kill("supervisor")

    killer = KillAtWork()
    with pytest.raises(ClientError):
        own_mesh.ingest(library, killer)
    assert killer.was_done is not None
    assert killer.was_done < TRACKS
    own_mesh.start()
    report = own_mesh.ingest(library)
    assert (report.indexed, report.left_out) == (TRACKS, [])
    with own_mesh.person("ann") as client:
        assert all_of_it(client) == titles()


def test_nats_store_wiped_during_ingest_loses_nothing(own_mesh: RunningMesh, tmp_path: Path) -> None:
    library = render_library(tmp_path / "music", artists=2, tracks=TRACKS // 2)

    def wipe() -> None:
        own_mesh.kill("nats")
        shutil.rmtree(own_mesh.folder / "nats", ignore_errors=True)

    wiper = threading.Timer(0.7, wipe)
    wiper.start()
    report = own_mesh.ingest(library)
    wiper.join()
    assert (report.indexed, report.left_out) == (TRACKS, [])
    with own_mesh.person("ann") as client:
        assert patiently(lambda: all_of_it(client)) == titles()


def test_wiped_nats_store_is_as_if_nothing_had_happened(own_mesh: RunningMesh, tmp_path: Path) -> None:
    library = render_library(tmp_path / "music", artists=2, tracks=TRACKS // 2)
    own_mesh.ingest(library)
    assert own_mesh.stop() == 0
    shutil.rmtree(own_mesh.folder / "nats")
    shutil.rmtree(own_mesh.folder / "snapshots")
    own_mesh.start()
    with own_mesh.person("ann") as client:
        assert all_of_it(client) == titles()
    assert own_mesh.ingest(library).outcomes == {"UNCHANGED": TRACKS}
