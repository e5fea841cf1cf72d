"""Audio over HTTP: ranges, validators, signed addresses, and files that are not what they were."""

import asyncio
import email
import email.policy
import hashlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from museed.social.v1 import catalog_pb2
from tests.fakes.upstreams import new_id
from tests.integration.gateway.conftest import Gateway, serving_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

AUDIO = bytes(range(256)) * 40  # 10,240 bytes
ETAG = f'"{hashlib.sha256(AUDIO).hexdigest()}"'


def add_audio(gateway: Gateway, folder: Path, data: bytes = AUDIO, **changes: Any) -> str:
    """Put a file below a root and tell social of it; returns its track."""
    root = folder / "music"
    root.mkdir(exist_ok=True)
    name = b"caf\xe9 %s.ogg" % new_id().encode()
    (root / os.fsdecode(name)).write_bytes(data)
    fields: dict[str, Any] = {
        "root_location": str(root),
        "relative_path": name,
        "file_hash": hashlib.sha256(data).digest(),
        "size_bytes": len(data),
        "content_type": "audio/ogg",
    }
    track_id = new_id()
    gateway.social.media[track_id] = catalog_pb2.GetTrackMediaResponse(**(fields | changes))
    return track_id


def path_of(gateway: Gateway, track_id: str) -> Path:
    media = gateway.social.media[track_id]
    return Path(media.root_location) / os.fsdecode(media.relative_path)


async def address(gateway: Gateway, track_id: str, headers: Mapping[str, str] | None = None) -> str:
    """Ask for a track's stream URL as a client does."""
    track = gateway.social.add_tracks(1)[0]
    track.track_id = track_id
    gateway.social.tracks[track_id] = track
    document = "query($id: ID!) { track(id: $id) { streamUrl } }"
    found = await gateway.data(document, {"id": track_id}, dict(headers or {}))
    url: str = found["track"]["streamUrl"]
    return url


async def test_whole_file_under_a_token(gateway: Gateway, tmp_path: Path) -> None:
    track_id = add_audio(gateway, tmp_path)
    response = await gateway.http.get(f"/tracks/{track_id}/stream", headers=gateway.bearer())
    assert response.status_code == 200
    assert response.content == AUDIO
    assert {name: response.headers[name] for name in ("content-type", "content-length", "etag", "accept-ranges")} == {
        "content-type": "audio/ogg",
        "content-length": "10240",
        "etag": ETAG,
        "accept-ranges": "bytes",
    }


@pytest.mark.parametrize(
    ("header", "status", "content", "content_range"),
    [
        ("bytes=0-0", 206, AUDIO[:1], "bytes 0-0/10240"),
        ("bytes=100-199", 206, AUDIO[100:200], "bytes 100-199/10240"),
        ("bytes=10000-", 206, AUDIO[10_000:], "bytes 10000-10239/10240"),
        ("bytes=-5", 206, AUDIO[-5:], "bytes 10235-10239/10240"),
        ("bytes=0-99999", 206, AUDIO, "bytes 0-10239/10240"),
        ("bytes=10240-", 416, b"", "bytes */10240"),
        ("bytes=-0", 416, b"", "bytes */10240"),
        ("bytes=5-1", 200, AUDIO, None),
        ("bytes=0-1,3-4", 206, AUDIO[:5], "bytes 0-4/10240"),
        ("bytes=0-1,99999-", 206, AUDIO[:2], "bytes 0-1/10240"),
        ("bytes=10240-,20000-", 416, b"", "bytes */10240"),
        (f"bytes={','.join(f'{200 * number}-{200 * number}' for number in range(17))}", 200, AUDIO, None),
        ("items=0-1", 200, AUDIO, None),
    ],
)
async def test_range_over_a_signed_address(
    gateway: Gateway, tmp_path: Path, header: str, status: int, content: bytes, content_range: str | None
) -> None:
    url = await address(gateway, add_audio(gateway, tmp_path))
    response = await gateway.http.get(url, headers={"Range": header})
    assert (response.status_code, response.content) == (status, content)
    assert response.headers.get("content-range") == content_range
    assert response.headers["content-length"] == str(len(content))
    assert response.headers["etag"] == ETAG


