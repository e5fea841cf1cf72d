"""Resumable uploads by tus 1.0.0: in pieces, from anywhere, once; damaged, foreign and abandoned ones refused."""

import asyncio
import base64
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from obstore.store import MemoryStore

from museed.social.v1 import catalog_pb2
from services.chassis.blobs import BlobStore, open_blob_store
from services.chassis.bus import Bus
from services.chassis.errors import NotFound, ResourceExhausted, Unavailable
from services.gateway.tus.partial_uploads import PartialUploads
from services.gateway.tus.route import TusUploads
from services.gateway.upload_intake import UploadIntake
from tests.conftest import NatsServer
from tests.integration.gateway.conftest import Gateway, serving_gateway
from tests.integration.gateway.test_process import running

pytestmark = pytest.mark.asyncio(loop_scope="module")

SONG = b"ID3\x04" + bytes(range(256)) * 200  # 51,204 bytes
VERSION = {"Tus-Resumable": "1.0.0"}
CHUNK = {**VERSION, "Content-Type": "application/offset+octet-stream"}


def metadata(**pairs: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in pairs.items())


async def begin(gateway: Gateway, length: int = len(SONG), said: str = "") -> str:
    """Begin an upload as user-1; returns its address."""
    response = await gateway.http.post(
        "/uploads", headers={**gateway.bearer(), **VERSION, "Upload-Length": str(length), "Upload-Metadata": said}
    )
    assert response.status_code == 201, response.text
    return response.headers["location"]


async def send(gateway: Gateway, url: str, offset: int, data: Any, **headers: str) -> httpx.Response:
    return await gateway.http.patch(
        url, content=data, headers={**gateway.bearer(), **CHUNK, "Upload-Offset": str(offset), **headers}
    )


async def tell(gateway: Gateway, url: str) -> httpx.Response:
    return await gateway.http.head(url, headers={**gateway.bearer(), **VERSION})


def refused(response: httpx.Response, status: int, reason: str) -> dict[str, str]:
    assert response.status_code == status, response.text
    error: dict[str, str] = response.json()["error"]
    assert error["reason"] == reason
    assert response.headers["tus-resumable"] == "1.0.0"
    return error


def files(gateway: Gateway, root: str) -> list[Path]:
    return [path for path in (gateway.blobs / root).rglob("*") if path.is_file()]


def pieces(gateway: Gateway) -> list[int]:
    return sorted(int(path.name) for path in files(gateway, "partial") if path.name != "facts")


async def test_what_is_spoken_is_told_without_a_token(gateway: Gateway) -> None:
    response = await gateway.http.options("/uploads")
    assert response.status_code == 204
    told = {name: value for name, value in response.headers.items() if name.startswith("tus-")}
    assert told == {
        "tus-resumable": "1.0.0",
        "tus-version": "1.0.0",
        "tus-extension": "creation,creation-with-upload,expiration,checksum,termination",
        "tus-max-size": "209715200",
        "tus-checksum-algorithm": "sha1,sha256,md5",
    }


async def test_file_comes_in_parts_and_is_recorded_once_whole(gateway: Gateway) -> None:
    url = await begin(gateway, said=metadata(filename="../좋은 날.mp3", filetype="audio/mpeg"))
    assert gateway.social.requests["CheckUpload"].size_bytes == 51_204
    first = await send(gateway, url, 0, SONG[:20_000])
    assert (first.status_code, first.content, first.headers["upload-offset"]) == (204, b"", "20000")
    assert "CreateUpload" not in gateway.social.calls
    found = await tell(gateway, url)
    assert found.status_code == 200
    kept = ("upload-offset", "upload-length", "cache-control", "tus-resumable", "upload-metadata")
    assert [found.headers[name] for name in kept] == [
        "20000", "51204", "no-store", "1.0.0", metadata(filename="../좋은 날.mp3", filetype="audio/mpeg"),
    ]  # fmt: skip
    assert "museed-upload-id" not in found.headers
    last = await send(gateway, url, 20_000, SONG[20_000:])
    assert (last.status_code, last.headers["upload-offset"]) == (204, "51204")
    upload_id = url.rpartition("/")[2]
    assert last.headers["museed-upload-id"] == upload_id
    sent = gateway.social.requests["CreateUpload"]
    assert (sent.upload_id, sent.digest, sent.size_bytes, sent.content_type, sent.file_name) == (
        upload_id,
        hashlib.sha256(SONG).digest(),
        51_204,
        "audio/mpeg",
        "좋은 날.mp3",
    )
    assert pieces(gateway) == []
    (blob,) = files(gateway, "sha256")
    assert blob.read_bytes() == SONG
    after = await tell(gateway, url)
    assert (after.headers["upload-offset"], after.headers["museed-upload-id"]) == ("51204", upload_id)
    repeated = await send(gateway, url, 51_204, b"")
    assert (repeated.status_code, repeated.headers["upload-offset"]) == (204, "51204")
    assert gateway.social.calls["CreateUpload"] == 1


