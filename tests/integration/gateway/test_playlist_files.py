"""Playlists as files over HTTP: out, in, and audio by stream tokens."""

import asyncio
import hashlib
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from museed.social.v1 import exchange_pb2, playlists_pb2
from services.chassis.errors import NotFound, PermissionDenied
from services.gateway import playlist_files
from tests.fakes.upstreams import new_id
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.test_streaming import AUDIO, add_audio

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAYLIST_ID = "0190a000-0000-7000-8000-000000000001"
FILE = exchange_pb2.ExportPlaylistResponse(
    content="#EXTM3U\n비/a.ogg\n".encode(), content_type="audio/x-mpegurl", file_name='비 "오는" 날.m3u8'
)
EXPORT = f"/playlists/{PLAYLIST_ID}/export"


@pytest.mark.parametrize(
    ("extension", "wanted"),
    [
        ("m3u8", exchange_pb2.PLAYLIST_FORMAT_M3U8),
        ("jspf", exchange_pb2.PLAYLIST_FORMAT_JSPF),
        ("xspf", exchange_pb2.PLAYLIST_FORMAT_XSPF),
        ("XSPF", exchange_pb2.PLAYLIST_FORMAT_XSPF),
    ],
)
async def test_export_asks_for_the_format_of_the_extension(
    gateway: Gateway, extension: str, wanted: exchange_pb2.PlaylistFormat.ValueType
) -> None:
    gateway.social.answers["ExportPlaylist"] = FILE
    response = await gateway.http.get(f"{EXPORT}.{extension}")
    assert (response.status_code, response.content) == (200, FILE.content)
    assert gateway.social.requests["ExportPlaylist"] == exchange_pb2.ExportPlaylistRequest(
        playlist_id=PLAYLIST_ID, format=wanted, links=exchange_pb2.PLAYLIST_LINKS_PATHS
    )
    names = ("content-type", "content-length", "content-disposition", "cache-control", "etag")
    assert {name: response.headers[name] for name in names} == {
        "content-type": "audio/x-mpegurl",
        "content-length": str(len(FILE.content)),
        "content-disposition": 'attachment; filename="playlist.m3u8"; '
        "filename*=UTF-8''%EB%B9%84%20%22%EC%98%A4%EB%8A%94%22%20%EB%82%A0.m3u8",
        "cache-control": "private, no-cache",
        "etag": f'"{hashlib.sha256(FILE.content).hexdigest()}"',
    }
    assert "Authorization" in response.headers["vary"].split(", ")


async def test_export_carries_the_callers_token_and_that_of_the_address(gateway: Gateway) -> None:
    gateway.social.answers["ExportPlaylist"] = FILE
    headers = gateway.bearer()
    await gateway.http.get(f"{EXPORT}.xspf", params={"token": "a secret/&"}, headers=headers)
    assert gateway.social.seen_tokens["ExportPlaylist"] == headers["Authorization"].removeprefix("Bearer ")
    assert gateway.social.requests["ExportPlaylist"] == exchange_pb2.ExportPlaylistRequest(
        playlist_id=PLAYLIST_ID,
        format=exchange_pb2.PLAYLIST_FORMAT_XSPF,
        links=exchange_pb2.PLAYLIST_LINKS_TOKEN,
        stream_secret="a secret/&",
    )


async def test_known_export_is_not_sent_again(gateway: Gateway) -> None:
    gateway.social.answers["ExportPlaylist"] = FILE
    etag = (await gateway.http.head(f"{EXPORT}.m3u8")).headers["etag"]
    response = await gateway.http.get(f"{EXPORT}.m3u8", headers={"If-None-Match": etag})
    assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag)


@pytest.mark.parametrize(
    ("path", "status", "reason", "field"),
    [
        (f"{EXPORT}.pls", 400, "FORMAT_UNKNOWN", "format"),
        (f"{EXPORT}.", 404, "NOT_FOUND", None),
        ("/playlists/x/export.m3u8", 400, "ID_INVALID", "playlistId"),
    ],
)
async def test_what_is_no_export_is_refused_before_social(
    gateway: Gateway, path: str, status: int, reason: str, field: str | None
) -> None:
    response = await gateway.http.get(path)
    error = response.json()["error"]
    assert (response.status_code, error["reason"], error.get("field")) == (status, reason, field)
    assert gateway.behind.spent() == {}


async def test_refusals_of_an_export_have_their_status(gateway: Gateway) -> None:
    gateway.social.faults["ExportPlaylist"] = NotFound("there is none", reason="PLAYLIST_NOT_FOUND")
    assert (await gateway.http.get(f"{EXPORT}.m3u8")).status_code == 404
    gateway.social.faults["ExportPlaylist"] = PermissionDenied("not valid", reason="STREAM_TOKEN_REFUSED")
    refused = await gateway.http.get(f"{EXPORT}.m3u8?token=x")
    assert (refused.status_code, refused.json()["error"]["reason"]) == (403, "STREAM_TOKEN_REFUSED")
    expired = await gateway.http.get(f"{EXPORT}.m3u8", headers=gateway.bearer(exp=1))
    assert (expired.status_code, expired.json()["error"]["reason"]) == (401, "TOKEN_EXPIRED")


