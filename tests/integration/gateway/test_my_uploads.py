"""Uploads and blocklist of the caller's own: listed, changed, refused."""

import base64

import pytest

from museed.social.v1 import blocklists_pb2, catalog_pb2, jobs_pb2, library_pb2, reference_pb2, uploads_pb2
from services.chassis.errors import NotFound
from tests.fakes.upstreams import new_id, timestamp
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIELDS = """id uploadId fileName sizeBytes contentType createdAt expiresAt isHeard durationSeconds
  tags(first: 1) { name score }"""
NOW = "2026-01-02T03:04:05+00:00"


def make_upload(**more: object) -> catalog_pb2.Upload:
    fields: dict[str, object] = {
        "upload_id": new_id(),
        "digest": b"d" * 32,
        "size_bytes": 3_000_000_000,
        "content_type": "audio/ogg",
        "file_name": "demo.ogg",
        "created_at": timestamp(),
        "expires_at": timestamp(),
    }
    return catalog_pb2.Upload(**(fields | more))  # type: ignore[arg-type]  # any field


def shown(upload: catalog_pb2.Upload) -> dict[str, object]:
    return {
        "id": base64.b64encode(f"Upload:{upload.upload_id}".encode()).decode(),
        "uploadId": upload.upload_id,
        "fileName": "demo.ogg",
        "sizeBytes": 3_000_000_000,
        "contentType": "audio/ogg",
        "createdAt": NOW,
        "expiresAt": NOW,
        "isHeard": upload.is_heard,
        "durationSeconds": upload.duration_seconds or None,
        "tags": [{"name": tag.name, "score": tag.score} for tag in upload.tags[:1]],
    }


async def test_own_uploads_are_listed_with_what_was_heard(gateway: Gateway) -> None:
    tags = [catalog_pb2.Tag(name="guitar", score=0.5), catalog_pb2.Tag(name="rock", score=0.25)]
    heard, new = make_upload(is_heard=True, duration_seconds=61.5, tags=tags), make_upload()
    gateway.social.answers["ListMyUploads"] = uploads_pb2.ListMyUploadsResponse(
        uploads=[heard, new], next_page_token="next"
    )
    document = f"{{ myUploads(first: 2) {{ pageInfo {{ hasNextPage }} nodes {{ {FIELDS} }} }} }}"
    found = (await gateway.data(document, headers=gateway.bearer()))["myUploads"]
    assert found == {"pageInfo": {"hasNextPage": True}, "nodes": [shown(heard), shown(new)]}
    assert gateway.behind.spent() == {"ListMyUploads": 1}


async def test_one_upload_is_read_by_id_and_by_node(gateway: Gateway) -> None:
    upload = make_upload()
    gateway.social.answers["GetUpload"] = catalog_pb2.GetUploadResponse(upload=upload)
    document = f"query($id: ID!) {{ upload(id: $id) {{ {FIELDS} }} node(id: $id) {{ ... on Upload {{ fileName }} }} }}"
    found = await gateway.data(document, {"id": shown(upload)["id"]}, gateway.bearer())
    assert found == {"upload": shown(upload), "node": {"fileName": "demo.ogg"}}
    assert gateway.social.requests["GetUpload"].upload_id == upload.upload_id


async def test_guests_have_none_and_what_is_foreign_is_not_found(gateway: Gateway) -> None:
    body = await gateway.run("{ myUploads { nodes { id } } myBlockedTracks { nodes { blockedAt } } }")
    assert body["data"] == {"myUploads": None, "myBlockedTracks": None}
    assert [error["extensions"]["reason"] for error in body["errors"]] == ["LOGIN_REQUIRED"] * 2
    gateway.social.faults["GetUpload"] = NotFound("not yours", reason="UPLOAD_NOT_FOUND", field="upload_id", value="x")
    body = await gateway.run(f'{{ upload(id: "{new_id()}") {{ id }} }}', headers=gateway.bearer())
    assert body["errors"][0]["extensions"]["reason"] == "UPLOAD_NOT_FOUND"
    assert body["errors"][0]["extensions"]["field"] == "uploadId"


async def test_quota_tells_what_is_left_to_whoever_may_read(gateway: Gateway) -> None:
    document = "{ uploadQuota { leftCount leftBytes } }"
    for count, size in ((3, 5_000_000_000), (0, 0)):
        gateway.social.answers["GetUploadQuota"] = uploads_pb2.GetUploadQuotaResponse(left_count=count, left_bytes=size)
        found = await gateway.data(document, headers=gateway.bearer(kind="api", scope="read"))
        assert found["uploadQuota"] == {"leftCount": count, "leftBytes": size}


async def test_upload_is_deleted(gateway: Gateway) -> None:
    upload_id = new_id()
    document = """mutation($id: ID!) { deleteUpload(input: {uploadId: $id}) { __typename
      ... on DeleteUploadSuccess { deletedUploadId } ... on UserError { code field } } }"""
    found = await gateway.data(document, {"id": upload_id}, gateway.bearer())
    assert found["deleteUpload"] == {"__typename": "DeleteUploadSuccess", "deletedUploadId": upload_id}
    assert gateway.social.requests["DeleteUpload"].upload_id == upload_id
    gateway.social.faults["DeleteUpload"] = NotFound("no", reason="UPLOAD_NOT_FOUND", field="upload_id")
    found = await gateway.data(document, {"id": upload_id}, gateway.bearer())
    assert found["deleteUpload"] == {"__typename": "NotFoundError", "code": "UPLOAD_NOT_FOUND", "field": "uploadId"}
    found = await gateway.data(document, {"id": upload_id})
    assert found["deleteUpload"]["__typename"] == "UnauthenticatedError"


