"""Uploads over HTTP: heard by their uploader alone, in ranges, from a folder or from a store without files."""

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from obstore.store import MemoryStore

from museed.social.v1 import catalog_pb2
from services.chassis import auth
from services.chassis.blobs import BlobStore
from services.chassis.errors import NotFound
from services.gateway.context import RequestContext
from services.gateway.ids import encode_global_id
from tests.fakes.upstreams import new_id
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

AUDIO = bytes(range(256)) * 40
ETAG = f'"{hashlib.sha256(AUDIO).hexdigest()}"'


async def lend(gateway: Gateway, data: bytes = AUDIO, owner: str = "user-1", **changes: Any) -> str:
    """Store an upload of somebody's, whom social alone knows; returns its id."""
    fields: dict[str, Any] = {
        "upload_id": new_id(),
        "size_bytes": len(data),
        "content_type": "audio/ogg",
        "file_name": "demo.ogg",
    }
    upload = catalog_pb2.Upload(**(fields | {"digest": await gateway.parts.blobs.put(data)} | changes))

    def get(request: catalog_pb2.GetUploadRequest) -> catalog_pb2.GetUploadResponse:
        if request.upload_id != upload.upload_id or auth.require_viewer().user_id != owner:
            raise NotFound("there is no such upload", reason="UPLOAD_NOT_FOUND", field="upload_id")
        return catalog_pb2.GetUploadResponse(upload=upload)

    gateway.social.answers["GetUpload"] = get
    return upload.upload_id


def address(gateway: Gateway, upload_id: str, session_id: str = "session-1", **changes: Any) -> str:
    """Return a signed address as a resolver makes it."""
    fields: dict[str, Any] = {
        "upload_id": upload_id,
        "digest": hashlib.sha256(AUDIO).digest(),
        "content_type": "audio/ogg",
    }
    upload = catalog_pb2.Upload(**(fields | changes))
    auth.bind("", auth.Viewer("user-1", "user", auth.TokenKind.ACCESS, session_id=session_id))
    try:
        return RequestContext(gateway.parts).upload_stream_url(upload)
    finally:
        auth.bind("", None)


async def test_uploader_hears_the_whole_or_a_range(gateway: Gateway) -> None:
    upload_id = await lend(gateway)
    for name in (upload_id, encode_global_id("Upload", upload_id)):
        response = await gateway.http.get(f"/uploads/{name}/stream", headers=gateway.bearer())
        assert (response.status_code, response.content) == (200, AUDIO)
    kept = {name: response.headers[name] for name in ("content-type", "etag", "accept-ranges", "cache-control")}
    assert kept == {
        "content-type": "audio/ogg",
        "etag": ETAG,
        "accept-ranges": "bytes",
        "cache-control": "private, max-age=900",
    }
    part = await gateway.http.get(
        f"/uploads/{upload_id}/stream", headers={**gateway.bearer(), "Range": "bytes=10-19", "If-Range": ETAG}
    )
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, AUDIO[10:20], "bytes 10-19/10240")
    known = await gateway.http.get(f"/uploads/{upload_id}/stream", headers={**gateway.bearer(), "If-None-Match": ETAG})
    assert (known.status_code, known.content) == (304, b"")


async def test_nobody_else_hears_it(gateway: Gateway) -> None:
    upload_id = await lend(gateway)
    path = f"/uploads/{upload_id}/stream"
    for headers, status, reason in (
        ({}, 401, "LOGIN_REQUIRED"),
        (gateway.bearer(sub="user-2"), 404, "UPLOAD_NOT_FOUND"),
        (gateway.bearer(sub="user-2", role="admin"), 404, "UPLOAD_NOT_FOUND"),
        ({"Authorization": "Bearer x"}, 401, "TOKEN_INVALID"),
        (gateway.bearer(kind="api", scope="write"), 403, "SCOPE_MISSING"),
    ):
        response = await gateway.http.get(path, headers=headers)
        assert (response.status_code, response.json()["error"]["reason"]) == (status, reason)
        assert response.headers["content-type"] == "application/json"
    malformed = await gateway.http.get("/uploads/x/stream", headers=gateway.bearer())
    assert (malformed.status_code, malformed.json()["error"]["reason"]) == (400, "ID_INVALID")


