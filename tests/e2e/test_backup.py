"""A library is taken away while its mesh runs and comes back elsewhere: the same people, playlists and neighbours."""

import subprocess
from pathlib import Path
from typing import Any

from clients.python.operations import JobStatus, SeedInput
from deploy.local.client import GatewayClient
from deploy.local.playlists import make_playlist, search_tracks, seed_input
from deploy.local.state import State
from tests.e2e.conftest import MUSEED, RunningMesh, tone, write_track

_MINE = "{ me { user { userId username } email } myPlaylists(first: 20) { edges { node { playlistId title } } } }"


def museed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MUSEED, *arguments], check=False, capture_output=True, text=True, timeout=120)


def ignore(job: JobStatus) -> None:
    """A playlist's progress that nobody watches."""


def neighbours(client: GatewayClient, seed: SeedInput) -> list[tuple[str, float]]:
    """The whole order of the library after a seed, with similarities."""
    made = make_playlist(client, [seed], ignore, length=15, max_per_artist=15)
    return [(entry.track.track_id, entry.similarity or 0.0) for entry in made.entries]


def what_it_holds(client: GatewayClient) -> dict[str, Any]:
    return {"mine": client.query(_MINE)}


def test_library_comes_back_from_a_backup(mesh: RunningMesh, tmp_path: Path) -> None:
    upload = write_track(tmp_path / "demo.flac", tone(12, 110 * 2**2 * 1.03, 8, 2.5, seed=7), title="My demo")
    backup, restored = tmp_path / "backup.tar", RunningMesh(tmp_path / "restored" / "state")
    with mesh.person("keeper") as client:
        track = SeedInput(track_id=search_tracks(client, "Piece 1-1", 1)[0].track_id)
        lent = seed_input(client, str(upload))
        near_track, near_upload = neighbours(client, track), neighbours(client, lent)
        before = what_it_holds(client)
        done = museed("backup", backup, "--state", mesh.folder)
        assert done.returncode == 0, done.stderr
        assert backup.stat().st_mode & 0o077 == 0
    again = museed("backup", backup, "--state", mesh.folder)
    assert again.returncode == 1
    assert "is there already" in again.stderr

    damaged = tmp_path / "damaged.tar"
    damaged.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])
    refused = museed("restore", damaged, "--state", restored.folder)
    assert refused.returncode == 1
    assert f"{damaged} is damaged" in refused.stderr
    assert list(restored.folder.iterdir()) == []

    done = museed("restore", backup, "--state", restored.folder)
    assert done.returncode == 0, done.stderr
    for made_again in ("nats", "snapshots"):
        assert not any((restored.folder / made_again).iterdir())
    kept = {name: State.open(one.folder).secret(name) for one in (mesh, restored) for name in ("operator", "postgres")}
    assert kept["operator"] == State.open(mesh.folder).secret("operator")
    assert kept["postgres"] != State.open(mesh.folder).secret("postgres")
    refused = museed("restore", backup, "--state", restored.folder)
    assert refused.returncode == 1
    assert "is not empty" in refused.stderr

    restored.start()
    try:
        with restored.person("keeper") as client:
            assert what_it_holds(client) == before
            assert neighbours(client, track) == near_track
            assert neighbours(client, lent) == near_upload
        with restored.operator() as operator:
            assert operator.query("{ stats { trackCount indexedCount } }")["stats"]["indexedCount"] >= 16
    finally:
        assert restored.stop() == 0
    # A mesh that is down is backed up all the same, and stays down.
    done = museed("backup", tmp_path / "second.tar", "--state", restored.folder)
    assert done.returncode == 0, done.stderr
    assert not (restored.folder / "postgres" / "postmaster.pid").exists()
