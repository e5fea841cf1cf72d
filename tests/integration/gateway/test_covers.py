"""Cover art over HTTP: from files and folders, with validators, once for all, whatever a file does."""

import asyncio
import hashlib
import os
import zlib
from pathlib import Path
from typing import Any

import pytest
from mutagen.id3 import APIC, ID3

from museed.social.v1 import catalog_pb2, library_pb2
from services.gateway.covers import extraction
from tests.fakes.upstreams import make_track, new_id
from tests.fixtures.recordings import write_recording, write_tags
from tests.integration.gateway.conftest import Gateway, serving_gateway
from tests.unit.gateway.test_covers import JPEG, PNG

pytestmark = pytest.mark.asyncio(loop_scope="module")


def add_file(gateway: Gateway, path: Path, root: Path) -> str:
    """Tell social of a file; returns its track."""
    data = path.read_bytes()
    track_id = new_id()
    gateway.social.media[track_id] = catalog_pb2.GetTrackMediaResponse(
        root_location=str(root),
        relative_path=os.fsencode(path.relative_to(root)),
        file_hash=hashlib.sha256(data).digest(),
        size_bytes=len(data),
        content_type="audio/flac",
    )
    return track_id


def make_file(folder: Path, picture: bytes | None, name: str = "café.flac") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = write_recording(folder / name, "flac")
    write_tags(path, picture=picture)
    return path


def etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()}"'


