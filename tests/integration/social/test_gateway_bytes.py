"""Bytes through the gateway before a real social: who lends, hears and sees what, and until when."""

import contextlib
import hashlib
from pathlib import Path

import httpx

from tests.fixtures.recordings import write_recording
from tests.integration.social.conftest import TIMEOUT_S, Mesh, Person, Sql, until
from tests.integration.social.gateway_process import Door, gateway_before

CHUNK = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


def bearer(who: Person) -> dict[str, str]:
    return {"Authorization": f"Bearer {who.access_token}"}


async def stream_url(door: Door, who: Person, upload_id: str) -> str:
    document = f'{{ result: upload(id: "{upload_id}") {{ streamUrl }} }}'
    url: str = (await door.run(document, who.access_token))["streamUrl"]
    return url


async def test_upload_in_parts_is_its_owners_alone_until_it_is_deleted(mesh: Mesh, sql: Sql, tmp_path: Path) -> None:
    mesh.settings = mesh.settings.model_copy(update={"blob_store_url": f"file://{tmp_path / 'blobs'}"})
    social = await mesh.start()
    song = write_recording(tmp_path / "a.flac", "flac").read_bytes()
    owner, other = await social.sign_up("admin"), await social.sign_up()
    async with gateway_before(mesh, tmp_path) as door:
        beginning = {**bearer(other), **CHUNK, "Upload-Length": str(len(song))}
        begun = await door.http.post("/uploads", content=song[:20_000], headers=beginning)
        url, upload_id = begun.headers["location"], begun.headers["location"].rpartition("/")[2]
        assert (begun.status_code, begun.headers["upload-offset"]) == (201, "20000")
        for stranger in (owner, None):
            headers = CHUNK | (bearer(stranger) if stranger else {})
            asked = await door.http.head(url, headers=headers)
            assert asked.status_code == (404 if stranger else 401)
        assert await sql.fetchval("SELECT count(*) FROM uploads") == 0
        rest = await door.http.patch(
            url, content=song[20_000:], headers={**bearer(other), **CHUNK, "Upload-Offset": "20000"}
        )
        assert (rest.status_code, rest.headers["museed-upload-id"]) == (204, upload_id)
        assert (await door.http.head(url, headers=bearer(other) | CHUNK)).headers["upload-offset"] == str(len(song))
        (row,) = await sql.fetch("SELECT upload_id::text, digest, content_type, size_bytes FROM uploads")
        assert tuple(row) == (upload_id, hashlib.sha256(song).digest(), "audio/x-flac", len(song))

        path = f"/uploads/{upload_id}/stream"
        assert (await door.http.get(path, headers=bearer(other))).content == song
        assert (await door.http.get(path, headers=bearer(owner))).json()["error"]["reason"] == "UPLOAD_NOT_FOUND"
        signed = await stream_url(door, other, upload_id)
        part = await door.http.get(signed, headers={"Range": "bytes=100-199"})
        assert (part.status_code, part.content) == (206, song[100:200])
        smaller = await door.http.get(f"{signed}&format=ogg&maxBitRate=64")
        assert (smaller.status_code, smaller.content[:4]) == (200, b"OggS")

        await door.do("deleteUpload", {"uploadId": upload_id}, other.access_token)
        for asked in (await door.http.get(signed), await door.http.get(path, headers=bearer(other))):
            assert asked.json()["error"]["reason"] == "UPLOAD_NOT_FOUND"
        assert not list((tmp_path / "blobs" / "sha256").rglob(hashlib.sha256(song).hexdigest()))


async def test_address_of_an_upload_ends_with_the_log_out(mesh: Mesh, tmp_path: Path) -> None:
    mesh.settings = mesh.settings.model_copy(update={"blob_store_url": f"file://{tmp_path / 'blobs'}"})
    social = await mesh.start()
    person = await social.sign_up()
    async with gateway_before(mesh, tmp_path) as door:
        lent = await door.http.post("/uploads", content=b"ID3\x04" + bytes(9_000), headers=bearer(person))
        url = await stream_url(door, person, lent.json()["uploadId"])
        assert (await door.http.get(url)).status_code == 200
        await door.do("logOut", token=person.access_token)
        answers: list[httpx.Response] = []

        async def is_refused() -> bool:
            with contextlib.suppress(httpx.RemoteProtocolError):  # it was being sent as the session ended
                answers.append(await door.http.get(url))
            return bool(answers) and answers[-1].status_code == 401

        await until(is_refused)
        assert answers[-1].json()["error"]["reason"] == "SESSION_REVOKED"


async def test_picture_is_not_for_whom_its_person_blocks(mesh: Mesh, tmp_path: Path) -> None:
    social = await mesh.start()
    shown, blocked = await social.sign_up(), await social.sign_up()
    async with gateway_before(mesh, tmp_path) as door:
        path = f"/users/{shown.user_id}/avatar.svg"
        picture = await door.http.get(path, timeout=TIMEOUT_S)
        assert (picture.status_code, picture.content[:4]) == (200, b"<svg")
        known = await door.http.get(path, headers={"If-None-Match": picture.headers["etag"]})
        assert known.status_code == 304
        assert (await door.http.get(path, headers=bearer(blocked))).status_code == 200
        await door.do("blockUser", {"userId": blocked.user_id}, shown.access_token)
        refused = await door.http.get(path, headers=bearer(blocked))
        assert (refused.status_code, refused.json()["error"]["reason"]) == (404, "USER_NOT_FOUND")