async def test_several_ranges_come_as_the_parts_of_one_body(gateway: Gateway, tmp_path: Path) -> None:
    url = await address(gateway, add_audio(gateway, tmp_path))
    response = await gateway.http.get(url, headers={"Range": "bytes=5000-5999, 0-9, -1"})
    assert response.status_code == 206
    assert "content-range" not in response.headers
    assert response.headers["content-length"] == str(len(response.content))
    head = f"Content-Type: {response.headers['content-type']}\r\n\r\n".encode()
    body = email.message_from_bytes(head + response.content, policy=email.policy.HTTP)
    parts = [
        (part["Content-Range"], part.get_content_type(), part.get_payload(decode=True)) for part in body.iter_parts()
    ]
    assert parts == [
        ("bytes 5000-5999/10240", "audio/ogg", AUDIO[5000:6000]),
        ("bytes 0-9/10240", "audio/ogg", AUDIO[:10]),
        ("bytes 10239-10239/10240", "audio/ogg", AUDIO[-1:]),
    ]
    assert body.defects == []


async def test_head_tells_of_the_whole_and_sends_nothing(gateway: Gateway, tmp_path: Path) -> None:
    url = await address(gateway, add_audio(gateway, tmp_path))
    response = await gateway.http.head(url, headers={"Range": "bytes=0-1"})
    assert (response.status_code, response.content) == (200, b"")
    assert (response.headers["content-length"], response.headers["etag"]) == ("10240", ETAG)


async def test_known_file_is_not_sent_again_and_not_even_opened(gateway: Gateway, tmp_path: Path) -> None:
    track_id = add_audio(gateway, tmp_path)
    url = await address(gateway, track_id)
    path_of(gateway, track_id).unlink()
    for known in (ETAG, f"W/{ETAG}", f'"x", {ETAG}', "*"):
        response = await gateway.http.get(url, headers={"If-None-Match": known, "Range": "bytes=0-1"})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", ETAG)
    gone = await gateway.http.get(url, headers={"If-None-Match": '"x"'})
    assert gone.status_code == 404
    assert gone.json()["error"] == {
        "code": "NOT_FOUND",
        "reason": "MEDIA_NOT_FOUND",
        "message": "the file of this track is gone",
        "field": "trackId",
        "value": track_id,
    }


@pytest.mark.parametrize(
    ("if_range", "status"), [(ETAG, 206), ('"x"', 200), (f"W/{ETAG}", 200), ("Sat, 21 Nov 2026 04:00:00 GMT", 200)]
)
async def test_range_of_another_version_is_the_whole(
    gateway: Gateway, tmp_path: Path, if_range: str, status: int
) -> None:
    url = await address(gateway, add_audio(gateway, tmp_path))
    response = await gateway.http.get(url, headers={"Range": "bytes=0-9", "If-Range": if_range})
    assert (response.status_code, len(response.content)) == (status, 10 if status == 206 else 10_240)


async def test_empty_file_has_no_range(gateway: Gateway, tmp_path: Path) -> None:
    url = await address(gateway, add_audio(gateway, tmp_path, b""))
    assert (await gateway.http.get(url)).content == b""
    response = await gateway.http.get(url, headers={"Range": "bytes=0-"})
    assert (response.status_code, response.headers["content-range"]) == (416, "bytes */0")


