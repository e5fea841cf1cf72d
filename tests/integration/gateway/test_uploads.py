"""Uploads over HTTP: streamed to the blob store, bounded, typed by content, refused early."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from services.chassis.errors import ResourceExhausted, Unimplemented
from tests.integration.gateway.conftest import Gateway, serving_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

SONG = b"ID3\x04" + bytes(range(256)) * 200  # 51,204 bytes


def stored(gateway: Gateway) -> list[Path]:
    return [path for path in gateway.blobs.rglob("*") if path.is_file()]


async def slices(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("chunked", [False, True])
async def test_file_is_stored_under_its_digest_and_recorded(gateway: Gateway, chunked: bool) -> None:
    headers = gateway.bearer() | {"X-File-Name": quote("좋은 날.mp3"), "Content-Type": "application/octet-stream"}
    headers["Idempotency-Key"] = "of mine"
    response = await gateway.http.post("/uploads", content=slices(SONG) if chunked else SONG, headers=headers)
    assert response.status_code == 201
    body = response.json()
    assert len(body.pop("uploadId")) == 36
    assert body == {"sizeBytes": 51_204, "contentType": "audio/mpeg", "expiresAt": "2026-01-09T03:04:05+00:00"}
    sent = gateway.social.requests["CreateUpload"]
    digest = hashlib.sha256(SONG)
    assert (sent.digest, sent.size_bytes, sent.content_type, sent.file_name) == (
        digest.digest(),
        51_204,
        "audio/mpeg",
        "좋은 날.mp3",
    )
    assert sent.idempotency_key == gateway.social.requests["CheckUpload"].idempotency_key == "of mine"
    (path,) = stored(gateway)
    assert (path.name, path.read_bytes()) == (digest.hexdigest(), SONG)


async def test_name_may_come_in_the_query_and_has_a_default(gateway: Gateway) -> None:
    await gateway.http.post("/uploads", params={"fileName": "a b.mp3"}, content=SONG, headers=gateway.bearer())
    assert gateway.social.requests["CreateUpload"].file_name == "a b.mp3"
    await gateway.http.post("/uploads", content=SONG, headers=gateway.bearer())
    assert gateway.social.requests["CreateUpload"].file_name == "upload"


async def test_wrong_extension_does_not_matter(gateway: Gateway) -> None:
    headers = gateway.bearer() | {"X-File-Name": "song.wav", "Content-Type": "audio/wav"}
    response = await gateway.http.post("/uploads", content=SONG, headers=headers)
    assert response.json()["contentType"] == "audio/mpeg"


async def refused(gateway: Gateway, status: int, reason: str, response: httpx.Response) -> dict[str, str]:
    assert response.status_code == status, response.text
    error: dict[str, str] = response.json()["error"]
    assert error["reason"] == reason
    assert "CreateUpload" not in gateway.behind.spent()
    assert stored(gateway) == []
    return error


async def test_guest_is_refused_before_the_body_is_read(gateway: Gateway) -> None:
    response = await gateway.http.post("/uploads", content=SONG)
    await refused(gateway, 401, "LOGIN_REQUIRED", response)


async def test_form_is_refused_with_the_way_to_do_it(gateway: Gateway) -> None:
    response = await gateway.http.post("/uploads", files={"file": SONG}, headers=gateway.bearer())
    error = await refused(gateway, 415, "CONTENT_TYPE_REFUSED", response)
    assert "send the file's bytes as the body" in error["message"]


async def test_empty_and_foreign_files_are_refused(gateway: Gateway) -> None:
    empty = await gateway.http.post("/uploads", content=b"", headers=gateway.bearer())
    await refused(gateway, 400, "UPLOAD_EMPTY", empty)
    picture = await gateway.http.post(
        "/uploads", content=slices(b"\x89PNG\r\n\x1a\n" + bytes(90_000)), headers=gateway.bearer()
    )
    error = await refused(gateway, 415, "UPLOAD_NOT_AUDIO", picture)
    assert (error["value"], error["limit"]) == ("image/png", "audio/*")


async def test_size_is_limited_as_announced_and_as_it_comes(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, max_upload_bytes=50_000) as gateway:
        announced = await gateway.http.post("/uploads", content=SONG, headers=gateway.bearer())
        error = await refused(gateway, 413, "UPLOAD_TOO_LARGE", announced)
        assert (error["value"], error["limit"]) == ("51204", "50000")
        chunked = await gateway.http.post("/uploads", content=slices(SONG), headers=gateway.bearer())
        error = await refused(gateway, 413, "UPLOAD_TOO_LARGE", chunked)
        assert error["limit"] == "50000"
        fits = await gateway.http.post("/uploads", content=slices(SONG[:50_000]), headers=gateway.bearer())
        assert fits.status_code == 201


async def test_large_upload_is_answered_while_it_is_still_sent(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, max_upload_bytes=100_000) as gateway:
        big = bytes(20_000_000)
        response = await gateway.http.post("/uploads", content=big, headers=gateway.bearer())
        await refused(gateway, 413, "UPLOAD_TOO_LARGE", response)


async def test_quota_of_social_is_told(gateway: Gateway) -> None:
    gateway.social.faults["CreateUpload"] = ResourceExhausted(
        "20 uploads are kept, limit is 20", reason="UPLOAD_QUOTA", value=20, limit=20, retry_after_ms=1500
    )
    response = await gateway.http.post("/uploads", content=SONG, headers=gateway.bearer())
    assert response.status_code == 429
    assert response.headers["retry-after"] == "2"
    assert response.json() == {
        "error": {
            "code": "RESOURCE_EXHAUSTED",
            "reason": "UPLOAD_QUOTA",
            "message": "20 uploads are kept, limit is 20",
            "value": "20",
            "limit": "20",
            "retryAfterMs": 1500,
        }
    }


async def test_beyond_the_quota_nothing_is_read_and_nothing_is_stored(gateway: Gateway) -> None:
    gateway.social.faults["CheckUpload"] = ResourceExhausted(
        "100 uploads in 24 hours, limit is 100", reason="UPLOAD_QUOTA_REACHED", value=100, limit=100
    )
    # Of the body only the beginning is ever sent: the answer does not wait for the rest.
    line = await first_line(gateway, "Content-Length: 60000", SONG[:20])
    assert line.split()[1] == b"429"
    assert gateway.social.requests["CheckUpload"].size_bytes == 60_000
    assert gateway.behind.spent() == {"CheckUpload": 1}
    assert stored(gateway) == []


async def test_what_is_left_of_the_quota_bounds_a_body_of_unknown_length(gateway: Gateway) -> None:
    gateway.social.left_upload_bytes = 50_000
    response = await gateway.http.post("/uploads", content=slices(SONG), headers=gateway.bearer())
    error = await refused(gateway, 413, "UPLOAD_TOO_LARGE", response)
    assert error["limit"] == "50000"
    assert gateway.social.requests["CheckUpload"].size_bytes == 0


async def test_social_of_the_release_before_is_asked_when_the_upload_is_recorded(gateway: Gateway) -> None:
    gateway.social.faults["CheckUpload"] = Unimplemented("no such method")
    response = await gateway.http.post("/uploads", content=SONG, headers=gateway.bearer())
    assert response.status_code == 201


async def first_line(gateway: Gateway, head: str, body: bytes) -> bytes:
    """Send a request that may be unfinished, and return the first line of the answer."""
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    token = gateway.bearer()["Authorization"]
    writer.write(f"POST /uploads HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n{head}\r\n\r\n".encode() + body)
    await writer.drain()
    try:
        return await asyncio.wait_for(reader.readline(), 60)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_silent_client_is_given_up_and_leaves_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.upload_bodies._STALL_S", 0.2)
    line = await first_line(gateway, "Content-Length: 60000", SONG[:20_000])
    assert line.split()[1] == b"408"
    assert stored(gateway) == []


async def test_client_that_drips_is_given_up_in_the_end(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.upload_bodies._LONGEST_S", 0.5)

    async def drops() -> AsyncIterator[bytes]:
        for start in range(0, 400, 10):
            yield SONG[start : start + 10]
            await asyncio.sleep(0.05)

    response = await gateway.http.post("/uploads", content=drops(), headers=gateway.bearer())
    assert (response.status_code, response.json()["error"]["limit"]) == (408, "0.5")
    assert stored(gateway) == []


async def test_client_that_sends_less_than_a_window_must_have_is_given_up(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.upload_bodies._LEAST_WITHIN_S", 0.5)

    async def drops() -> AsyncIterator[bytes]:
        for start in range(0, 400, 10):
            yield SONG[start : start + 10]
            await asyncio.sleep(0.05)

    response = await gateway.http.post("/uploads", content=drops(), headers=gateway.bearer())
    assert (response.status_code, response.json()["error"]["limit"]) == (408, "61440")
    assert stored(gateway) == []


async def test_client_that_goes_away_leaves_nothing(gateway: Gateway) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield SONG
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        await gateway.http.post("/uploads", content=broken(), headers=gateway.bearer())
    async with asyncio.timeout(60):
        while gateway.blobs.exists() and any(path.is_file() for path in gateway.blobs.rglob("*")):
            await asyncio.sleep(0.01)
    assert "CreateUpload" not in gateway.behind.spent()


async def test_megabytes_pass_through_without_being_held(gateway: Gateway) -> None:
    data = b"fLaC" + os.urandom(9_000_000)
    response = await gateway.http.post("/uploads", content=slices(data, 65_536), headers=gateway.bearer())
    assert response.json()["sizeBytes"] == len(data)
    (path,) = stored(gateway)
    assert path.stat().st_size == len(data)