async def test_signed_address_asks_social_no_more_and_opens_one_upload(gateway: Gateway) -> None:
    upload_id = await lend(gateway)
    url = address(gateway, upload_id)
    response = await gateway.http.get(url, headers={"Range": "bytes=-3"})
    assert (response.status_code, response.content) == (206, AUDIO[-3:])
    assert gateway.behind.spent() == {}
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    other = await gateway.parts.blobs.put(b"of somebody else")
    guests = gateway.parts.signer.query(
        f"upload {upload_id}", guest_nonce="x", facts={"digest": query["digest"], "type": "audio/ogg"}
    )
    for wrong in (
        urlencode(query | {"digest": other.hex()}),
        urlencode(query | {"type": "text/html"}),
        urlencode({name: value for name, value in query.items() if name != "digest"}),
        urlencode(query | {"session": "session-2"}),
        gateway.parts.signer.query(upload_id, session_id="session-1"),  # of a track of that id
        guests,
    ):
        refused = await gateway.http.get(f"/uploads/{upload_id}/stream?{wrong}", headers=gateway.bearer())
        assert (refused.status_code, refused.json()["error"]["reason"]) == (403, "SIGNATURE_INVALID")
    elsewhere = await gateway.http.get(f"/uploads/{new_id()}/stream?{urlsplit(url).query}")
    assert elsewhere.status_code == 403


async def test_resolver_gives_an_address_that_plays(gateway: Gateway) -> None:
    upload_id = await lend(gateway)
    document = "query($id: ID!) { upload(id: $id) { streamUrl whole: streamUrl(format: RAW) } }"
    found = (await gateway.data(document, {"id": upload_id}, gateway.bearer()))["upload"]
    assert found["whole"].endswith("&format=raw")
    for url in found.values():
        assert (await gateway.http.get(url)).content == AUDIO


async def test_signed_address_ends_with_its_session(gateway: Gateway) -> None:
    upload_id = await lend(gateway)
    url = address(gateway, upload_id, "session-that-ends")
    assert (await gateway.http.get(url)).status_code == 200
    gateway.social.revoked.append("session-that-ends")
    await gateway.parts.authenticator.revocations._read()
    response = await gateway.http.get(url)
    assert (response.status_code, response.json()["error"]["reason"]) == (401, "SESSION_REVOKED")


async def test_deleted_audio_is_gone_whatever_the_address_says(gateway: Gateway) -> None:
    upload_id = await lend(gateway)
    url = address(gateway, upload_id)
    await gateway.parts.blobs.delete(hashlib.sha256(AUDIO).digest())
    response = await gateway.http.get(url)
    assert response.status_code == 404
    assert response.json()["error"] == {
        "code": "NOT_FOUND",
        "reason": "UPLOAD_NOT_FOUND",
        "message": "the audio of this upload is deleted",
        "field": "uploadId",
        "value": upload_id,
    }


async def test_upload_cannot_make_a_browser_run_anything(gateway: Gateway) -> None:
    upload_id = await lend(gateway, content_type="text/html")
    response = await gateway.http.get(f"/uploads/{upload_id}/stream", headers=gateway.bearer())
    assert response.headers["content-type"] == "application/octet-stream"


async def test_store_without_files_serves_ranges_too(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blobs = BlobStore(MemoryStore())
    for name in ("open", "read", "size", "put"):
        monkeypatch.setattr(gateway.parts.blobs, name, getattr(blobs, name))
    data = bytes(range(256)) * 10_000
    upload_id = await lend(gateway, data)
    path = f"/uploads/{upload_id}/stream"
    assert (await gateway.http.get(path, headers=gateway.bearer())).content == data
    response = await gateway.http.get(path, headers={**gateway.bearer(), "Range": "bytes=100-1500000"})
    assert (response.status_code, response.content) == (206, data[100:1_500_001])
    await blobs.delete(hashlib.sha256(data).digest())
    assert (await gateway.http.get(path, headers=gateway.bearer())).status_code == 404
