"""Jobs of all kinds are under way when everything that NATS holds is lost: each comes to its end."""

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import nats.errors
import pytest

from museed.social.v1 import jobs_pb2, jobwork_pb2, jobwork_pb2_grpc, privacy_pb2, privacy_pb2_grpc
from services.chassis.bus import EMBED_WORK, Bus, embed_track_subject
from services.social.domain.ids import new_id
from services.social.settings import SocialSettings
from services.social.store.database import Database
from services.social.workers.background import Nudge
from services.social.workers.scheduler import Scheduler
from tests.conftest import free_port
from tests.integration.social.conftest import (
    TIMEOUT_S,
    Client,
    Library,
    Mesh,
    Sql,
    publish_embedded,
    sha,
    until,
)
from tests.integration.social.fakes import FakeEmbedder, serving_embedder
from tests.integration.social.test_reconciler import lose_store

OTHER_ID = "other-fedcba9876543210"
PATIENCE_S = 60.0


@pytest.fixture
def settings(settings: SocialSettings) -> SocialSettings:
    return settings.model_copy(update={"second_embedder_address": f"127.0.0.1:{free_port()}"})


@pytest.fixture
async def second(mesh: Mesh, library: Library) -> AsyncIterator[FakeEmbedder]:
    """An embedder of another encoder."""
    fake = FakeEmbedder()
    fake.encoder_id = OTHER_ID
    async with serving_embedder(fake, mesh.settings.second_embedder_address, lambda: mesh.settings.listen):
        yield fake


async def work_out(bus: Bus) -> int:
    """How many pieces of the other encoder's work lie in the queue, -1 where there is none."""
    with contextlib.suppress(nats.errors.Error, TimeoutError):
        info = await bus.jetstream.stream_info(EMBED_WORK, subjects_filter=embed_track_subject(OTHER_ID))
        return sum((info.state.subjects or {}).values())
    return -1


async def test_wiped_store_loses_no_job_of_any_kind(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, database: Database, sql: Sql
) -> None:
    person = await social.sign_up("jay")
    seed = jobs_pb2.GenerationSeed(track_id=library.track_ids[0])
    playlist_id = (await social.generate(person, seed, length=2)).playlist_id
    stub = social.stub(jobwork_pb2_grpc.PlaylistJobServiceStub)
    now = datetime.now(UTC)

    # One of each kind, held where it waits for something.
    mesh.retriever.gate.close()
    mesh.embedder.gate.close()
    request = jobwork_pb2.SetScheduleRequest(playlist_id=playlist_id, every=jobwork_pb2.SCHEDULE_PERIOD_DAILY)
    await stub.SetSchedule(request, timeout=TIMEOUT_S, metadata=person.metadata)
    await Scheduler(database, Nudge(), lambda: now + timedelta(days=1, hours=1)).step()
    extend = jobwork_pb2.CreateExtensionJobRequest(idempotency_key=new_id(), playlist_id=playlist_id, count=2)
    await stub.CreateExtensionJob(extend, timeout=TIMEOUT_S, metadata=person.metadata)
    again = jobwork_pb2.CreateRegenerationJobRequest(idempotency_key=new_id(), playlist_id=playlist_id)
    await stub.CreateRegenerationJob(again, timeout=TIMEOUT_S, metadata=person.metadata)
    await social.generate(person, seed, wait_ms=0)
    await social.generate(person, jobs_pb2.GenerationSeed(upload_id=await social.upload(person)), wait_ms=0)
    await social.stub(privacy_pb2_grpc.PrivacyServiceStub).RequestExport(
        privacy_pb2.RequestExportRequest(idempotency_key=new_id()), timeout=TIMEOUT_S, metadata=person.metadata
    )
    await until(lambda: sql.fetchval("SELECT count(*) = 4 FROM jobs WHERE state = 'SEARCHING'"))
    await until(lambda: sql.fetchval("SELECT count(*) = 1 FROM jobs WHERE state = 'EMBEDDING'"))
    await social.switch(library.admin, OTHER_ID)
    bus = await mesh.bus("social")

    async def is_work_out() -> bool:
        return await work_out(bus) == len(library.track_ids)

    await until(is_work_out)

    await lose_store(mesh.nats)
    mesh.retriever.gate.opened.set()
    mesh.embedder.gate.opened.set()
    # The other encoder is asked for every track once more, and answers.
    await until(is_work_out, PATIENCE_S)
    embedder = await mesh.bus()
    for number, track_id in enumerate(library.track_ids):
        await publish_embedded(embedder, track_id, sha(f"audio Track {number}"), encoder_id=OTHER_ID)
    await until(lambda: sql.fetchval("SELECT bool_and(finished_at IS NOT NULL) FROM jobs"), PATIENCE_S)

    ended = await sql.fetch("SELECT kind, state, failure_reason FROM jobs ORDER BY kind, state")
    assert [(row["kind"], row["state"], row["failure_reason"]) for row in ended] == [
        ("ACCOUNT_EXPORT", "FAILED", "NO_BLOB_STORE"),
        ("ENCODER_SWITCH", "SUCCEEDED", ""),
        ("EXTENSION", "SUCCEEDED", ""),
        *[("GENERATION", "SUCCEEDED", "")] * 3,
        *[("REGENERATION", "SUCCEEDED", "")] * 2,
    ]
    assert (await social.roles())[0] == OTHER_ID
    # Each end once: one list for each generation, one more for the regeneration beside it.
    assert await sql.fetchval("SELECT count(*) FROM playlists") == 4
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM outbox"), PATIENCE_S)
    # And what comes afterwards is told on the new streams.
    assert (await social.generate(person, seed, length=2)).state == jobs_pb2.JOB_STATE_SUCCEEDED