IMPORTED = exchange_pb2.ImportPlaylistResponse(
    playlist=playlists_pb2.Playlist(playlist_id=PLAYLIST_ID, title="Rain", entry_count=1),
    row_count=2,
    unmatched=[exchange_pb2.UnmatchedRow(row=2, title="A", reason="NO_TRACK_FOUND")],
)


async def test_import_takes_the_bytes_as_they_are(gateway: Gateway) -> None:
    gateway.social.answers["ImportPlaylist"] = IMPORTED
    response = await gateway.http.post(
        "/playlists/import",
        params={"format": "m3u8", "title": "비", "visibility": "PUBLIC"},
        content=b"\xff\xfe not UTF-8",
        headers={**gateway.bearer(), "Idempotency-Key": "k"},
    )
    assert (response.status_code, response.json()) == (
        201,
        {
            "playlistId": PLAYLIST_ID,
            "title": "Rain",
            "entryCount": 1,
            "rowCount": 2,
            "unmatched": [
                {"row": 2, "title": "A", "artist": None, "durationSeconds": None, "reason": "NO_TRACK_FOUND"}
            ],
        },
    )
    assert gateway.social.requests["ImportPlaylist"] == exchange_pb2.ImportPlaylistRequest(
        idempotency_key="k",
        format=exchange_pb2.PLAYLIST_FORMAT_M3U8,
        content=b"\xff\xfe not UTF-8",
        title="비",
        visibility=playlists_pb2.VISIBILITY_PUBLIC,
    )


@pytest.mark.parametrize(
    ("query", "headers", "status", "reason"),
    [
        ("format=m3u", {}, 400, "FORMAT_UNKNOWN"),
        ("", {}, 400, "FORMAT_UNKNOWN"),
        ("format=m3u8&visibility=ALL", {}, 400, "VISIBILITY_UNKNOWN"),
        ("format=m3u8", {"Content-Type": "multipart/form-data; boundary=x"}, 415, "CONTENT_TYPE_REFUSED"),
    ],
)
async def test_what_is_no_import_is_refused_before_social(
    gateway: Gateway, query: str, headers: dict[str, str], status: int, reason: str
) -> None:
    response = await gateway.http.post(
        f"/playlists/import?{query}", content=b"#EXTM3U", headers=gateway.bearer() | headers
    )
    assert (response.status_code, response.json()["error"]["reason"]) == (status, reason)
    assert gateway.behind.spent() == {}


async def test_import_is_for_people_who_may_write(gateway: Gateway) -> None:
    guest = await gateway.http.post("/playlists/import?format=m3u8", content=b"#EXTM3U")
    assert (guest.status_code, guest.json()["error"]["reason"]) == (401, "LOGIN_REQUIRED")
    reader = gateway.bearer(kind="api", scope="read")
    refused = await gateway.http.post("/playlists/import?format=m3u8", content=b"#EXTM3U", headers=reader)
    assert (refused.status_code, refused.json()["error"]["reason"]) == (403, "SCOPE_MISSING")
    assert gateway.behind.spent() == {}


async def test_file_may_have_as_many_bytes_as_social_takes_and_none_more(gateway: Gateway) -> None:
    gateway.social.answers["ImportPlaylist"] = IMPORTED
    most = b"#" * 5_000_000
    taken = await gateway.http.post("/playlists/import?format=m3u8", content=most, headers=gateway.bearer())
    assert taken.status_code == 201
    gateway.behind.spent()
    refused = await gateway.http.post("/playlists/import?format=m3u8", content=most + b"#", headers=gateway.bearer())
    error = refused.json()["error"]
    assert (refused.status_code, error["reason"], error["limit"]) == (413, "BODY_TOO_LARGE", "5000000")
    assert gateway.behind.spent() == {}


async def test_imports_at_once_are_bounded_and_give_their_places_back(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playlist_files, "MAX_IMPORTS", 3)
    gateway.social.answers["ImportPlaylist"] = IMPORTED
    gate, note = asyncio.Event(), gateway.social.note

    async def noted(name: str, request: Any) -> None:
        await note(name, request)
        if name == "ImportPlaylist":
            await gate.wait()

    monkeypatch.setattr(gateway.social, "note", noted)

    async def send(who: str = "user-1") -> httpx.Response:
        headers = gateway.bearer(sub=who)
        return await gateway.http.post("/playlists/import?format=m3u8", content=b"#EXTM3U", headers=headers)

    async def refused(who: str = "user-1") -> tuple[int, str, str, str]:
        answer = await send(who)
        error = answer.json()["error"]
        return answer.status_code, error["reason"], error["limit"], answer.headers["retry-after"]

    async def until(count: int) -> None:
        async with asyncio.timeout(60):
            while gateway.social.calls["ImportPlaylist"] < count:
                await asyncio.sleep(0.01)

    held = [asyncio.create_task(send()) for _ in range(2)]
    await until(2)
    # One person's share is taken, and others still have room.
    assert await refused() == (429, "TOO_MANY_IMPORTS", "2", "1")
    held.append(asyncio.create_task(send("user-2")))
    await until(3)
    assert await refused("user-3") == (429, "TOO_MANY_IMPORTS", "3", "1")
    gate.set()
    assert [(await one).status_code for one in held] == [201] * 3
    assert (await send()).status_code == 201


