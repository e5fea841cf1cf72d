"""How uploads end: by request, by age, when nothing names them any more; and blobs that nothing refers to."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from museed.social.v1 import jobs_pb2, uploads_pb2, uploads_pb2_grpc
from services.chassis.blobs import BlobStore, open_blob_store
from services.chassis.errors import NotFound, Unavailable
from services.social.domain.ids import new_id
from services.social.store.database import Database
from services.social.workers.upload_sweeps import (
    delete_released,
    expire_uploads,
    forget_uploads,
    is_there,
    sweep_orphans,
)
from tests.integration.social.conftest import TIMEOUT_S, Client, Mesh, Person, Sql, make_library, until
from tests.integration.social.fakes import Gate

NOW = datetime.now(UTC)
DELETED = "museed.social.v1.upload_deleted"
DAY = timedelta(hours=24)


class SlowStore:
    """A blob store that deletes when the test lets it."""

    def __init__(self, blobs: BlobStore) -> None:
        self.blobs = blobs
        self.gate = Gate()

    async def delete(self, digest: bytes) -> None:
        await self.gate.pass_through()
        await self.blobs.delete(digest)


@pytest.fixture
def blobs(mesh: Mesh, tmp_path: Path) -> BlobStore:
    url = f"file://{tmp_path / 'blobs'}"
    mesh.settings = mesh.settings.model_copy(update={"blob_store_url": url})
    return open_blob_store(url)


@pytest.fixture
async def client(mesh: Mesh, blobs: BlobStore) -> Client:
    """A service that knows where uploads lie."""
    return await mesh.start()


async def listed(client: Client, who: Person, page_size: int = 2) -> list[str]:
    stub = client.stub(uploads_pb2_grpc.UploadServiceStub)
    found: list[str] = []
    token = ""
    while True:
        request = uploads_pb2.ListMyUploadsRequest(page_size=page_size, page_token=token)
        answer = await stub.ListMyUploads(request, timeout=TIMEOUT_S, metadata=who.metadata)
        found += [upload.upload_id for upload in answer.uploads]
        token = answer.next_page_token
        if not token:
            return found


async def delete(client: Client, who: Person, upload_id: str) -> None:
    request = uploads_pb2.DeleteUploadRequest(upload_id=upload_id)
    stub = client.stub(uploads_pb2_grpc.UploadServiceStub)
    await stub.DeleteUpload(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def test_deleted_audio_is_gone_at_once_unless_somebody_else_lent_it(
    mesh: Mesh, client: Client, blobs: BlobStore, sql: Sql
) -> None:
    owner, other = await client.sign_up(), await client.sign_up()
    digests = [await blobs.put(name) for name in (b"first", b"second", b"third")]
    ids = [await client.upload(owner, digest) for digest in digests]
    shared = await client.upload(other, digests[0])
    assert await listed(client, owner) == ids[::-1]
    with pytest.raises(NotFound) as refusal:
        await delete(client, other, ids[0])
    assert refusal.value.reason == "UPLOAD_NOT_FOUND"
    for upload_id in (ids[0], ids[0], ids[1]):
        await delete(client, owner, upload_id)
    assert await listed(client, owner) == [ids[2]]
    assert [await is_there(blobs, digest) for digest in digests] == [True, False, True]
    await delete(client, other, shared)
    assert not await is_there(blobs, digests[0])
    assert await sql.fetchval("SELECT count(*) FROM upload_blobs") == 1
    await sql.execute("UPDATE uploads SET expires_at = now()")
    assert await listed(client, owner) == []
    # Once for each: repeating it tells nobody.
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM outbox"))
    bus = await mesh.bus("social")
    info = await bus.jetstream.stream_info("PEOPLE_EVENTS", subjects_filter=DELETED)
    assert (info.state.subjects or {}).get(DELETED) == 3


async def test_bytes_that_something_else_lies_by_stay_when_an_upload_ends(
    mesh: Mesh, client: Client, blobs: BlobStore, database: Database, sql: Sql
) -> None:
    """Whoever may be lent as a file: windows that an embedder stored, or somebody's export."""
    await make_library(mesh, client, 1)
    owner = await client.sign_up()
    windows, exported, plain = [await blobs.put(name) for name in (b"windows", b"exported", b"plain")]
    await sql.execute("UPDATE embeddings SET windows_digest = $1", windows)
    await sql.execute(
        "INSERT INTO data_exports (export_id, user_id, digest, created_at, expires_at)"
        " VALUES ($1, $2, $3, now(), now() + interval '7 d')",
        new_id(),
        owner.user_id,
        exported,
    )
    await delete(client, owner, await client.upload(owner, windows))
    for digest in (exported, plain):
        await client.upload(owner, digest)
    await expire_uploads(database, NOW + timedelta(days=8))
    await delete_released(database, blobs)
    assert [await is_there(blobs, digest) for digest in (windows, exported, plain)] == [True, True, False]
    assert await sql.fetchval("SELECT count(*) FROM upload_blobs") == 0


