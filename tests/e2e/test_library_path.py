"""What people do with the library itself: look around in it, search by a recording, see covers, take uploads back."""

from pathlib import Path
from typing import Any

import httpx
import mutagen
import numpy as np
import soundfile
from mutagen.flac import FLAC, Picture

from tests.e2e.conftest import RunningMesh
from tests.e2e.waiting import ended, eventually

JPEG = b"\xff\xd8\xff\xe0 a picture"
SEARCH = """query($track: ID, $upload: ID) {
  referenceSearch(trackId: $track, uploadId: $upload, first: 5, segments: 2) {
    candidateCount withoutWindowsCount durationSeconds edges {
      node { trackId title artist } score similarity sharedTags
      segments { similarity reference { startSeconds endSeconds } track { startSeconds endSeconds } } } } }"""
HEAR = """mutation($input: HearUploadInput!) { hearUpload(input: $input) { __typename
  ... on HearUploadSuccess { job { jobId state } }
  ... on UserError { code message field value limit retryAfterMs } } }"""


def test_demo_is_heard_and_found_with_its_seconds(mesh: RunningMesh, library: Path, tmp_path: Path) -> None:
    """A demo of two parts of a piece, the later one first: the piece is found, and where."""
    samples, rate = soundfile.read(library / "artist-2" / "1.flac")
    piece = samples[: 30 * rate]
    demo = np.concatenate([piece[20 * rate : 30 * rate], piece[: 10 * rate]])
    soundfile.write(tmp_path / "demo.wav", demo, rate)
    with mesh.person("ann") as client:
        upload_id = client.upload(tmp_path / "demo.wav").upload_id
        job = client.mutate(HEAR, {"uploadId": upload_id})["job"]
        assert ended(client, job["jobId"])["state"] == "SUCCEEDED"
        upload = client.query("{ myUploads(first: 1) { nodes { uploadId isHeard tags(first: 3) { name } } } }")
        (mine,) = upload["myUploads"]["nodes"]
        assert (mine["uploadId"], mine["isHeard"], len(mine["tags"])) == (upload_id, True, 3)
        found = client.query(SEARCH, upload=upload_id)["referenceSearch"]
        best = found["edges"][0]
        assert best["node"]["title"] == "Piece 2-1"
        assert (found["durationSeconds"], found["withoutWindowsCount"]) == (20, 0)
        places = {(pair["reference"]["startSeconds"], pair["track"]["startSeconds"]) for pair in best["segments"]}
        assert places == {(0, 20), (10, 0)}
        assert all(pair["similarity"] > 0.95 for pair in best["segments"])
        client.mutate(
            """mutation($input: DeleteUploadInput!) { deleteUpload(input: $input) { __typename
              ... on UserError { code message field value limit retryAfterMs } } }""",
            {"uploadId": upload_id},
        )
        gone = client.query("{ myUploads { nodes { uploadId } } }")["myUploads"]["nodes"]
        assert upload_id not in {one["uploadId"] for one in gone}


def test_track_finds_others_and_not_itself(mesh: RunningMesh) -> None:
    with mesh.person("ann") as client:
        track = client.query('{ searchTracks(query: "Piece 1-1", first: 1) { nodes { trackId } } }')
        track_id = track["searchTracks"]["nodes"][0]["trackId"]
        found: dict[str, Any] = client.query(SEARCH, track=track_id)["referenceSearch"]
        assert track_id not in {edge["node"]["trackId"] for edge in found["edges"]}
        scores = [edge["score"] for edge in found["edges"]]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == 5


def test_library_is_browsed_and_covers_are_seen(mesh: RunningMesh, library: Path, tmp_path: Path) -> None:
    folder = tmp_path / "covered"
    folder.mkdir()
    path = folder / "song.flac"
    path.write_bytes((library / "artist-3" / "2.flac").read_bytes())
    file = FLAC(path)
    picture = Picture()
    picture.type, picture.mime, picture.data = 3, "image/jpeg", JPEG
    file.add_picture(picture)
    file.update(title="Covered", artist="The Covered", album="Covers", isrc="KRA301200001")
    file.save()
    assert isinstance(mutagen.File(path), FLAC)
    assert mesh.ingest(folder).outcomes == {"CREATED": 1}
    assert mesh.ingest(folder).unread == 1
    document = """{ searchTracks(query: "Covered", first: 1) { nodes {
      trackId coverUrl details { isrc artist { name trackCount tracks { nodes { title } } albums { nodes { title } } }
        album { albumId title coverUrl tracks { nodes { title } } } } } } }"""
    with mesh.guest() as client:
        # Names are looked at a moment after a registration.
        (track,) = eventually(
            lambda: client.query(document)["searchTracks"]["nodes"], lambda found: found[0]["details"]["artist"]
        )
    assert track["details"]["isrc"] == "KRA301200001"
    assert track["details"]["artist"] == {
        "name": "The Covered",
        "trackCount": 1,
        "tracks": {"nodes": [{"title": "Covered"}]},
        "albums": {"nodes": [{"title": "Covers"}]},
    }
    assert track["details"]["album"]["tracks"] == {"nodes": [{"title": "Covered"}]}
    with httpx.Client(base_url=mesh.url, timeout=60) as http:
        for url in (track["coverUrl"], track["details"]["album"]["coverUrl"]):
            response = http.get(url)
            assert (response.status_code, response.content) == (200, JPEG)
            assert response.headers["content-type"] == "image/jpeg"
    bare = '{ searchTracks(query: "Piece 2-0", first: 1) { nodes { coverUrl details { album { coverUrl } } } } }'
    with mesh.guest() as client:
        assert client.query(bare)["searchTracks"]["nodes"] == [
            {"coverUrl": None, "details": {"album": {"coverUrl": None}}}
        ]
