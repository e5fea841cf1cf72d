"""Bad input gets a coded error that names the field, the value and the limit, and the mesh goes on."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from deploy.local.client import ClientError
from deploy.local.playlists import make_playlist, search_tracks, seed_input
from tests.e2e.conftest import RATE_HZ, RunningMesh, tone, write_track

NO_SUCH_ID = "01900000-0000-7000-8000-000000000000"
GENERATE = """mutation G($input: GeneratePlaylistInput!) { generatePlaylist(input: $input) {
  __typename ... on GeneratePlaylistSuccess { job { jobId } } ... on UserError { message code field value limit } } }"""


def refusal(mesh: RunningMesh, request: dict[str, Any]) -> dict[str, Any]:
    """Return code, field, value and limit of a refused generation."""
    with mesh.person("ann") as client:
        answer = client.query(GENERATE, input=request)["generatePlaylist"]
    return {key: answer.get(key) for key in ("code", "field", "value", "limit")}


def seed(mesh: RunningMesh) -> dict[str, str]:
    with mesh.guest() as client:
        return {"trackId": search_tracks(client, "Piece 0-0", 1)[0].track_id}


def test_unknown_track_is_named(mesh: RunningMesh) -> None:
    found = refusal(mesh, {"seeds": [{"trackId": NO_SUCH_ID}]})
    assert found["code"] == "TRACK_NOT_FOUND"
    assert (found["field"], found["value"]) == ("seeds[0].trackId", NO_SUCH_ID)


@pytest.mark.parametrize(("length", "limit"), [(0, "1"), (-1, "1"), (501, "500"), (10_000, "500")])
def test_length_out_of_range_is_told_with_its_limit(mesh: RunningMesh, length: int, limit: str) -> None:
    found = refusal(mesh, {"seeds": [seed(mesh)], "length": length})
    assert found["field"] == "length"
    assert found["value"] == str(length)
    assert limit in found["limit"]


def test_empty_seed_list_is_refused(mesh: RunningMesh) -> None:
    assert refusal(mesh, {"seeds": []})["field"] == "seeds"


def test_foreign_upload_does_not_exist(mesh: RunningMesh, tmp_path: Path) -> None:
    path = write_track(tmp_path / "mine.flac", tone(5, 440, 3, 1, seed=1), title="Mine")
    with mesh.person("bob") as bob:
        upload_id = bob.upload(path).upload_id
    assert refusal(mesh, {"seeds": [{"uploadId": upload_id}]})["code"] == "UPLOAD_NOT_FOUND"


def test_guest_must_log_in_to_generate(mesh: RunningMesh) -> None:
    with mesh.guest() as guest:
        with pytest.raises(ClientError) as caught:
            guest.mutate(GENERATE, {"seeds": [seed(mesh)]})
    assert caught.value.code == "LOGIN_REQUIRED"


@pytest.mark.parametrize("token", ["garbage", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."])
def test_forged_token_is_refused(mesh: RunningMesh, token: str) -> None:
    with mesh.guest() as client:
        client._token = token
        with pytest.raises(ClientError) as caught:
            client.query("{ me { user { username } } }")
    assert caught.value.code == "TOKEN_INVALID"


def test_other_host_names_are_refused(mesh: RunningMesh) -> None:
    answer = httpx.get(f"{mesh.url}/healthz", headers={"Host": "rebound.example"})
    assert (answer.status_code, httpx.get(f"{mesh.url}/healthz").status_code) == (400, 200)


def silent(path: Path) -> None:
    soundfile.write(path, np.zeros(10 * RATE_HZ, dtype=np.float32), RATE_HZ, format="FLAC")


def too_short(path: Path) -> None:
    soundfile.write(path, tone(0.2, 440, 3, 1, seed=1), RATE_HZ, format="FLAC")


def text(path: Path) -> None:
    path.write_bytes(b"no music " * 1000)


def bomb(path: Path) -> None:
    """Half a megabyte of FLAC that decodes to hours of near silence."""
    with soundfile.SoundFile(path, "w", 8000, 8, format="FLAC", subtype="PCM_16") as file:
        block = np.zeros((8000 * 60, 8), dtype=np.int16)
        for _ in range(6 * 60):
            file.write(block)


@pytest.mark.parametrize(
    ("make", "reasons"),
    [
        (silent, {"AUDIO_SILENT"}),
        (too_short, {"AUDIO_TOO_SHORT"}),
        (text, {"NOT_AUDIO"}),
        (bomb, {"AUDIO_TOO_LONG", "DECODE_LIMIT", "AUDIO_SILENT"}),
    ],
)
def test_upload_that_cannot_be_heard_fails_with_its_reason(
    mesh: RunningMesh, tmp_path: Path, make: Any, reasons: set[str]
) -> None:
    path = tmp_path / "upload.flac"
    make(path)
    with mesh.person("ann") as client:
        with pytest.raises(ClientError) as caught:
            make_playlist(client, [seed_input(client, str(path))], lambda *_: None, length=3)
    assert caught.value.code in reasons


def test_empty_upload_is_refused(mesh: RunningMesh, tmp_path: Path) -> None:
    path = tmp_path / "empty.mp3"
    path.write_bytes(b"")
    with mesh.person("ann") as client:
        with pytest.raises(ClientError) as caught:
            client.upload(path)
    assert caught.value.code in {"UPLOAD_EMPTY", "AUDIO_EMPTY"}
