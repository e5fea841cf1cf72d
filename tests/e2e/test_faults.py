"""Nothing is lost: any process killed with -9 while it works, the supervisor too, or all of NATS's memory gone."""

import shutil
import threading
import time
from pathlib import Path

import pytest

from deploy.local.client import ClientError
from deploy.local.ingest import IngestReport
from deploy.local.playlists import make_playlist
from tests.e2e.conftest import RunningMesh, render_library

TRACKS = 8


def counts(mesh: RunningMesh) -> tuple[int, int, int]:
    with mesh.guest() as client:
        stats = client.query("{ stats { trackCount indexedCount playlistCount } }")["stats"]
    return stats["trackCount"], stats["indexedCount"], stats["playlistCount"]


def ingest_again_and_again(mesh: RunningMesh, library: Path) -> IngestReport:
    """Ingest as a person would who repeats the command until it ends well."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return mesh.ingest(library)
        except ClientError:  # what the kill caused: the command is safe to repeat
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


@pytest.mark.parametrize("victim", ["postgres", "nats", "embedder", "social", "retriever", "gateway"])
def test_killed_process_loses_nothing(own_mesh: RunningMesh, tmp_path: Path, victim: str) -> None:
    library = render_library(tmp_path / "music", artists=2, tracks=TRACKS // 2)
    killer = threading.Timer(1.5, own_mesh.kill, [victim])
    killer.start()
    report = ingest_again_and_again(own_mesh, library)
    killer.join()
    assert (report.indexed, report.left_out) == (TRACKS, [])
    deadline = time.monotonic() + 60
    while True:
        try:
            with own_mesh.person("ann") as client:
                found = client.query('{ searchTracks(query: "Piece 0-0", first: 1) { nodes { trackId } } }')
                seed = found["searchTracks"]["nodes"][0]["trackId"]
                playlist = make_playlist(client, [{"trackId": seed}], lambda *_: None, length=TRACKS, maxPerArtist=4)
            break
        except ClientError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    assert len({entry["track"]["trackId"] for entry in playlist["entries"]}) == TRACKS
    assert counts(own_mesh)[:2] == (TRACKS, TRACKS)


def test_killed_supervisor_takes_all_along_and_the_next_goes_on(own_mesh: RunningMesh, tmp_path: Path) -> None:
    library = render_library(tmp_path / "music", artists=2, tracks=TRACKS // 2)
    killer = threading.Timer(1.5, own_mesh.kill, ["supervisor"])
    killer.start()
    with pytest.raises(ClientError):
        own_mesh.ingest(library)
    killer.join()
    own_mesh.start()
    report = own_mesh.ingest(library)
    assert (report.indexed, report.left_out) == (TRACKS, [])
    assert counts(own_mesh) == (TRACKS, TRACKS, 0)


def test_wiped_nats_store_is_as_if_nothing_had_happened(own_mesh: RunningMesh, tmp_path: Path) -> None:
    library = render_library(tmp_path / "music", artists=2, tracks=TRACKS // 2)
    own_mesh.ingest(library)
    assert own_mesh.stop() == 0
    shutil.rmtree(own_mesh.folder / "nats")
    shutil.rmtree(own_mesh.folder / "snapshots")
    own_mesh.start()
    report = own_mesh.ingest(library)
    assert report.outcomes == {"UNCHANGED": TRACKS}
    with own_mesh.person("ann") as client:
        found = client.query('{ searchTracks(query: "Piece 0-0", first: 1) { nodes { trackId } } }')
        seed = found["searchTracks"]["nodes"][0]["trackId"]
        playlist = make_playlist(client, [{"trackId": seed}], lambda *_: None, length=TRACKS, maxPerArtist=4)
    assert len(playlist["entries"]) == TRACKS
