"""One's data over HTTP: asked for, fetched by a signed address, deleted with the account."""

from datetime import timedelta

import pytest

from museed.social.v1 import jobs_pb2, privacy_pb2
from services.chassis.errors import FailedPrecondition, PermissionDenied
from tests.fakes.answers import NOW
from tests.fakes.upstreams import new_id, timestamp
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.test_accounts import THEN, mutation, run

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXPORT = "query($id: ID!) { dataExport(id: $id) { id exportId sizeBytes createdAt expiresAt downloadUrl } }"


async def an_export(gateway: Gateway, data: bytes = b"PK zip") -> str:
    digest = await gateway.parts.blobs.put(data)
    gateway.social.answers["GetExport"] = privacy_pb2.GetExportResponse(
        digest=digest, size_bytes=len(data), created_at=timestamp(), expires_at=timestamp(NOW + timedelta(days=7))
    )
    return new_id()


async def test_ones_data_are_asked_for_and_fetched_by_a_signed_address(gateway: Gateway) -> None:
    job = jobs_pb2.Job(job_id=new_id(), state=jobs_pb2.JOB_STATE_QUEUED, created_at=timestamp())
    export_id = await an_export(gateway)
    gateway.social.answers["RequestExport"] = privacy_pb2.RequestExportResponse(export_id=export_id, job=job)
    document = mutation(
        "requestDataExport",
        "RequestDataExportInput",
        "... on RequestDataExportSuccess { exportId job { jobId state } }",
    )
    asked = await run(gateway, document, {"idempotencyKey": "key-1"})
    assert asked == {
        "__typename": "RequestDataExportSuccess",
        "exportId": export_id,
        "job": {"jobId": job.job_id, "state": "QUEUED"},
    }
    assert gateway.social.requests["RequestExport"].idempotency_key == "key-1"
    found = (await gateway.data(EXPORT, {"id": export_id}, gateway.bearer()))["dataExport"]
    url = found.pop("downloadUrl")
    assert (found.pop("exportId"), found) == (
        export_id,
        {
            "id": found["id"],
            "sizeBytes": 6,
            "createdAt": THEN,
            "expiresAt": "2026-01-09T03:04:05+00:00",
        },
    )
    node = "query($id: ID!) { node(id: $id) { ... on DataExport { exportId } } }"
    assert await gateway.data(node, {"id": found["id"]}, gateway.bearer()) == {"node": {"exportId": export_id}}
    answer = await gateway.http.get(url)
    assert (answer.status_code, answer.content) == (200, b"PK zip")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="museed-{export_id}.zip"'
    assert answer.headers["cache-control"] == "private, no-store"
    again = await gateway.http.get(url, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = await gateway.http.head(url)
    assert (head.headers["content-length"], head.content) == ("6", b"")
    rest = await gateway.http.get(url, headers={"Range": "bytes=3-", "If-Range": answer.headers["etag"]})
    assert (rest.status_code, rest.content, rest.headers["content-range"]) == (206, b"zip", "bytes 3-5/6")


async def test_an_export_is_for_nobody_without_its_address(gateway: Gateway) -> None:
    export_id = await an_export(gateway)
    url = (await gateway.data(EXPORT, {"id": export_id}, gateway.bearer()))["dataExport"]["downloadUrl"]
    track = gateway.parts.signer.query(export_id, session_id="session-1")
    digest = url.partition("digest=")[2][:64]
    other = await gateway.parts.blobs.put(b"somebody else's")
    guest = gateway.parts.signer.query(f"export {export_id}", guest_nonce="n", facts={"digest": digest})
    for forged, reason in (
        (url.replace(export_id, new_id()), "SIGNATURE_INVALID"),
        (url.replace(digest, other.hex()), "SIGNATURE_INVALID"),
        (url.replace("session=session-1", "session=session-2"), "SIGNATURE_INVALID"),
        (f"/exports/{export_id}?digest={digest}&{track}", "SIGNATURE_INVALID"),
        (f"/exports/{export_id}?digest={digest}", "SIGNATURE_INVALID"),
        (f"/exports/{export_id}?{guest}", "SIGNATURE_INVALID"),
        ("/exports/nonsense", "ID_INVALID"),
    ):
        answer = await gateway.http.get(forged, headers=gateway.bearer())
        assert answer.json()["error"]["reason"] == reason, forged
    # Nor is an export's address one of a track.
    stream = await gateway.http.get(url.replace("/exports/", "/tracks/").replace("?", "/stream?"))
    assert (stream.status_code, stream.json()["error"]["reason"]) == (403, "SIGNATURE_INVALID")
    await gateway.parts.blobs.delete(bytes.fromhex(digest))
    gone = await gateway.http.get(url)
    assert (gone.status_code, gone.json()["error"]["reason"]) == (404, "EXPORT_NOT_FOUND")


@pytest.mark.asyncio(loop_scope="function")
async def test_the_end_of_the_session_ends_the_exports_address(own_gateway: Gateway) -> None:
    gateway = own_gateway
    export_id = await an_export(gateway)
    url = (await gateway.data(EXPORT, {"id": export_id}, gateway.bearer()))["dataExport"]["downloadUrl"]
    gateway.social.revoked.append("session-1")
    await gateway.parts.authenticator.revocations._read()
    answer = await gateway.http.get(url)
    assert (answer.status_code, answer.json()["error"]["reason"]) == (401, "SESSION_REVOKED")


async def test_an_export_that_is_not_written_yet_says_so(gateway: Gateway) -> None:
    gateway.social.faults["GetExport"] = FailedPrecondition("not yet", reason="EXPORT_NOT_READY", field="export_id")
    body = await gateway.run(EXPORT, {"id": new_id()}, gateway.bearer())
    assert body["data"] == {"dataExport": None}
    assert body["errors"][0]["extensions"] == {
        "code": "FAILED_PRECONDITION",
        "reason": "EXPORT_NOT_READY",
        "field": "exportId",
    }


async def test_an_account_is_deleted_by_its_password(gateway: Gateway) -> None:
    gateway.social.answers["DeleteAccount"] = privacy_pb2.DeleteAccountResponse(job_id="job-1")
    document = mutation("deleteAccount", "DeleteAccountInput", "... on DeleteAccountSuccess { jobId }")
    assert (await run(gateway, document, {"password": "p"}))["jobId"] == "job-1"
    assert gateway.social.requests["DeleteAccount"].password == "p"
    gateway.social.faults["DeleteAccount"] = PermissionDenied("no", reason="LAST_ADMIN")
    assert (await run(gateway, document, {"password": "p"}))["code"] == "LAST_ADMIN"