async def test_large_file_comes_in_chunks_to_many_at_once(gateway: Gateway, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    url = await address(gateway, add_audio(gateway, tmp_path, data))

    async def part(number: int) -> bytes:
        first = number * 150_000
        return (await gateway.http.get(url, headers={"Range": f"bytes={first}-{first + 149_999}"})).content

    assert b"".join(await asyncio.gather(*(part(number) for number in range(20)))) == data
    assert (await gateway.http.get(url)).content == data


async def test_files_are_closed_also_when_the_client_goes_away(gateway: Gateway, tmp_path: Path) -> None:
    track_id = add_audio(gateway, tmp_path, bytes(30_000_000))
    path = path_of(gateway, track_id)
    url = await address(gateway, track_id)

    def still_open() -> int:
        links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        return sum(os.path.realpath(link) == str(path) for link in links)

    async with gateway.http.stream("GET", url) as response:
        await anext(response.aiter_raw())
        assert still_open() == 1
    async with asyncio.timeout(60):
        while still_open():
            await asyncio.sleep(0.01)
    for _ in range(3):
        await gateway.http.head(url)
        await gateway.http.get(url, headers={"Range": "bytes=99999999-"})
    assert still_open() == 0


@pytest.mark.parametrize("change", [b"", AUDIO + b"x", AUDIO[:-1]])
async def test_file_that_has_changed_is_a_conflict_and_no_wrong_bytes(
    gateway: Gateway, tmp_path: Path, change: bytes
) -> None:
    track_id = add_audio(gateway, tmp_path)
    url = await address(gateway, track_id)
    path_of(gateway, track_id).write_bytes(change)
    response = await gateway.http.get(url)
    assert response.status_code == 409
    error = response.json()["error"]
    assert (error["code"], error["reason"], error["field"]) == ("FAILED_PRECONDITION", "MEDIA_CHANGED", "trackId")
    assert error["message"].startswith(f"the file has {len(change)} bytes now and had 10240 when it was registered")


async def test_file_that_is_cut_off_while_it_is_sent_breaks_the_connection(gateway: Gateway, tmp_path: Path) -> None:
    track_id = add_audio(gateway, tmp_path, bytes(50_000_000))
    url = await address(gateway, track_id)
    received = 0
    async with gateway.http.stream("GET", url) as response:
        chunks = response.aiter_raw()
        received += len(await anext(chunks))
        os.truncate(path_of(gateway, track_id), 1000)
        with pytest.raises(httpx.RemoteProtocolError):
            received += sum([len(chunk) async for chunk in chunks])
    assert received < 50_000_000


async def test_nothing_outside_of_the_root_is_opened(gateway: Gateway, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(AUDIO)
    root = tmp_path / "music"
    for name in (b"../secret", str(secret).encode(), b"link", b"gone", b".", b""):
        track_id = add_audio(gateway, tmp_path, relative_path=name)
        if name == b"link":
            (root / "link").symlink_to(secret)
        response = await gateway.http.get(await address(gateway, track_id))
        assert (response.status_code, response.json()["error"]["reason"]) == (404, "MEDIA_NOT_FOUND"), name


@pytest.mark.parametrize("content_type", ["text/html", "", "audio/ogg\r\nx: y", "image/svg+xml", "audio/"])
async def test_catalogue_cannot_make_a_browser_run_anything(
    gateway: Gateway, tmp_path: Path, content_type: str
) -> None:
    url = await address(gateway, add_audio(gateway, tmp_path, content_type=content_type))
    response = await gateway.http.get(url)
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_ranges_of_one_track_ask_social_once_and_no_longer_than_five_seconds(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track_id = add_audio(gateway, tmp_path)
    path = f"/tracks/{track_id}/stream"
    for first in range(3):
        await gateway.http.get(path, headers={**gateway.bearer(), "Range": f"bytes={first}-"})
    assert gateway.behind.spent() == {"GetTrackMedia": 1}
    writes_only = await gateway.http.get(path, headers=gateway.bearer(kind="api", scope="write"))
    assert (writes_only.status_code, writes_only.json()["error"]["reason"]) == (403, "SCOPE_MISSING")
    monkeypatch.setattr("services.gateway.track_media._LIFE_S", 0.0)
    other = add_audio(gateway, tmp_path)
    for _ in range(2):
        await gateway.http.get(f"/tracks/{other}/stream", headers=gateway.bearer())
    assert gateway.behind.spent() == {"GetTrackMedia": 2}
    gateway.social.media.clear()
    assert (await gateway.http.get(f"/tracks/{other}/stream", headers=gateway.bearer())).status_code == 404


async def test_unknown_tracks_and_ids(gateway: Gateway) -> None:
    unknown = await gateway.http.get(f"/tracks/{new_id()}/stream", headers=gateway.bearer())
    assert (unknown.status_code, unknown.json()["error"]["reason"]) == (404, "TRACK_NOT_FOUND")
    assert unknown.json()["error"]["field"] == "trackId"
    malformed = await gateway.http.get("/tracks/x/stream", headers=gateway.bearer())
    assert (malformed.status_code, malformed.json()["error"]["reason"]) == (400, "ID_INVALID")


async def test_neither_signature_nor_token_is_refused(gateway: Gateway, tmp_path: Path) -> None:
    track_id = add_audio(gateway, tmp_path)
    response = await gateway.http.get(f"/tracks/{track_id}/stream")
    assert (response.status_code, response.json()["error"]["reason"]) == (401, "LOGIN_REQUIRED")
    assert gateway.behind.spent() == {}


async def test_address_is_for_its_track_only(gateway: Gateway, tmp_path: Path) -> None:
    mine, other = add_audio(gateway, tmp_path), add_audio(gateway, tmp_path)
    url = await address(gateway, mine)
    response = await gateway.http.get(url.replace(mine, other), headers=gateway.bearer())
    assert (response.status_code, response.json()["error"]["reason"]) == (403, "SIGNATURE_INVALID")


async def test_address_of_a_session_ends_with_it(gateway: Gateway, tmp_path: Path) -> None:
    track_id = add_audio(gateway, tmp_path)
    url = await address(gateway, track_id, gateway.bearer(sid="session-5"))
    assert "session=session-5" in urlsplit(url).query
    guests = await address(gateway, track_id)
    assert "guest=" in urlsplit(guests).query
    assert (await gateway.http.get(url)).status_code == 200
    gateway.social.revoked.append("session-5")
    following = asyncio.create_task(gateway.parts.authenticator.revocations.run())
    try:
        async with asyncio.timeout(60):
            while "session-5" not in gateway.parts.authenticator.revocations:
                await asyncio.sleep(0.01)
        response = await gateway.http.get(url)
    finally:
        following.cancel()
    assert (response.status_code, response.json()["error"]["reason"]) == (401, "SESSION_REVOKED")
    assert (await gateway.http.get(guests)).status_code == 200


async def test_stream_breaks_off_when_its_session_ends(gateway: Gateway, tmp_path: Path) -> None:
    ended: list[str] = []

    async def revoked() -> list[str]:
        return ended

    gateway.parts.authenticator.revocations._fetch = revoked
    track_id = add_audio(gateway, tmp_path, bytes(64 * 1024 * 1024))
    url = await address(gateway, track_id, gateway.bearer(sid="session-6"))
    received = 0

    async def listen() -> None:
        nonlocal received
        async with gateway.http.stream("GET", url) as response:
            async for chunk in response.aiter_raw():
                if not received:
                    ended.append("session-6")
                    following = asyncio.create_task(gateway.parts.authenticator.revocations.run())
                    while "session-6" not in gateway.parts.authenticator.revocations:
                        await asyncio.sleep(0.01)
                    following.cancel()
                received += len(chunk)

    with pytest.raises(httpx.RemoteProtocolError):
        await listen()
    assert 0 < received < 64 * 1024 * 1024


async def test_address_is_absolute_where_the_public_url_is_known(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, public_url="https://music.example") as gateway:
        track_id = add_audio(gateway, tmp_path)
        url = await address(gateway, track_id)
        assert url.startswith(f"https://music.example/tracks/{track_id}/stream?expires=")
        relative = url.removeprefix("https://music.example")
        assert (await gateway.http.get(relative)).content == AUDIO


async def test_a_slow_disk_holds_up_nobody_else(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await address(gateway, add_audio(gateway, tmp_path))
    released = threading.Event()
    pread = os.pread

    def nothing_is_in_memory(*args: object) -> int:
        raise BlockingIOError

    def slow(descriptor: int, length: int, offset: int) -> bytes:
        released.wait(10)
        return pread(descriptor, length, offset)

    monkeypatch.setattr("services.gateway.sources.os.preadv", nothing_is_in_memory)
    monkeypatch.setattr("services.gateway.sources.os.pread", slow)
    streaming = asyncio.create_task(gateway.http.get(url))
    try:
        assert (await gateway.http.get("/healthz")).status_code == 200
        assert not streaming.done()
    finally:
        released.set()
    assert (await streaming).content == AUDIO
