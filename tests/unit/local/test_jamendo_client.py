"""Jamendo's API answers as it was seen to answer, and as a hostile one would: the downloader stays whole."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.client import ClientError
from deploy.local.jamendo_client import JamendoClient
from deploy.local.jamendo_download import METADATA, DownloadReport, download_tracks
from services.social.sources import jamendo
from services.social.sources.rows import SourceTrack

Handler = Callable[[httpx.Request], httpx.Response]
AUDIO = bytes(range(256)) * 300


def result(track_id: int, **more: Any) -> dict[str, Any]:
    """A track in the shape in which the API says it."""
    return {
        "id": str(track_id),
        "name": f"Song {track_id}",
        "duration": 183,
        "artist_id": "7",
        "artist_name": "Somebody",
        "artist_idstr": "somebody",
        "album_name": "Album",
        "album_id": "24",
        "license_ccurl": "http://creativecommons.org/licenses/by-nc-sa/3.0/",
        "position": 1,
        "releasedate": "2008-06-13",
        "audio": f"https://prod-1.storage.jamendo.com/?trackid={track_id}&format=mp31&from=app-devsite",
        "audiodownload": f"https://prod-1.storage.jamendo.com/download/track/{track_id}/mp32/",
        "audiodownload_allowed": True,
        "musicinfo": {"vocalinstrumental": "vocal", "tags": {"genres": ["indie"], "instruments": [], "vartags": []}},
    } | more


def answer(results: list[Any], **headers: Any) -> dict[str, Any]:
    head = {"status": "success", "code": 0, "error_message": "", "warnings": "", "results_count": len(results)}
    return {"headers": head | headers, "results": results}


class Jamendo:
    """Holds tracks in pages, and their audio; counts what is asked."""

    def __init__(self, count: int) -> None:
        self.results = [result(number) for number in range(1, count + 1)]
        self.asked: list[str] = []
        self.ranges: list[str] = []
        self.audio: Handler = self.whole
        self.api: Handler = self.page

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        if request.url.host == "api.jamendo.com":
            return self.api(request)
        self.ranges.append(request.headers.get("Range", ""))
        return self.audio(request)

    def page(self, request: httpx.Request) -> httpx.Response:
        start, size = int(request.url.params["offset"]), int(request.url.params["limit"])
        return httpx.Response(200, json=answer(self.results[start : start + size]))

    def whole(self, request: httpx.Request) -> httpx.Response:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        if not start:
            return httpx.Response(200, content=AUDIO)
        if start >= len(AUDIO):
            return httpx.Response(416)
        return httpx.Response(206, content=AUDIO[start:], headers={"Content-Range": f"bytes {start}-{len(AUDIO)}/*"})


@pytest.fixture
def waits() -> list[float]:
    return []


def client(server: Handler, waits: list[float]) -> JamendoClient:
    return JamendoClient("id", httpx.MockTransport(server), waits.append)


def download(server: Jamendo, folder: Path, waits: list[float], count: int = 300, tags: str = "") -> DownloadReport:
    return download_tracks(client(server, waits), folder, count, tags, lambda done, total: None)


def test_tracks_come_with_what_jamendo_says_and_are_read_by_the_parser(tmp_path: Path, waits: list[float]) -> None:
    server = Jamendo(250)
    report = download(server, tmp_path, waits, 203, "pop+female")
    assert (report.found, report.downloaded, report.left_out, waits) == (203, 203, [], [])
    first = httpx.URL(server.asked[0]).params
    assert (first["client_id"], first["limit"], first["offset"]) == ("id", "200", "0")
    assert (first["include"], first["tags"]) == ("musicinfo", "pop female")
    assert [httpx.URL(url).params["offset"] for url in server.asked if "api." in url] == ["0", "200"]
    with (tmp_path / METADATA).open("rb") as stream:
        tracks = list(jamendo.read_json(stream))
    assert all(isinstance(track, SourceTrack) and (tmp_path / track.path).read_bytes() == AUDIO for track in tracks)
    assert len(tracks) == 203
    assert tracks[0] == SourceTrack(
        path="01/1.mp3",
        source="jamendo",
        title="Song 1",
        artist="Somebody",
        album="Album",
        raw_genre="indie",
        genre="Pop",
        sub_genres=("indie",),
        year=2008,
        licence="http://creativecommons.org/licenses/by-nc-sa/3.0/",
    )
    assert "client_id" not in (tmp_path / METADATA).read_text()
    assert list(tmp_path.rglob("*.part")) == []


def test_second_download_keeps_what_is_there_and_goes_on_with_half_files(tmp_path: Path, waits: list[float]) -> None:
    server = Jamendo(3)
    download(server, tmp_path, waits)
    (tmp_path / "02" / "2.mp3").unlink()
    (tmp_path / "02" / "2.mp3.part").write_bytes(AUDIO[:1000])
    (tmp_path / "03" / "3.mp3").unlink()
    (tmp_path / "03" / "3.mp3.part").write_bytes(AUDIO + b"of another file")
    server.ranges.clear()
    report = download(server, tmp_path, waits)
    assert (report.downloaded, report.kept) == (2, 1)
    assert server.ranges == ["bytes=1000-", f"bytes={len(AUDIO) + 15}-", ""]
    assert (tmp_path / "02" / "2.mp3").read_bytes() == (tmp_path / "03" / "3.mp3").read_bytes() == AUDIO
    assert len((tmp_path / METADATA).read_text().splitlines()) == 3


@pytest.mark.parametrize("status", [200, 206])
def test_server_that_ignores_ranges_begins_again(tmp_path: Path, waits: list[float], status: int) -> None:
    server, head = Jamendo(1), {"Content-Range": f"bytes 0-{len(AUDIO) - 1}/{len(AUDIO)}"}
    (tmp_path / "01").mkdir()
    (tmp_path / "01" / "1.mp3.part").write_bytes(b"x" * 50)
    server.audio = lambda request: httpx.Response(status, content=AUDIO, headers=head)
    download(server, tmp_path, waits)
    assert (tmp_path / "01" / "1.mp3").read_bytes() == AUDIO


def test_broken_connection_goes_on_where_it_was(tmp_path: Path, waits: list[float]) -> None:
    server = Jamendo(1)

    class Broken(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield AUDIO[: 1 << 16]
            raise httpx.ReadError("gone")

    def audio(request: httpx.Request) -> httpx.Response:
        return server.whole(request) if len(server.ranges) > 1 else httpx.Response(200, stream=Broken())

    server.audio = audio
    download(server, tmp_path, waits)
    assert server.ranges == ["", f"bytes={1 << 16}-"]
    assert (tmp_path / "01" / "1.mp3").read_bytes() == AUDIO
    assert waits == [1.0]


def test_patience_is_as_long_as_jamendo_asks_and_has_an_end(tmp_path: Path, waits: list[float]) -> None:
    server = Jamendo(1)
    server.api = lambda request: httpx.Response(429, headers={"Retry-After": "30"})
    with pytest.raises(ClientError) as refused:
        download(server, tmp_path, waits)
    assert (refused.value.code, waits, len(server.asked)) == ("UNAVAILABLE", [30.0] * 4, 5)
    waits.clear()
    server.api = lambda request: httpx.Response(503, headers={"Retry-After": "99999"})
    with pytest.raises(ClientError):
        download(server, tmp_path, waits)
    assert waits == [60.0] * 4
    assert not (tmp_path / METADATA).exists()


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (httpx.Response(200, json=answer([], status="failed", error_message="Your credential is not ok")), "REFUSED"),
        (httpx.Response(200, content=b"<html>"), "ANSWER"),
        (httpx.Response(200, content=b"[" * 100_000), "ANSWER"),
        (httpx.Response(200, json=[1]), "ANSWER"),
        (httpx.Response(200, json={"headers": {"status": "success"}}), "ANSWER"),
        (httpx.Response(200, content=b" " * ((16 << 20) + 1)), "ANSWER"),
        (httpx.Response(403), "REFUSED"),
        (httpx.Response(302, headers={"Location": "https://api.jamendo.com/again"}), "ANSWER"),
        (httpx.Response(302, headers={"Location": "https://jamendo.com.evil.example/"}), "HOST"),
        (httpx.Response(302, headers={"Location": "http://api.jamendo.com/"}), "HOST"),
    ],
)
def test_bad_answers_are_coded(response: httpx.Response, code: str, tmp_path: Path, waits: list[float]) -> None:
    server = Jamendo(1)
    server.api = lambda request: response
    with pytest.raises(ClientError) as refused:
        download(server, tmp_path, waits)
    assert refused.value.code == f"JAMENDO_{code}"
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_had_is_left_out_and_the_rest_comes(tmp_path: Path, waits: list[float]) -> None:
    server = Jamendo(6)
    server.results[0]["audiodownload_allowed"] = False
    server.results[1]["audiodownload"] = "https://evil.example/2.mp3"
    server.results[2]["audiodownload"] = "file:///etc/passwd"
    server.results[3]["id"] = "../../up"
    server.results.insert(4, "nonsense")  # type: ignore[arg-type]  # what the API would not say

    def audio(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404) if "/5/" in request.url.path else server.whole(request)

    server.audio = audio
    report = download(server, tmp_path, waits)
    assert report.downloaded == 1
    assert [(place, reason) for place, reason, _ in report.left_out] == [
        ("track 1", "DOWNLOAD_NOT_ALLOWED"),
        ("track 2", "JAMENDO_HOST"),
        ("track 3", "JAMENDO_HOST"),
        ("track ../../up", "JAMENDO_ANSWER"),
        ("track 5", "NOT_FOUND"),
    ]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["6.mp3", METADATA]


def test_empty_and_endless_files_are_left_out(
    tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.jamendo_client._LARGEST_AUDIO_BYTES", 1 << 16)
    server = Jamendo(2)
    server.audio = lambda request: httpx.Response(200, content=b"" if "/1/" in request.url.path else AUDIO)
    report = download(server, tmp_path, waits)
    assert [reason for _, reason, _ in report.left_out] == ["EMPTY", "TOO_LARGE"]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / METADATA]
    assert json.loads("[]") == (tmp_path / METADATA).read_text().splitlines()
