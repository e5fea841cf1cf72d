"""Searches by a recording: whose it may be, what must have been heard, and what the index is asked."""

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from museed.social.v1 import (
    blocklists_pb2,
    blocklists_pb2_grpc,
    jobs_pb2,
    reference_pb2,
    reference_pb2_grpc,
    uploads_pb2,
    uploads_pb2_grpc,
)
from services.chassis.blobs import open_blob_store
from services.chassis.errors import (
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unimplemented,
)
from services.social.domain.ids import new_id
from services.social.store.database import Database
from services.social.workers.upload_sweeps import ORPHAN_GRACE, sweep_orphans
from tests.integration.social.conftest import TIMEOUT_S, Client, Library, Mesh, Person, Sql, make_library, sha
from tests.integration.social.fakes import ENCODER_ID, unit_vector


def windows_of(sound: bytes) -> bytes:
    """The blob that the fake embedder tells."""
    return hashlib.sha256(b"windows" + sound).digest()


async def search(social: Client, who: Person, **fields: object) -> reference_pb2.SearchReferenceResponse:
    request = reference_pb2.SearchReferenceRequest(**fields)  # type: ignore[arg-type]  # any field
    stub = social.stub(reference_pb2_grpc.ReferenceSearchServiceStub)
    return await stub.SearchReference(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def hear(social: Client, who: Person, upload_id: str, key: str = "") -> jobs_pb2.Job:
    request = reference_pb2.CreateHearingJobRequest(idempotency_key=key or new_id(), upload_id=upload_id, wait_ms=5000)
    stub = social.stub(reference_pb2_grpc.ReferenceSearchServiceStub)
    job = (await stub.CreateHearingJob(request, timeout=TIMEOUT_S, metadata=who.metadata)).job
    return await social.ended(who, job)


async def uploads_of(social: Client, who: Person) -> list[tuple[str, bool, float, list[str]]]:
    stub = social.stub(uploads_pb2_grpc.UploadServiceStub)
    answer = await stub.ListMyUploads(uploads_pb2.ListMyUploadsRequest(), timeout=TIMEOUT_S, metadata=who.metadata)
    return [
        (one.upload_id, one.is_heard, one.duration_seconds, [tag.name for tag in one.tags]) for one in answer.uploads
    ]


@pytest.fixture
async def library(mesh: Mesh, social: Client) -> Library:
    made = await make_library(mesh, social)
    mesh.retriever.references.track_ids = made.track_ids
    return made


async def test_upload_is_heard_and_then_searched_by(mesh: Mesh, social: Client, library: Library) -> None:
    person = await social.sign_up()
    upload_id = await social.upload(person, sha("demo"))
    with pytest.raises(FailedPrecondition) as refusal:
        await search(social, person, upload_id=upload_id)
    assert (refusal.value.reason, refusal.value.field) == ("UPLOAD_NOT_HEARD", "upload_id")
    assert await uploads_of(social, person) == [(upload_id, False, 0, [])]

    job = await hear(social, person, upload_id)
    assert (job.state, job.kind) == (jobs_pb2.JOB_STATE_SUCCEEDED, jobs_pb2.JOB_KIND_HEARING)
    assert mesh.embedder.heard == [sha("demo")]
    assert await uploads_of(social, person) == [(upload_id, True, 61.5, ["guitar", "rock"])]

    answer = await search(social, person, upload_id=upload_id, count=2, segments_per_track=5)
    (asked,) = mesh.retriever.references.requests
    assert mesh.retriever.references.callers == [person.user_id]
    assert (asked.windows_digest, asked.vector) == (windows_of(sha("demo")), unit_vector(sha("demo")))
    assert (asked.encoder_id, asked.k, asked.segments_per_track, asked.duration_seconds) == (ENCODER_ID, 2, 5, 61.5)
    assert list(asked.tags) == ["guitar", "rock"]
    assert [one.track_id for one in answer.matches] == library.track_ids[:2]
    first = answer.matches[0]
    assert (first.similarity, first.score, first.quantile, list(first.shared_tags)) == (0.5, 0.75, 0.25, ["guitar"])
    assert [(one.reference.start_seconds, one.HasField("track")) for one in first.segments] == [(10, True), (10, False)]
    assert (first.segments[0].track.start_seconds, first.segments[0].track.end_seconds) == (30, 40)
    assert (answer.encoder_id, answer.candidate_count, answer.without_windows_count) == (ENCODER_ID, 6, 3)
    assert answer.duration_seconds == 61.5


async def test_what_is_heard_is_not_heard_again_whoever_asked(mesh: Mesh, social: Client, library: Library) -> None:
    person = await social.sign_up()
    upload_id = await social.upload(person, sha("demo"))
    seed = jobs_pb2.GenerationSeed(upload_id=upload_id)
    await social.generate(person, seed, length=2)
    key = new_id()
    first = await hear(social, person, upload_id, key)
    assert (await hear(social, person, upload_id, key)).job_id == first.job_id
    await hear(social, person, upload_id)
    assert mesh.embedder.heard == [sha("demo")]
    assert (await search(social, person, upload_id=upload_id)).candidate_count == 6


async def test_track_is_searched_by_and_is_not_its_own_match(mesh: Mesh, social: Client, library: Library) -> None:
    person = await social.sign_up()
    itself, blocked, *others = library.track_ids
    stub = social.stub(blocklists_pb2_grpc.BlocklistServiceStub)
    request = blocklists_pb2.BlockTrackRequest(track_id=blocked)
    await stub.BlockTrack(request, timeout=TIMEOUT_S, metadata=person.metadata)
    answer = await search(social, person, track_id=itself)
    assert [one.track_id for one in answer.matches] == [blocked, *others]
    answer = await search(social, person, track_id=itself, leave_out_blocked=True)
    assert [one.track_id for one in answer.matches] == others
    asked = mesh.retriever.references.requests[0]
    assert asked.windows_digest == windows_of(sha("audio Track 0"))
    assert (asked.k, asked.segments_per_track) == (20, 3)


async def test_filter_is_passed_on(mesh: Mesh, social: Client, library: Library) -> None:
    person = await social.sign_up()
    wanted = jobs_pb2.TrackFilter(genres=["Rock"], year=jobs_pb2.NumberRange(min=1990))
    await search(social, person, track_id=library.track_ids[0], filter=wanted)
    asked = mesh.retriever.references.requests[0].filter
    assert (list(asked.genres), asked.year.min, asked.year.HasField("max")) == (["Rock"], 1990, False)


async def test_what_cannot_be_searched_by_is_told_apart(mesh: Mesh, social: Client, library: Library, sql: Sql) -> None:
    person, other = await social.sign_up(), await social.sign_up()
    upload_id = await social.upload(other)
    for fields, reason, field in (
        ({"track_id": new_id()}, "TRACK_NOT_FOUND", "track_id"),
        ({"track_id": "nonsense"}, "TRACK_NOT_FOUND", "track_id"),
        ({"upload_id": upload_id}, "UPLOAD_NOT_FOUND", "upload_id"),
        ({"upload_id": "nonsense"}, "UPLOAD_NOT_FOUND", "upload_id"),
    ):
        with pytest.raises(NotFound) as refusal:
            await search(social, person, **fields)
        assert (refusal.value.reason, refusal.value.field) == (reason, field)
    track_id = library.track_ids[0]
    wrong_ones: list[tuple[dict[str, object], str]] = [
        ({}, "reference"),
        ({"track_id": track_id, "count": 201}, "count"),
        ({"track_id": track_id, "count": -1}, "count"),
        ({"track_id": track_id, "segments_per_track": 21}, "segments_per_track"),
        ({"track_id": track_id, "filter": jobs_pb2.TrackFilter(genres=["x" * 201])}, "filter.genres[0]"),
    ]
    for given, wrong_field in wrong_ones:
        with pytest.raises(InvalidArgument) as wrong:
            await search(social, person, **given)
        assert wrong.value.field == wrong_field
    with pytest.raises(NotFound):
        await hear(social, person, upload_id)
    await sql.execute("UPDATE embeddings SET windows_digest = ''")
    with pytest.raises(FailedPrecondition) as unkept:
        await search(social, person, track_id=track_id)
    assert unkept.value.reason == "WINDOWS_NOT_KEPT"
    await sql.execute("DELETE FROM embeddings")
    with pytest.raises(FailedPrecondition) as unheard:
        await search(social, person, track_id=track_id)
    assert unheard.value.reason == "TRACK_NOT_READY"
    assert mesh.retriever.references.requests == []


async def test_windows_that_are_lost_are_heard_again(
    mesh: Mesh, library: Library, social: Client, sql: Sql, tmp_path: Path
) -> None:
    person = await social.sign_up()
    upload_id = await social.upload(person, sha("demo"))
    await hear(social, person, upload_id)
    mesh.retriever.references.failure = FailedPrecondition("gone", reason="WINDOWS_UNREADABLE")
    with pytest.raises(FailedPrecondition) as refusal:
        await search(social, person, upload_id=upload_id)
    assert refusal.value.reason == "UPLOAD_NOT_HEARD"
    with pytest.raises(FailedPrecondition) as of_track:
        await search(social, person, track_id=library.track_ids[0])
    assert of_track.value.reason == "WINDOWS_NOT_KEPT"
    await sql.execute("UPDATE upload_embeddings SET windows_digest = ''")
    await hear(social, person, upload_id)
    assert mesh.embedder.heard == [sha("demo")] * 2
    assert await sql.fetchval("SELECT windows_digest FROM upload_embeddings") == windows_of(sha("demo"))


async def test_embedder_that_keeps_no_windows_ends_the_job(mesh: Mesh, library: Library, social: Client) -> None:
    person = await social.sign_up()
    upload_id = await social.upload(person, sha("demo"))
    mesh.embedder.keeps_windows = False
    job = await hear(social, person, upload_id)
    assert (job.state, job.failure_reason) == (jobs_pb2.JOB_STATE_FAILED, "WINDOWS_NOT_KEPT")
    seed = jobs_pb2.GenerationSeed(upload_id=upload_id)
    assert (await social.generate(person, seed, length=2)).state == jobs_pb2.JOB_STATE_SUCCEEDED
    with pytest.raises(FailedPrecondition) as refusal:
        await search(social, person, upload_id=upload_id)
    assert refusal.value.reason == "UPLOAD_NOT_HEARD"


async def test_what_the_index_refuses_is_told(mesh: Mesh, social: Client, library: Library) -> None:
    person = await social.sign_up()
    told: list[tuple[DomainError, str]] = [
        (FailedPrecondition("another", reason="ENCODER_MISMATCH"), "ENCODER_AWAY"),
        (FailedPrecondition("no", reason="NOT_THIS_ONE"), "NOT_THIS_ONE"),
        (Unimplemented("no blob store", reason="NO_BLOB_STORE"), "NO_BLOB_STORE"),
        (InvalidArgument("silent", reason="REFERENCE_SILENT"), "REFERENCE_SILENT"),
    ]
    for failure, reason in told:
        mesh.retriever.references.failure = failure
        with pytest.raises(DomainError) as refusal:
            await search(social, person, track_id=library.track_ids[0])
        assert refusal.value.reason == reason


async def test_one_person_leaves_room_for_others(mesh: Mesh, social: Client, library: Library) -> None:
    person, other = await social.sign_up(), await social.sign_up()
    gate = mesh.retriever.references.gate
    gate.close()
    track_id = library.track_ids[0]
    first = [asyncio.create_task(search(social, person, track_id=track_id)) for _ in range(2)]
    async with asyncio.timeout(TIMEOUT_S):
        while len(mesh.retriever.references.requests) < 2:
            await asyncio.sleep(0.01)
    with pytest.raises(ResourceExhausted) as refusal:
        await search(social, person, track_id=track_id)
    assert (refusal.value.reason, refusal.value.limit, refusal.value.retry_after_ms) == ("TOO_MANY_SEARCHES", "2", 500)
    third = asyncio.create_task(search(social, other, track_id=track_id))
    async with asyncio.timeout(TIMEOUT_S):
        while len(mesh.retriever.references.requests) < 3:
            await asyncio.sleep(0.01)
    gate.opened.set()
    await asyncio.gather(*first, third)
    assert (await search(social, person, track_id=track_id)).candidate_count == 5


async def test_windows_go_with_the_audio(
    mesh: Mesh, library: Library, social: Client, sql: Sql, database: Database, tmp_path: Path
) -> None:
    person = await social.sign_up()
    kept, gone = await social.upload(person, sha("kept")), await social.upload(person, sha("gone"))
    for upload_id in (kept, gone):
        await hear(social, person, upload_id)
    stub = social.stub(uploads_pb2_grpc.UploadServiceStub)
    request = uploads_pb2.DeleteUploadRequest(upload_id=gone)
    await stub.DeleteUpload(request, timeout=TIMEOUT_S, metadata=person.metadata)
    left = await sql.fetch("SELECT upload_id::text, windows_digest FROM upload_embeddings")
    assert {row[0]: row[1] for row in left} == {kept: windows_of(sha("kept")), gone: b""}
    with pytest.raises(NotFound):
        await hear(social, person, gone)
    blobs = open_blob_store(f"file://{tmp_path / 'blobs'}")
    windows = [await blobs.put(b"of somebody"), await blobs.put(b"of nobody")]
    await sql.execute("UPDATE upload_embeddings SET windows_digest = $1 WHERE upload_id = $2", windows[0], kept)
    await sweep_orphans(database, blobs, datetime.now(UTC) + 2 * ORPHAN_GRACE)
    assert await blobs.get(windows[0]) == b"of somebody"
    with pytest.raises(NotFound):
        await blobs.get(windows[1])


async def test_length_of_windows_is_learnt_from_the_embedder(mesh: Mesh, library: Library, social: Client) -> None:
    person = await social.sign_up()
    await search(social, person, track_id=library.track_ids[0])
    assert mesh.retriever.references.requests[0].window_seconds == 30