async def test_audio_that_is_deleted_while_it_is_lent_again_must_be_sent_again(
    client: Client, blobs: BlobStore, database: Database, sql: Sql
) -> None:
    """The gateway has found the bytes, the sweep deletes them, the upload is recorded: it must not be without bytes."""
    first, second = await client.sign_up(), await client.sign_up()
    digest = await blobs.put(b"demo")
    await client.upload(first, digest)
    await expire_uploads(database, NOW + timedelta(days=8))
    slow = SlowStore(blobs)
    slow.gate.close()
    sweeping = asyncio.create_task(delete_released(database, slow))  # type: ignore[arg-type]  # deletes as one does
    await slow.gate.reached.wait()
    lending = asyncio.create_task(client.upload(second, digest))
    await until(lambda: sql.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"))
    assert not lending.done()
    slow.gate.opened.set()
    with pytest.raises(Unavailable) as refusal:
        await lending
    assert (refusal.value.reason, refusal.value.field) == ("UPLOAD_BYTES_GONE", "digest")
    await sweeping
    assert await sql.fetchval("SELECT count(*) FROM uploads WHERE swept_at IS NULL") == 0
    await blobs.put(b"demo")
    await client.upload(second, digest)
    await delete_released(database, blobs)
    assert await is_there(blobs, digest)


async def test_sound_of_an_upload_is_forgotten_when_nothing_names_it(
    mesh: Mesh, client: Client, blobs: BlobStore, database: Database, sql: Sql
) -> None:
    library = await make_library(mesh, client)
    person = await client.sign_up("jay")
    ids = [await client.upload(person, await blobs.put(name)) for name in (b"kept", b"waiting", b"unused")]
    kept, waiting, unused = ids
    made = await client.generate(person, jobs_pb2.GenerationSeed(upload_id=kept), length=2)
    assert made.state == jobs_pb2.JOB_STATE_SUCCEEDED
    mesh.retriever.gate.close()
    job = await client.generate(person, jobs_pb2.GenerationSeed(upload_id=waiting), wait_ms=0)
    await mesh.retriever.gate.reached.wait()
    await sql.execute("UPDATE uploads SET created_at = created_at - interval '8 d', expires_at = now()")
    await expire_uploads(database, datetime.now(UTC))

    async def left() -> set[str]:
        return {str(row["upload_id"]) for row in await sql.fetch("SELECT upload_id FROM uploads")}

    await forget_uploads(database, datetime.now(UTC))
    assert await left() == set(ids)
    later = datetime.now(UTC) + DAY
    await forget_uploads(database, later)
    assert await left() == {kept, waiting}
    assert await sql.fetchval("SELECT count(*) FROM upload_embeddings") == 2
    mesh.retriever.gate.opened.set()
    ended = await client.job(person, job.job_id)
    assert ended.state == jobs_pb2.JOB_STATE_SUCCEEDED
    await sql.execute("DELETE FROM playlists WHERE playlist_id = $1", ended.playlist_id)
    await forget_uploads(database, later)
    assert await left() == {kept}
    await sql.execute("DELETE FROM playlists")
    await forget_uploads(database, later)
    assert (await left(), await sql.fetchval("SELECT count(*) FROM upload_embeddings")) == (set(), 0)
    assert len(library.track_ids) == 6
    assert unused not in await left()


async def test_upload_of_today_counts_for_the_quota_though_it_is_deleted(
    client: Client, blobs: BlobStore, database: Database, sql: Sql
) -> None:
    person = await client.sign_up()
    await delete(client, person, await client.upload(person, await blobs.put(b"demo")))
    await forget_uploads(database, datetime.now(UTC) + timedelta(hours=23))
    assert await sql.fetchval("SELECT count(*) FROM uploads") == 1
    await forget_uploads(database, datetime.now(UTC) + DAY)
    assert await sql.fetchval("SELECT count(*) FROM uploads") == 0


async def test_blobs_that_nothing_refers_to_are_swept_after_a_day(
    mesh: Mesh, client: Client, blobs: BlobStore, database: Database, sql: Sql
) -> None:
    await make_library(mesh, client, 1)
    person = await client.sign_up()
    stray, lent, windows, exported = [await blobs.put(name) for name in (b"stray", b"lent", b"windows", b"exported")]
    await client.upload(person, lent)
    await sql.execute("UPDATE embeddings SET windows_digest = $1", windows)
    await sql.execute(
        "INSERT INTO data_exports (export_id, user_id, digest, created_at, expires_at)"
        " VALUES ($1, $2, $3, now(), now())",
        new_id(),
        person.user_id,
        exported,
    )
    digests = (stray, lent, windows, exported)
    await sweep_orphans(database, blobs, datetime.now(UTC) + timedelta(hours=23))
    assert [await is_there(blobs, digest) for digest in digests] == [True] * 4
    later = datetime.now(UTC) + timedelta(hours=25)
    # Another process is at it.
    transaction = sql.transaction()
    await transaction.start()
    await sql.execute("SELECT pg_advisory_xact_lock(7305805, 2)")
    await sweep_orphans(database, blobs, later)
    assert await is_there(blobs, stray)
    await transaction.rollback()
    await sweep_orphans(database, blobs, later)
    assert [await is_there(blobs, digest) for digest in digests] == [False, True, True, True]
    assert await sql.fetchval("SELECT count(*) FROM upload_blobs") == 1