async def test_file_that_stays_away_is_given_up(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playlist_files, "_BODY_TIMEOUT_S", 0.05)
    # By hand: clients send the whole of a body before they read the answer.
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(gateway.url).port)
    head = "POST /playlists/import?format=m3u8 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
    authorization = f"Authorization: {gateway.bearer()['Authorization']}\r\n\r\n"
    writer.write((head + authorization + "#EXTM3U").encode())
    async with asyncio.timeout(30):
        answer = await reader.readuntil(b"}}")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"UPLOAD_STALLED"' in answer
    assert gateway.behind.spent() == {}


async def test_stream_token_opens_audio_to_anybody(gateway: Gateway, tmp_path: Path) -> None:
    track_id = add_audio(gateway, tmp_path)
    response = await gateway.http.get(f"/stream/a-secret/{track_id}", headers={"Range": "bytes=1-3"})
    assert (response.status_code, response.content) == (206, AUDIO[1:4])
    assert response.headers["cache-control"] == "private, no-cache"
    assert gateway.social.requests["ResolveStreamToken"] == exchange_pb2.ResolveStreamTokenRequest(
        secret="a-secret", track_id=track_id
    )
    head = await gateway.http.head(f"/stream/a-secret/{track_id}")
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(AUDIO)))


async def test_refused_stream_token_opens_nothing_whoever_shows_it(gateway: Gateway, tmp_path: Path) -> None:
    track_id = add_audio(gateway, tmp_path)
    gateway.social.faults["ResolveStreamToken"] = PermissionDenied("not valid", reason="STREAM_TOKEN_REFUSED")
    for headers in ({}, gateway.bearer(), gateway.bearer(role="admin")):
        response = await gateway.http.get(f"/stream/a-secret/{track_id}", headers=headers)
        assert (response.status_code, response.json()["error"]["reason"]) == (403, "STREAM_TOKEN_REFUSED")
        assert gateway.social.seen_tokens["ResolveStreamToken"] == ""
    assert "GetTrackMedia" not in gateway.behind.spent()
    nonsense = await gateway.http.get("/stream/a-secret/nonsense")
    assert nonsense.json()["error"]["reason"] == "ID_INVALID"


async def test_secrets_of_addresses_are_not_logged(
    gateway: Gateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gateway.social.answers["ExportPlaylist"] = FILE
    track_id = add_audio(gateway, tmp_path)
    await gateway.http.get(f"/stream/SECRET/{track_id}")
    await gateway.http.get("/stream/SECRET")
    await gateway.http.get(f"{gateway.url}//stream/SECRET/more")
    await gateway.http.get(f"{EXPORT}.m3u8?token=SECRET")
    await gateway.http.get("/p/SECRET")
    gateway.social.faults["ResolveStreamToken"] = RuntimeError("a fault")
    await gateway.http.get(f"/stream/SECRET/{new_id()}")
    ours = [record for record in caplog.records if record.name.startswith("services.")]
    paths = [record.__dict__["path"] for record in ours if record.message == "http_request"]
    assert paths == ["/stream/…", "/stream/…", "/stream/…", f"{EXPORT}.m3u8", "/p/…", "/stream/…"]
    assert not [record for record in ours if "SECRET" in str(record.__dict__)]


async def test_the_address_of_a_private_playlist_acts_for_who_asked(gateway: Gateway) -> None:
    gateway.social.answers["ExportPlaylist"] = exchange_pb2.ExportPlaylistResponse(
        content=b"#EXTM3U", content_type="audio/x-mpegurl", file_name="mine.m3u8"
    )
    owner = gateway.bearer()
    document = "query($id: ID!) { playlist(id: $id) { exportUrl(format: M3U8) } }"
    private = gateway.social.add_playlist([], "user-1", visibility=playlists_pb2.VISIBILITY_PRIVATE)
    address = (await gateway.data(document, {"id": private.playlist_id}, owner))["playlist"]["exportUrl"]
    response = await gateway.http.get(address)
    assert (response.status_code, response.content) == (200, b"#EXTM3U")
    assert gateway.social.seen_tokens["ExportPlaylist"] == owner["Authorization"].removeprefix("Bearer ")
    for other in (address.replace("m3u8", "xspf"), address.replace(private.playlist_id, new_id())):
        response = await gateway.http.get(other)
        assert (response.status_code, response.json()["error"]["reason"]) == (403, "SIGNATURE_INVALID")
    public = gateway.social.add_playlist([], "user-1", visibility=playlists_pb2.VISIBILITY_PUBLIC)
    address = (await gateway.data(document, {"id": public.playlist_id}, owner))["playlist"]["exportUrl"]
    assert address == f"/playlists/{public.playlist_id}/export.m3u8"