async def test_upload_is_heard_by_a_job(gateway: Gateway) -> None:
    upload = make_upload(is_heard=True, duration_seconds=3.0)
    job = jobs_pb2.Job(
        job_id=new_id(), state=jobs_pb2.JOB_STATE_SUCCEEDED, kind=jobs_pb2.JOB_KIND_HEARING, created_at=timestamp()
    )
    gateway.social.answers["CreateHearingJob"] = reference_pb2.CreateHearingJobResponse(job=job)
    gateway.social.answers["GetUpload"] = catalog_pb2.GetUploadResponse(upload=upload)
    document = """mutation($id: ID!, $key: String) { hearUpload(input: {uploadId: $id, idempotencyKey: $key}) {
      ... on HearUploadSuccess { uploadId upload { isHeard } job { jobId state } } } }"""
    for key in ("mine", None):
        found = await gateway.data(document, {"id": upload.upload_id, "key": key}, gateway.bearer())
        assert found["hearUpload"] == {
            "uploadId": upload.upload_id,
            "upload": {"isHeard": True},
            "job": {"jobId": job.job_id, "state": "SUCCEEDED"},
        }
        asked = gateway.social.requests["CreateHearingJob"]
        assert (asked.upload_id, asked.wait_ms) == (upload.upload_id, 1500)
        assert asked.idempotency_key == "mine" if key else len(asked.idempotency_key) == 36


async def test_tracks_and_artists_are_blocked_and_unblocked(gateway: Gateway) -> None:
    (track,) = gateway.social.add_tracks(1)
    artist = library_pb2.Artist(artist_id=new_id(), name="Kim")
    gateway.social.answers["BatchGetArtists"] = library_pb2.BatchGetArtistsResponse(artists=[artist])
    document = """mutation($t: ID!, $a: ID!) {
      blockTrack(input: {trackId: $t}) { ... on BlockTrackSuccess { track { title } } }
      unblockTrack(input: {trackId: $t}) { ... on UnblockTrackSuccess { trackId track { title } } }
      blockArtist(input: {artistId: $a}) { ... on BlockArtistSuccess { artist { name } } }
      unblockArtist(input: {artistId: $a}) { ... on UnblockArtistSuccess { artistId artist { name } } } }"""
    found = await gateway.data(document, {"t": track.track_id, "a": artist.artist_id}, gateway.bearer())
    assert found == {
        "blockTrack": {"track": {"title": "Track 000"}},
        "unblockTrack": {"trackId": track.track_id, "track": {"title": "Track 000"}},
        "blockArtist": {"artist": {"name": "Kim"}},
        "unblockArtist": {"artistId": artist.artist_id, "artist": {"name": "Kim"}},
    }
    assert gateway.behind.spent() == {
        "BlockTrack": 1, "BatchGetTracks": 2, "UnblockTrack": 1, "BlockArtist": 1, "BatchGetArtists": 2,
        "UnblockArtist": 1,
    }  # fmt: skip


async def test_blocklist_is_listed_in_two_calls_whatever_its_length(gateway: Gateway) -> None:
    document = """{ myBlockedTracks(first: 100) { nodes { trackId blockedAt track { title } } }
      myBlockedArtists(first: 100) { nodes { artistId blockedAt artist { name } } } }"""
    spent = []
    for count in (3, 30):
        tracks = gateway.social.add_tracks(count)
        ids = [new_id() for _ in range(count)]

        def blocked(
            request: blocklists_pb2.ListBlockedRequest,
            track_ids: tuple[str, ...] = tuple(track.track_id for track in tracks),
            artist_ids: tuple[str, ...] = tuple(ids),
        ) -> blocklists_pb2.ListBlockedResponse:
            if request.kind == blocklists_pb2.BLOCKED_KIND_TRACK:
                found = [blocklists_pb2.Blocked(track_id=one, blocked_at=timestamp()) for one in track_ids]
            else:
                found = [blocklists_pb2.Blocked(artist_id=one, blocked_at=timestamp()) for one in artist_ids]
            return blocklists_pb2.ListBlockedResponse(blocked=found)

        gateway.social.answers["ListBlocked"] = blocked
        found = await gateway.data(document, headers=gateway.bearer())
        assert [node["track"]["title"] for node in found["myBlockedTracks"]["nodes"]] == [one.title for one in tracks]
        assert found["myBlockedTracks"]["nodes"][0]["blockedAt"] == NOW
        assert [node["artistId"] for node in found["myBlockedArtists"]["nodes"]] == ids
        assert all(node["artist"]["name"] for node in found["myBlockedArtists"]["nodes"])
        spent.append(gateway.behind.spent())
    assert spent == [{"ListBlocked": 2, "BatchGetTracks": 1, "BatchGetArtists": 1}] * 2