@pytest.fixture
def extractions(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Process ids of the children that were started."""
    started: list[int] = []
    original = asyncio.create_subprocess_exec

    async def start(*arguments: Any, **more: Any) -> Any:
        process = await original(*arguments, **more)
        started.append(process.pid)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    return started


async def test_picture_of_the_file_is_served_to_everybody_and_kept(
    gateway: Gateway, tmp_path: Path, extractions: list[int]
) -> None:
    path = make_file(tmp_path / "album", JPEG)
    (tmp_path / "album" / "cover.png").write_bytes(PNG)
    track_id = add_file(gateway, path, tmp_path)
    url = f"/tracks/{track_id}/cover"
    for _ in range(2):
        response = await gateway.http.get(url)
        assert (response.status_code, response.content) == (200, JPEG)
    assert {name: response.headers[name] for name in ("content-type", "content-length", "etag", "cache-control")} == {
        "content-type": "image/jpeg",
        "content-length": str(len(JPEG)),
        "etag": etag(JPEG),
        "cache-control": "public, max-age=3600",
    }
    assert response.headers["x-content-type-options"] == "nosniff"
    assert len(extractions) == 1
    head = await gateway.http.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(JPEG)))
    same = await gateway.http.get(url, headers={"If-None-Match": etag(JPEG)})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag(JPEG))


async def test_folder_gives_a_picture_where_the_file_has_none(
    gateway: Gateway, tmp_path: Path, extractions: list[int]
) -> None:
    path = make_file(tmp_path / "album", None)
    track_id = add_file(gateway, path, tmp_path)
    url = f"/tracks/{track_id}/cover"
    response = await gateway.http.get(url)
    assert (response.status_code, response.json()["error"]["reason"]) == (404, "COVER_NOT_FOUND")
    (tmp_path / "album" / "Folder.PNG").write_bytes(PNG)
    response = await gateway.http.get(url)
    assert (response.content, response.headers["content-type"], response.headers["etag"]) == (
        PNG, "image/png", etag(PNG),
    )  # fmt: skip
    (tmp_path / "album" / "Folder.PNG").write_bytes(PNG + b"changed")
    assert (await gateway.http.get(url)).content == PNG + b"changed"
    (tmp_path / "album" / "Folder.PNG").write_bytes(b"<svg/>")
    assert (await gateway.http.get(url)).status_code == 404
    assert len(extractions) == 1
    path.unlink()
    (tmp_path / "album" / "cover.jpg").write_bytes(JPEG)
    assert (await gateway.http.get(url)).content == JPEG


async def test_album_shows_the_picture_of_its_first_track_that_has_one(gateway: Gateway, tmp_path: Path) -> None:
    bare = [add_file(gateway, make_file(tmp_path / f"bare{number}", None), tmp_path) for number in range(2)]
    shown = add_file(gateway, make_file(tmp_path / "shown", JPEG), tmp_path)
    later = add_file(gateway, make_file(tmp_path / "later", PNG), tmp_path)
    tracks = [make_track("Not heard yet"), *(make_track("Heard", track_id=one) for one in (*bare, shown, later))]
    gateway.social.answers["ListTracksOfAlbum"] = library_pb2.ListTracksOfAlbumResponse(tracks=tracks)
    response = await gateway.http.get(f"/albums/{new_id()}/cover")
    assert (response.status_code, response.content) == (200, JPEG)


async def test_album_shows_the_picture_of_its_first_track(gateway: Gateway, tmp_path: Path) -> None:
    track_id, album_id = add_file(gateway, make_file(tmp_path, JPEG), tmp_path), new_id()
    track = make_track("First", track_id=track_id)
    gateway.social.answers["ListTracksOfAlbum"] = library_pb2.ListTracksOfAlbumResponse(tracks=[track])
    response = await gateway.http.get(f"/albums/{album_id}/cover")
    assert (response.status_code, response.content) == (200, JPEG)
    asked = gateway.social.requests["ListTracksOfAlbum"]
    assert (asked.album_id, asked.page_size) == (album_id, 12)
    for tracks in ([], [make_track("Not heard yet")]):
        gateway.social.answers["ListTracksOfAlbum"] = library_pb2.ListTracksOfAlbumResponse(tracks=tracks)
        response = await gateway.http.get(f"/albums/{album_id}/cover")
        assert (response.status_code, response.json()["error"]["reason"]) == (404, "COVER_NOT_FOUND")


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/tracks/nonsense/cover", 400, "ID_INVALID"),
        ("/tracks/0190a000-0000-7000-8000-000000000000/cover", 404, "TRACK_NOT_FOUND"),
        ("/albums/nonsense/cover", 400, "ID_INVALID"),
    ],
)
async def test_refusals_are_coded(gateway: Gateway, path: str, status: int, reason: str) -> None:
    response = await gateway.http.get(path)
    assert (response.status_code, response.json()["error"]["reason"]) == (status, reason)
    assert (await gateway.http.post(path)).status_code == 405


async def test_many_who_want_one_picture_start_one_process(
    gateway: Gateway, tmp_path: Path, extractions: list[int]
) -> None:
    track_id = add_file(gateway, make_file(tmp_path, JPEG + b"many"), tmp_path)
    responses = await asyncio.gather(*(gateway.http.get(f"/tracks/{track_id}/cover") for _ in range(10)))
    assert {response.content for response in responses} == {JPEG + b"many"}
    assert len(extractions) == 1


async def test_hostile_files_have_no_picture_and_leave_the_gateway_as_it_was(gateway: Gateway, tmp_path: Path) -> None:
    good = add_file(gateway, make_file(tmp_path, JPEG + b"good", "good.flac"), tmp_path)
    (tmp_path / "text.mp3").write_bytes(b"no music at all\n" * 1000)
    (tmp_path / "empty.flac").write_bytes(b"")
    whole = (tmp_path / "good.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[:200])
    # 512 MiB of zeros behind a compressed frame of half a megabyte.
    tags = ID3()
    tags.add(APIC(encoding=3, mime="image/jpeg", type=3, desc="", data=JPEG))
    tags.save(tmp_path / "bomb.mp3")
    plain = (tmp_path / "bomb.mp3").read_bytes()
    at = plain.index(b"APIC")
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(512)) + packer.flush()
    body = (512 << 20).to_bytes(4, "big") + packed
    size = b"".join(bytes([len(body) >> shift & 127]) for shift in (21, 14, 7, 0))
    frame = b"APIC" + size + b"\x00\x09" + body
    total = len(frame)
    header = plain[:6] + b"".join(bytes([total >> shift & 127]) for shift in (21, 14, 7, 0))
    (tmp_path / "bomb.mp3").write_bytes(header + frame + bytes(2000))
    assert at == 10
    before = len(os.listdir("/proc/self/fd"))
    for name in ("text.mp3", "empty.flac", "cut.flac", "bomb.mp3"):
        track_id = add_file(gateway, tmp_path / name, tmp_path)
        response = await gateway.http.get(f"/tracks/{track_id}/cover")
        assert (name, response.status_code) == (name, 404)
        assert response.json()["error"]["reason"] == "COVER_NOT_FOUND"
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert (await gateway.http.get(f"/tracks/{good}/cover")).content == JPEG + b"good"


@pytest.mark.asyncio(loop_scope="function")
async def test_bounds_of_settings_hold(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path / "gateway", max_cover_bytes=2_000, cover_cache_bytes=0) as gateway:
        large, fits = JPEG + bytes(2_000), JPEG + bytes(1_000)
        (tmp_path / "a").mkdir()
        track_id = add_file(gateway, make_file(tmp_path / "a", large), tmp_path)
        assert (await gateway.http.get(f"/tracks/{track_id}/cover")).status_code == 404
        (tmp_path / "a" / "cover.jpg").write_bytes(large)
        assert (await gateway.http.get(f"/tracks/{track_id}/cover")).status_code == 404
        (tmp_path / "a" / "cover.jpg").write_bytes(fits)
        assert (await gateway.http.get(f"/tracks/{track_id}/cover")).content == fits


@pytest.mark.asyncio(loop_scope="function")
async def test_too_many_at_once_are_told_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "_MOST_WAITING", 0)
    async with serving_gateway(tmp_path / "gateway") as gateway:
        track_id = add_file(gateway, make_file(tmp_path, JPEG), tmp_path)
        response = await gateway.http.get(f"/tracks/{track_id}/cover")
        assert (response.status_code, response.json()["error"]["reason"]) == (503, "COVERS_BUSY")
        assert response.headers["retry-after"] == "1"
        monkeypatch.setattr(extraction, "_MOST_WAITING", 64)
        assert (await gateway.http.get(f"/tracks/{track_id}/cover")).content == JPEG
