"""Uploads: recorded for their owner, within a quota, and swept when their time is over."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from museed.social.v1 import catalog_pb2, uploads_pb2, uploads_pb2_grpc
from services.chassis.blobs import BlobStore, open_blob_store
from services.chassis.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from services.social.domain.ids import new_id
from services.social.store.database import Database
from services.social.workers.sweeping import Sweeper
from services.social.workers.upload_sweeps import upload_sweeps
from tests.integration.social.conftest import TIMEOUT_S, Client, Mesh, Person, Sql, sha


def sweeper_of(database: Database, blobs: BlobStore | None) -> Sweeper:
    return Sweeper(database, lambda: datetime.now(UTC), upload_sweeps(blobs))


async def read(social: Client, who: Person, upload_id: str) -> catalog_pb2.Upload:
    request = catalog_pb2.GetUploadRequest(upload_id=upload_id)
    return (await social.catalog.GetUpload(request, timeout=TIMEOUT_S, metadata=who.metadata)).upload


async def test_upload_is_its_owners_for_seven_days(social: Client) -> None:
    owner, other = await social.sign_up("admin"), await social.sign_up()
    upload_id = await social.upload(other, sha("file"), " my\tdemo.ogg ")
    found = await read(social, other, upload_id)
    assert (found.digest, found.size_bytes, found.content_type, found.file_name) == (
        sha("file"),
        1000,
        "audio/ogg",
        "my demo.ogg",
    )
    assert found.expires_at.ToDatetime() - found.created_at.ToDatetime() == timedelta(days=7)
    for who, wanted in ((owner, upload_id), (other, new_id()), (other, "nonsense")):
        with pytest.raises(NotFound) as refusal:
            await read(social, who, wanted)
        assert (refusal.value.reason, refusal.value.field) == ("UPLOAD_NOT_FOUND", "upload_id")


@pytest.mark.parametrize(
    ("change", "field"),
    [({"digest": b"x"}, "digest"), ({"size_bytes": 0}, "size_bytes"), ({"content_type": ""}, "content_type"),
     ({"file_name": "f" * 256}, "file_name")],
)  # fmt: skip
async def test_wrong_upload_names_its_field(social: Client, sql: Sql, change: dict[str, object], field: str) -> None:
    person = await social.sign_up()
    fields: dict[str, object] = {"digest": sha("a"), "size_bytes": 1, "content_type": "a/b", "file_name": "f"}
    request = catalog_pb2.CreateUploadRequest(**{**fields, **change})  # type: ignore[arg-type]  # any field
    with pytest.raises(InvalidArgument) as refusal:
        await social.catalog.CreateUpload(request, timeout=TIMEOUT_S, metadata=person.metadata)
    assert refusal.value.field == field
    assert await sql.fetchval("SELECT count(*) FROM uploads") == 0


async def test_quota_counts_24_hours_and_one_person(mesh: Mesh, sql: Sql) -> None:
    mesh.settings = mesh.settings.model_copy(update={"uploads_per_user_and_day": 2})
    social = await mesh.start()
    person, other = await social.sign_up(), await social.sign_up()
    for _ in range(2):
        await social.upload(person)
    with pytest.raises(ResourceExhausted) as refusal:
        await social.upload(person)
    assert (refusal.value.reason, refusal.value.value, refusal.value.limit) == ("UPLOAD_QUOTA_REACHED", "2", "2")
    await social.upload(other)
    await sql.execute("UPDATE uploads SET created_at = created_at - interval '24 hours'")
    await social.upload(person)


async def test_quota_of_bytes_is_asked_for_before_and_kept_at_the_end(mesh: Mesh, sql: Sql) -> None:
    mesh.settings = mesh.settings.model_copy(update={"upload_bytes_per_user_and_day": 2_500})
    social = await mesh.start()
    person = await social.sign_up()
    stub = social.stub(uploads_pb2_grpc.UploadServiceStub)

    async def left(size_bytes: int) -> tuple[int, int]:
        request = uploads_pb2.CheckUploadRequest(size_bytes=size_bytes)
        answer = await stub.CheckUpload(request, timeout=TIMEOUT_S, metadata=person.metadata)
        return answer.left_count, answer.left_bytes

    assert await left(2_500) == (100, 2_500)
    for _ in range(2):
        await social.upload(person)  # 1,000 bytes each
    assert await left(0) == (98, 500)
    for call in (social.upload(person), left(501)):
        with pytest.raises(ResourceExhausted) as refusal:
            await call
        assert (refusal.value.reason, refusal.value.field, refusal.value.limit) == (
            "UPLOAD_QUOTA_REACHED",
            "size_bytes",
            "2500",
        )
    with pytest.raises(InvalidArgument):
        await left(-1)
    await sql.execute("UPDATE uploads SET size_bytes = 1_250")
    with pytest.raises(ResourceExhausted):
        await left(0)
    assert await sql.fetchval("SELECT count(*) FROM uploads") == 2


async def test_expired_audio_is_swept_unless_somebody_lent_it_again(
    mesh: Mesh, social: Client, sql: Sql, database: Database, tmp_path: Path
) -> None:
    blobs = open_blob_store(f"file://{tmp_path / 'blobs'}")
    lonely, shared = await blobs.put(b"lonely"), await blobs.put(b"shared")
    person, other = await social.sign_up(), await social.sign_up()
    old = [await social.upload(person, digest) for digest in (lonely, shared)]
    await sql.execute("UPDATE uploads SET expires_at = now()")
    young = await social.upload(other, shared)
    sweeper = sweeper_of(database, blobs)
    await sweeper.sweep()
    with pytest.raises(NotFound):
        await blobs.get(lonely)
    assert await blobs.get(shared) == b"shared"
    for upload_id in old:
        with pytest.raises(NotFound):
            await read(social, person, upload_id)
    assert (await read(social, other, young)).digest == shared
    await sql.execute("UPDATE uploads SET expires_at = now()")
    await sweeper.sweep()
    with pytest.raises(NotFound):
        await blobs.get(shared)


async def test_sweep_forgets_keys_and_sessions_that_are_over(social: Client, sql: Sql, database: Database) -> None:
    for _ in range(2):
        await social.sign_up()
    await sql.execute(
        "INSERT INTO idempotency_keys SELECT user_id, 'op', 'key', 'x', user_id, now() + interval '1 hour' FROM users"
    )
    sweeper = sweeper_of(database, None)
    await sweeper.sweep()
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 2
    assert await sql.fetchval("SELECT count(*) FROM idempotency_keys") == 2
    one = "(SELECT user_id FROM users LIMIT 1)"
    await sql.execute(f"UPDATE sessions SET expires_at = now() WHERE user_id = {one}")
    await sql.execute(f"UPDATE idempotency_keys SET expires_at = now() WHERE user_id = {one}")
    await sweeper.sweep()
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 1
    assert await sql.fetchval("SELECT count(*) FROM refresh_tokens") == 1
    assert await sql.fetchval("SELECT count(*) FROM idempotency_keys") == 1


async def test_upload_of_a_chosen_id_is_made_once(social: Client, sql: Sql) -> None:
    person, other = await social.sign_up(), await social.sign_up()
    upload_id = new_id()

    async def create(who: Person, **changes: object) -> catalog_pb2.Upload:
        fields: dict[str, object] = {"digest": sha("a"), "size_bytes": 1000, "content_type": "audio/ogg"}
        fields |= {"file_name": "f", "upload_id": upload_id}
        request = catalog_pb2.CreateUploadRequest(**(fields | changes))  # type: ignore[arg-type]  # any field
        return (await social.catalog.CreateUpload(request, timeout=TIMEOUT_S, metadata=who.metadata)).upload

    made = await create(person)
    assert made.upload_id == upload_id
    assert await create(person, file_name="another") == made
    for who, changes in ((person, {"digest": sha("b")}), (other, {})):
        with pytest.raises(AlreadyExists) as taken:
            await create(who, **changes)
        assert (taken.value.reason, taken.value.field) == ("UPLOAD_ID_TAKEN", "upload_id")
    for wrong in ("nonsense", new_id().upper(), "c0ffee00-0000-4000-8000-000000000000"):
        with pytest.raises(InvalidArgument) as refusal:
            await create(person, upload_id=wrong)
        assert (refusal.value.reason, refusal.value.field) == ("MALFORMED", "upload_id")
    await sql.execute("UPDATE uploads SET expires_at = now(), swept_at = now()")
    assert (await create(person)).upload_id == upload_id
    assert await sql.fetchval("SELECT count(*) FROM uploads") == 1


async def test_what_was_recorded_with_a_key_fits_again_whatever_is_left(mesh: Mesh, sql: Sql) -> None:
    mesh.settings = mesh.settings.model_copy(update={"uploads_per_user_and_day": 1})
    social = await mesh.start()
    ann, bob = await social.sign_up(), await social.sign_up()
    stub = social.stub(uploads_pb2_grpc.UploadServiceStub)

    async def left(who: Person, size_bytes: int, key: str) -> tuple[int, int]:
        request = uploads_pb2.CheckUploadRequest(size_bytes=size_bytes, idempotency_key=key)
        answer = await stub.CheckUpload(request, timeout=TIMEOUT_S, metadata=who.metadata)
        return answer.left_count, answer.left_bytes

    request = catalog_pb2.CreateUploadRequest(
        digest=sha("file"), size_bytes=1_000, content_type="audio/ogg", file_name="a.ogg", idempotency_key="key"
    )
    first = await social.catalog.CreateUpload(request, timeout=TIMEOUT_S, metadata=ann.metadata)
    for size_bytes in (0, 1_000):
        assert await left(ann, size_bytes, "key") == (1, 1_000)
    assert await social.catalog.CreateUpload(request, timeout=TIMEOUT_S, metadata=ann.metadata) == first
    for size_bytes, key in ((1_001, "key"), (1_000, "another"), (1_000, "")):
        with pytest.raises(ResourceExhausted):
            await left(ann, size_bytes, key)
    with pytest.raises(InvalidArgument):
        await left(ann, 1_000, "k" * 201)
    await social.upload(bob)
    with pytest.raises(ResourceExhausted):
        await left(bob, 1_000, "key")
    await sql.execute("UPDATE idempotency_keys SET expires_at = now()")
    with pytest.raises(ResourceExhausted):
        await left(ann, 1_000, "key")