async def test_first_bytes_may_come_with_the_beginning(gateway: Gateway) -> None:
    headers = {**gateway.bearer(), **CHUNK, "Upload-Length": str(len(SONG))}
    part = await gateway.http.post("/uploads", content=SONG[:9_000], headers=headers)
    assert (part.status_code, part.headers["upload-offset"]) == (201, "9000")
    whole = await gateway.http.post("/uploads", content=SONG, headers=headers)
    assert (whole.status_code, whole.headers["upload-offset"]) == (201, "51204")
    assert whole.headers["location"].endswith(f"/uploads/{whole.headers['museed-upload-id']}")


async def test_chunk_that_begins_elsewhere_changes_nothing(gateway: Gateway) -> None:
    url = await begin(gateway)
    await send(gateway, url, 0, SONG[:10_000])
    for offset in (0, 9_999, 10_001, 51_204):
        error = refused(await send(gateway, url, offset, SONG[:100]), 409, "UPLOAD_OFFSET_MISMATCH")
        assert (error["value"], error["limit"]) == (str(offset), "10000")
    assert pieces(gateway) == [0]
    assert (await tell(gateway, url)).headers["upload-offset"] == "10000"


async def test_two_who_go_on_at_the_same_place_make_one_file(gateway: Gateway) -> None:
    url = await begin(gateway)
    answers = await asyncio.gather(*(send(gateway, url, 0, SONG[:10_000]) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [204, 409, 409]
    done = await asyncio.gather(*(send(gateway, url, 10_000, SONG[10_000:]) for _ in range(3)))
    assert 204 in [answer.status_code for answer in done]
    (blob,) = files(gateway, "sha256")
    assert blob.read_bytes() == SONG


async def test_what_came_before_an_interruption_stays(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await begin(gateway)
    has_come = asyncio.Event()
    monkeypatch.setattr(TusUploads, "_check_session", lambda self: has_come.set())

    async def broken() -> AsyncIterator[bytes]:
        yield SONG[:30_000]
        await asyncio.wait_for(has_come.wait(), 60)
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        await send(gateway, url, 0, broken())
    async with asyncio.timeout(60):
        while (offset := int((await tell(gateway, url)).headers["upload-offset"])) == 0:
            await asyncio.sleep(0.01)
    assert 0 < offset <= 30_000
    last = await send(gateway, url, offset, SONG[offset:])
    assert last.headers["museed-upload-id"] == url.rpartition("/")[2]
    assert gateway.social.requests["CreateUpload"].digest == hashlib.sha256(SONG).digest()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
async def test_damaged_chunk_is_dropped_and_a_sound_one_kept(gateway: Gateway, algorithm: str) -> None:
    url = await begin(gateway)
    digest = base64.b64encode(hashlib.new(algorithm, SONG[:10_000]).digest()).decode()
    checked = {"Upload-Checksum": f"{algorithm} {digest}"}
    refused(await send(gateway, url, 0, SONG[1:10_001], **checked), 460, "UPLOAD_CHECKSUM_MISMATCH")
    assert pieces(gateway) == []
    assert (await tell(gateway, url)).headers["upload-offset"] == "0"
    sound = await send(gateway, url, 0, SONG[:10_000], **checked)
    assert (sound.status_code, sound.headers["upload-offset"]) == (204, "10000")


@pytest.mark.parametrize("checksum", ["crc32 AAAA", "sha1 AAAA", "sha1", "", "sha1 ?", "sha1 " + "A" * 40])
async def test_checksum_that_cannot_be_read_is_refused(gateway: Gateway, checksum: str) -> None:
    url = await begin(gateway)
    refused(await send(gateway, url, 0, SONG, **{"Upload-Checksum": checksum}), 400, "UPLOAD_CHECKSUM_INVALID")
    assert pieces(gateway) == []


async def test_checked_chunk_that_breaks_off_is_dropped(gateway: Gateway) -> None:
    url = await begin(gateway)

    async def broken() -> AsyncIterator[bytes]:
        yield SONG[:30_000]
        raise ConnectionAbortedError

    digest = base64.b64encode(hashlib.sha1(SONG, usedforsecurity=False).digest()).decode()
    with pytest.raises(ConnectionAbortedError):
        await send(gateway, url, 0, broken(), **{"Upload-Checksum": f"sha1 {digest}"})
    whole = await send(gateway, url, 0, SONG, **{"Upload-Checksum": f"sha1 {digest}"})
    assert whole.headers["upload-offset"] == "51204"


async def test_ended_upload_is_gone_and_a_recorded_one_deleted_at_social(gateway: Gateway) -> None:
    url = await begin(gateway)
    await send(gateway, url, 0, SONG[:10_000])
    for method, headers in (("DELETE", {}), ("POST", {"X-HTTP-Method-Override": "DELETE"})):
        response = await gateway.http.request(method, url, headers={**gateway.bearer(), **VERSION, **headers})
        assert response.status_code == (204 if method == "DELETE" else 404)
    assert files(gateway, "partial") == []
    assert (await tell(gateway, url)).status_code == 404
    done = await begin(gateway)
    await send(gateway, done, 0, SONG)
    ended = await gateway.http.delete(done, headers={**gateway.bearer(), **VERSION})
    assert ended.status_code == 204
    assert gateway.social.requests["DeleteUpload"].upload_id == done.rpartition("/")[2]


@pytest.mark.parametrize("is_recorded_first", [True, False])
async def test_upload_that_is_ended_while_it_is_recorded_is_deleted_at_social(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, is_recorded_first: bool
) -> None:
    """Its owner ends it between its last byte and its record, or while its record is on its way."""
    url = await begin(gateway)
    take = UploadIntake.take

    async def end() -> None:
        assert (await gateway.http.delete(url, headers={**gateway.bearer(), **VERSION})).status_code == 204

    async def taking(self: UploadIntake, *arguments: Any) -> catalog_pb2.Upload:
        if is_recorded_first:
            recorded = await take(self, *arguments)
            await end()
            return recorded
        gateway.social.faults["DeleteUpload"] = NotFound("no such upload", reason="UPLOAD_NOT_FOUND")
        chunks, *others = arguments
        held = [chunk async for chunk in chunks]
        await end()
        del gateway.social.faults["DeleteUpload"]
        del gateway.social.requests["DeleteUpload"]
        return await take(self, async_iter(held), *others)

    monkeypatch.setattr(UploadIntake, "take", taking)
    refused(await send(gateway, url, 0, SONG), 404, "UPLOAD_NOT_FOUND")

    assert gateway.social.requests["DeleteUpload"].upload_id == url.rpartition("/")[2]
    assert files(gateway, "partial") == []


async def async_iter(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_method_may_be_told_in_a_header(gateway: Gateway) -> None:
    url = await begin(gateway)
    headers = {**gateway.bearer(), **CHUNK, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    response = await gateway.http.post(url, content=SONG[:10], headers=headers)
    assert (response.status_code, response.headers["upload-offset"]) == (204, "10")
    nothing = await gateway.http.post(url, headers=gateway.bearer() | VERSION)
    assert (nothing.status_code, nothing.json()["error"]["reason"]) == (405, "METHOD_NOT_ALLOWED")


async def test_upload_is_its_owners_alone(gateway: Gateway) -> None:
    url = await begin(gateway)
    other = gateway.bearer(sub="user-2", role="admin")
    for method, headers in (("HEAD", {}), ("PATCH", {**CHUNK, "Upload-Offset": "0"}), ("DELETE", {})):
        found = await gateway.http.request(method, url, headers={**other, **VERSION, **headers})
        assert (found.status_code, "upload-offset" in found.headers) == (404, False)
        guest = await gateway.http.request(method, url, headers={**VERSION, **headers})
        assert guest.status_code == 401
        reader = gateway.bearer(kind="api", scope="read")
        assert (await gateway.http.request(method, url, headers={**reader, **VERSION, **headers})).status_code == 403
    assert (await gateway.http.post("/uploads", headers={**VERSION, "Upload-Length": "9"})).status_code == 401
    assert (await tell(gateway, url)).headers["upload-offset"] == "0"


async def test_other_versions_are_told_which_one_is_spoken(gateway: Gateway) -> None:
    for version in ("0.2.2", "2.0.0", ""):
        response = await gateway.http.post(
            "/uploads", headers={**gateway.bearer(), "Tus-Resumable": version, "Upload-Length": "9"}
        )
        refused(response, 412, "TUS_VERSION_UNKNOWN")
        assert response.headers["tus-version"] == "1.0.0"


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({}, 400, "UPLOAD_LENGTH_INVALID"),
        ({"Upload-Defer-Length": "1"}, 400, "UPLOAD_LENGTH_INVALID"),
        ({"Upload-Length": "-1"}, 400, "UPLOAD_LENGTH_INVALID"),
        ({"Upload-Length": "9" * 19}, 400, "UPLOAD_LENGTH_INVALID"),
        ({"Upload-Length": "0"}, 400, "UPLOAD_EMPTY"),
        ({"Upload-Length": "209715201"}, 413, "UPLOAD_TOO_LARGE"),
        ({"Upload-Length": "9", "Upload-Metadata": "filename ?"}, 400, "UPLOAD_METADATA_INVALID"),
        ({"Upload-Length": "9", "Upload-Metadata": "a YQ==,a YQ=="}, 400, "UPLOAD_METADATA_INVALID"),
        ({"Upload-Length": "9", "Upload-Metadata": "a " + "A" * 4096}, 400, "UPLOAD_METADATA_INVALID"),
    ],
)
async def test_beginning_that_makes_no_sense_leaves_nothing(
    gateway: Gateway, headers: dict[str, str], status: int, reason: str
) -> None:
    response = await gateway.http.post("/uploads", headers={**gateway.bearer(), **VERSION, **headers})
    refused(response, status, reason)
    assert files(gateway, "") == []


async def test_chunk_that_makes_no_sense_changes_nothing(gateway: Gateway) -> None:
    url = await begin(gateway, 100)
    headers = {**gateway.bearer(), **VERSION, "Upload-Offset": "0"}
    plain = await gateway.http.patch(url, content=b"x", headers={**headers, "Content-Type": "audio/mpeg"})
    refused(plain, 415, "CONTENT_TYPE_REFUSED")
    nowhere = await gateway.http.patch(url, content=b"x", headers={**gateway.bearer(), **CHUNK})
    refused(nowhere, 400, "UPLOAD_OFFSET_INVALID")
    error = refused(await send(gateway, url, 0, bytes(101)), 413, "UPLOAD_CHUNK_TOO_LARGE")
    assert (error["value"], error["limit"]) == ("101", "100")

    async def uncounted() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(50)

    refused(await send(gateway, url, 0, uncounted()), 413, "UPLOAD_CHUNK_TOO_LARGE")
    assert pieces(gateway) == []
    assert (await gateway.http.head("/uploads/x", headers={**gateway.bearer(), **VERSION})).status_code == 400


async def test_what_is_no_audio_is_refused_at_its_first_bytes(gateway: Gateway) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(90_000)
    url = await begin(gateway, len(picture))
    error = refused(await send(gateway, url, 0, picture[:20_000]), 415, "UPLOAD_NOT_AUDIO")
    assert error["value"] == "image/png"
    assert files(gateway, "") == []
    dripped = await begin(gateway, len(picture))
    assert (await send(gateway, dripped, 0, picture[:10])).status_code == 204
    refused(await send(gateway, dripped, 10, picture[10:]), 415, "UPLOAD_NOT_AUDIO")
    assert (await tell(gateway, dripped)).status_code == 404
    assert files(gateway, "partial") == []


async def test_unfinished_ones_count_towards_the_quota_and_are_few(gateway: Gateway) -> None:
    for _ in range(10):
        await begin(gateway)
    assert gateway.social.requests["CheckUpload"].size_bytes == 10 * 51_204
    headers = {**gateway.bearer(), **VERSION, "Upload-Length": "9"}
    refused(await gateway.http.post("/uploads", headers=headers), 429, "TOO_MANY_UNFINISHED_UPLOADS")
    other = await gateway.http.post("/uploads", headers=headers | gateway.bearer(sub="user-2"))
    assert other.status_code == 201
    gateway.social.faults["CheckUpload"] = ResourceExhausted("too much", reason="UPLOAD_QUOTA_REACHED")
    before = len(files(gateway, ""))
    full = await gateway.http.post("/uploads", headers=headers | gateway.bearer(sub="user-3"))
    refused(full, 429, "UPLOAD_QUOTA_REACHED")
    assert len(files(gateway, "")) == before


async def test_upload_whose_record_failed_is_recorded_when_somebody_asks(gateway: Gateway) -> None:
    url = await begin(gateway)
    gateway.social.faults["CreateUpload"] = Unavailable("away", reason="DATABASE_UNAVAILABLE", retry_after_ms=10)
    refused(await send(gateway, url, 0, SONG), 503, "DATABASE_UNAVAILABLE")
    assert (await tell(gateway, url)).status_code == 503
    assert pieces(gateway) == [0]
    del gateway.social.faults["CreateUpload"]
    found = await tell(gateway, url)
    assert (found.headers["upload-offset"], found.headers["museed-upload-id"]) == ("51204", url.rpartition("/")[2])
    assert pieces(gateway) == []


async def test_abandoned_upload_is_not_found_and_swept(gateway: Gateway, tmp_path: Path) -> None:
    now = float(int(time.time()))  # fractions of it are rounded on their way
    partial = PartialUploads(gateway.parts.blobs, 86_400, lambda: now)
    upload = await partial.begin("user-1", 100, "a.mp3", "")
    upload = await partial.add(upload, b"some")
    torn = gateway.blobs / "partial" / "user-1" / upload.upload_id / "0000000000000004#1"
    torn.write_bytes(b"half of a piece")
    assert (await partial.find("user-1", upload.upload_id)) == upload
    now += 86_399
    assert (await partial.find("user-1", upload.upload_id)) == upload
    now += 1
    assert await partial.find("user-1", upload.upload_id) is None
    assert await partial.unfinished("user-1") == []
    assert await partial.sweep() == 0
    now += 3_700
    assert await partial.sweep() == 3
    assert list((gateway.blobs / "partial").rglob("*")) == []


async def test_interruptions_are_bounded(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.tus.partial_uploads._MAX_PIECES", 3)
    url = await begin(gateway)
    for offset in range(3):
        await send(gateway, url, offset, SONG[offset : offset + 1])
    refused(await send(gateway, url, 3, SONG[3:]), 429, "UPLOAD_TOO_FRAGMENTED")


async def test_large_file_is_held_in_pieces_of_eight_mib(gateway: Gateway) -> None:
    data = b"fLaC" + os.urandom(20 * 1024 * 1024)
    url = await begin(gateway, len(data))
    cut = len(data) - 5
    part = await send(gateway, url, 0, data[:cut])
    assert part.headers["upload-offset"] == str(cut)
    assert pieces(gateway) == [0, 8 * 1024 * 1024, 16 * 1024 * 1024]
    await send(gateway, url, cut, data[cut:])
    assert gateway.social.requests["CreateUpload"].digest == hashlib.sha256(data).digest()


async def test_places_are_bounded_per_person_and_process(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, max_uploads_at_once=5) as gateway:
        go_on = asyncio.Event()

        async def waiting() -> AsyncIterator[bytes]:
            yield SONG[:100]
            await go_on.wait()
            yield SONG[100:]

        async def post(who: str) -> httpx.Response:
            return await gateway.http.post("/uploads", content=waiting(), headers=gateway.bearer(sub=who))

        held = [asyncio.create_task(post("user-1")) for _ in range(4)]
        async with asyncio.timeout(60):
            while gateway.social.calls["CheckUpload"] < 4:
                await asyncio.sleep(0.01)
        mine = await gateway.http.post("/uploads", content=SONG, headers=gateway.bearer())
        assert (mine.status_code, mine.json()["error"]["reason"]) == (429, "TOO_MANY_UPLOADS_AT_ONCE")
        held.append(asyncio.create_task(post("user-2")))
        async with asyncio.timeout(60):
            while gateway.social.calls["CheckUpload"] < 5:
                await asyncio.sleep(0.01)
        third = await gateway.http.post("/uploads", content=SONG, headers=gateway.bearer(sub="user-3"))
        assert (third.status_code, third.json()["error"]["reason"]) == (503, "UPLOADS_BUSY")
        go_on.set()
        assert [answer.status_code for answer in await asyncio.gather(*held)] == [201] * 5
        again = await gateway.http.post("/uploads", content=SONG, headers=gateway.bearer())
        assert again.status_code == 201


async def test_pages_of_other_origins_may_upload(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, cors_origins=("https://app.example",)) as gateway:
        preflight = await gateway.http.options(
            "/uploads/x",
            headers={
                "Origin": "https://app.example",
                "Access-Control-Request-Method": "PATCH",
                "Access-Control-Request-Headers": "authorization,tus-resumable,upload-offset,upload-checksum",
            },
        )
        assert preflight.status_code == 200
        response = await gateway.http.post(
            "/uploads",
            headers={**gateway.bearer(), **VERSION, "Upload-Length": "9", "Origin": "https://app.example"},
        )
        exposed = {name.strip().lower() for name in response.headers["access-control-expose-headers"].split(",")}
        assert {"location", "upload-offset", "upload-expires", "museed-upload-id", "tus-resumable"} <= exposed


async def test_killed_process_costs_only_what_was_not_acknowledged(
    bus: Bus, nats_server: NatsServer, tmp_path: Path
) -> None:
    data = b"fLaC" + os.urandom(30 * 1024 * 1024)

    async with running(nats_server, tmp_path) as first:
        headers = {"Authorization": f"Bearer {first.behind.signer.token()}", **CHUNK}
        async with httpx.AsyncClient(base_url=first.url, timeout=60) as http:
            begun = await http.post(
                "/uploads", headers=headers | {"Upload-Length": str(len(data))}, content=data[:1000]
            )
            url = begun.headers["location"]
            assert begun.headers["upload-offset"] == "1000"

            async def cut_off() -> AsyncIterator[bytes]:
                for start in range(1000, len(data), 1024 * 1024):
                    if start > 20 * 1024 * 1024 and first.process.returncode is None:
                        first.process.send_signal(signal.SIGKILL)
                        await first.process.wait()
                    yield data[start : start + 1024 * 1024]

            with pytest.raises(httpx.TransportError):
                await http.patch(url, content=cut_off(), headers=headers | {"Upload-Offset": "1000"})
    async with running(nats_server, tmp_path) as second:
        headers = {"Authorization": f"Bearer {second.behind.signer.token()}", **CHUNK}
        async with httpx.AsyncClient(base_url=second.url, timeout=60) as http:
            offset = int((await http.head(url, headers=headers)).headers["upload-offset"])
            assert offset in (1000 + 8 * 1024 * 1024, 1000 + 16 * 1024 * 1024)
            rest = await http.patch(url, content=data[offset:], headers=headers | {"Upload-Offset": str(offset)})
            assert (rest.status_code, rest.headers["upload-offset"]) == (204, str(len(data)))
            assert second.behind.social.requests["CreateUpload"].digest == hashlib.sha256(data).digest()
            assert second.behind.social.calls["CreateUpload"] == 1
    assert await open_blob_store(f"file://{tmp_path / 'blobs'}").get(hashlib.sha256(data).digest()) == data


async def test_store_without_files_keeps_them_too() -> None:
    now = 1_800_000_000.0
    partial = PartialUploads(BlobStore(MemoryStore()), 3600, lambda: now)
    upload = await partial.begin("user-1", 6, "a.mp3", "")
    upload = await partial.add(await partial.add(upload, b"abc"), b"def")
    found = await partial.find("user-1", upload.upload_id)
    assert found == upload
    assert b"".join([chunk async for chunk in partial.chunks(upload)]) == b"abcdef"
    assert [one.upload_id for one in await partial.unfinished("user-1")] == [upload.upload_id]
    await partial.record(upload, "recorded")
    assert await partial.unfinished("user-1") == []
    now = time.time() + 10_000
    assert await partial.sweep() == 1


async def keyed(gateway: Gateway, key: str, length: int = len(SONG), body: bytes = b"", **who: str) -> httpx.Response:
    headers = {**gateway.bearer(**who), **(CHUNK if body else VERSION), "Idempotency-Key": key}
    return await gateway.http.post("/uploads", headers={**headers, "Upload-Length": str(length)}, content=body)


async def test_beginning_again_with_a_key_is_the_same_upload_whatever_is_left(gateway: Gateway) -> None:
    first = await keyed(gateway, "of mine")
    url = first.headers["location"]
    assert (await keyed(gateway, "of mine")).headers["location"] == url
    assert (await keyed(gateway, "another")).headers["location"] != url
    assert (await keyed(gateway, "of mine", sub="user-2")).headers["location"] != url
    assert (await send(gateway, url, 0, SONG[:20_000])).status_code == 204
    gateway.social.faults["CheckUpload"] = ResourceExhausted("too much", reason="UPLOAD_QUOTA_REACHED")
    again = await keyed(gateway, "of mine", body=SONG[:100])  # how far it is says where to go on
    assert (again.status_code, again.headers["location"], again.headers["upload-offset"]) == (201, url, "20000")
    assert (await send(gateway, url, 20_000, SONG[20_000:])).status_code == 204
    done = await keyed(gateway, "of mine")
    assert (done.headers["location"], done.headers["museed-upload-id"]) == (url, url.rpartition("/")[2])
    refused(await keyed(gateway, "new"), 429, "UPLOAD_QUOTA_REACHED")
    assert gateway.social.calls["CreateUpload"] == 1


async def test_a_key_of_another_upload_and_one_too_long_are_refused(gateway: Gateway) -> None:
    await keyed(gateway, "of mine")
    error = refused(await keyed(gateway, "of mine", 9), 400, "IDEMPOTENCY_KEY_REUSED")
    assert error["field"] == "Idempotency-Key"
    error = refused(await keyed(gateway, "k" * 201), 400, "OUT_OF_RANGE")
    assert (error["value"], error["limit"]) == ("201", "200")
    assert len(files(gateway, "partial")) == 2  # an upload and its key


async def test_two_that_begin_at_once_with_a_key_begin_one(gateway: Gateway) -> None:
    gateway.social.delays_s["CheckUpload"] = 0.3  # all have looked for the key when the first goes on
    begun = await asyncio.gather(*(keyed(gateway, "of mine") for _ in range(3)))
    assert gateway.social.calls["CheckUpload"] == 3
    assert len({response.headers["location"] for response in begun}) == 1
    assert len(files(gateway, "partial")) == 2


async def test_a_key_of_an_upload_that_was_ended_begins_another(gateway: Gateway) -> None:
    url = (await keyed(gateway, "of mine")).headers["location"]
    ended = await gateway.http.delete(url, headers={**gateway.bearer(), **VERSION})
    assert ended.status_code == 204
    other = (await keyed(gateway, "of mine")).headers["location"]
    assert other != url
    assert (await keyed(gateway, "of mine")).headers["location"] == other
