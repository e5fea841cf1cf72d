"""Another encoder takes the place of the one that is served: at full coverage, by one row, and back again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence

import pytest

from museed.embedder.v1 import events_pb2 as embedder_events_pb2
from museed.social.v1 import catalog_pb2, encoders_pb2, events_pb2, jobs_pb2, jobwork_pb2, jobwork_pb2_grpc
from services.chassis.bus import EMBED_WORK, VECTORS, Bus, embed_track_subject, vector_subject
from services.chassis.errors import DomainError, FailedPrecondition, InvalidArgument
from services.social.clients import RetrieverClient, connect_retriever
from services.social.domain.ids import EncoderId, UserId, new_id
from services.social.embedders import EmbedderClient, Embedders, connect_embedder
from services.social.settings import SocialSettings
from services.social.store import leaving
from services.social.store.database import Database
from services.social.workers.background import Nudge
from services.social.workers.streams_keeper import StreamKeeper
from services.social.workers.switching import EncoderSwitch
from tests.conftest import free_port
from tests.integration.social.conftest import (
    EMBEDDING_FAILED,
    TIMEOUT_S,
    Client,
    Library,
    Mesh,
    Person,
    Sql,
    publish_embedded,
    registration,
    sha,
    until,
)
from tests.integration.social.fakes import ENCODER_ID, FakeEmbedder, serving_embedder, unit_vector

OTHER_ID = "other-fedcba9876543210"
NAMES = [f"Track {number}" for number in range(6)]


@pytest.fixture
def settings(settings: SocialSettings) -> SocialSettings:
    return settings.model_copy(update={"second_embedder_address": f"127.0.0.1:{free_port()}"})


@pytest.fixture
async def second(mesh: Mesh, library: Library) -> AsyncIterator[FakeEmbedder]:
    """An embedder of another encoder, started beside the one that serves the library."""
    fake = FakeEmbedder()
    fake.encoder_id = OTHER_ID
    async with serving_embedder(fake, mesh.settings.second_embedder_address, lambda: mesh.settings.listen):
        yield fake


@pytest.fixture
async def switch(mesh: Mesh, second: FakeEmbedder, database: Database) -> AsyncIterator[EncoderSwitch]:
    """A switch to be advanced by hand, in another process than the service."""
    addresses = (mesh.settings.embedder_address, mesh.settings.second_embedder_address)
    channels = [connect_embedder(address) for address in addresses]
    retriever = connect_retriever(mesh.settings.retriever_address)
    embedders = Embedders([EmbedderClient(channel) for channel in channels])
    yield EncoderSwitch(database, embedders, RetrieverClient(retriever), Nudge())
    for channel in (*channels, retriever):
        await channel.close()


NOTED = """
SELECT actor_id::text, action, subject_id FROM audit_log WHERE subject_kind = 'ENCODER' ORDER BY entry_id
"""


async def hear(bus: Bus, library: Library, names: Sequence[str], encoder_id: str = OTHER_ID) -> None:
    """The embedder of an encoder answers for these tracks of the library."""
    for name in names:
        track_id = library.track_ids[NAMES.index(name)]
        await publish_embedded(bus, track_id, sha(f"audio {name}"), encoder_id=encoder_id)


async def work_out(bus: Bus, encoder_id: str) -> int:
    """How many pieces of an encoder's work lie in the queue."""
    info = await bus.jetstream.stream_info(EMBED_WORK, subjects_filter=embed_track_subject(encoder_id))
    return sum((info.state.subjects or {}).values())


async def count(sql: Sql, encoder_id: str, state: str) -> int:
    statement = "SELECT count(*) FROM track_embeddings WHERE encoder_id = $1 AND state = $2"
    return int(await sql.fetchval(statement, encoder_id, state))


async def count_is(sql: Sql, encoder_id: str, state: str, wanted: int) -> bool:
    return await count(sql, encoder_id, state) == wanted


async def is_serving(social: Client, encoder_id: str) -> bool:
    return (await social.roles())[0] == encoder_id


async def begun(social: Client, library: Library, sql: Sql) -> None:
    """Begin a switch, and wait until the other encoder was asked for every track: nobody answers unasked."""
    await social.switch(library.admin, OTHER_ID)
    asked = "SELECT count(*) = (SELECT count(*) FROM tracks) FROM track_embeddings WHERE encoder_id = $1"
    await until(lambda: sql.fetchval(asked, OTHER_ID))


async def switched(mesh: Mesh, social: Client, library: Library, sql: Sql) -> Bus:
    """Take a switch to its end; returns the embedders' bus."""
    bus = await mesh.bus()
    await begun(social, library, sql)
    await hear(bus, library, NAMES)
    await until(lambda: is_serving(social, OTHER_ID))
    return bus


async def succeeded(social: Client, person: Person, job: jobs_pb2.Job) -> jobs_pb2.Job:
    """Wait for the end of a job."""
    async with asyncio.timeout(3 * TIMEOUT_S):
        while not job.HasField("finished_at"):
            job = await social.job(person, job.job_id)
    assert job.state == jobs_pb2.JOB_STATE_SUCCEEDED
    return job


def seed(library: Library) -> jobs_pb2.GenerationSeed:
    return jobs_pb2.GenerationSeed(track_id=library.track_ids[0])


async def test_switch_happens_when_every_track_is_heard_or_has_failed_and_not_before(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, sql: Sql
) -> None:
    person = await social.sign_up("jay")
    bus, watcher = await mesh.bus(), await mesh.bus("social")
    roles = await social.switch(library.admin, OTHER_ID)
    assert (roles.serving_id, roles.candidate_id, roles.previous_id) == (ENCODER_ID, OTHER_ID, "")

    async def is_work_out() -> bool:
        return await work_out(watcher, OTHER_ID) == 6

    await until(is_work_out)
    await hear(bus, library, NAMES[:5])
    await until(lambda: count_is(sql, OTHER_ID, "INDEXED", 5))
    job = await social.generate(person, seed(library))
    assert (await social.playlist(person, job.playlist_id)).playlist.encoder_id == ENCODER_ID
    await asyncio.sleep(1.5)  # longer than the keeper's step
    assert await social.roles() == (ENCODER_ID, OTHER_ID, "")

    failure = embedder_events_pb2.TrackEmbeddingFailed(
        track_id=library.track_ids[5], audio_hash=sha("audio Track 5"), encoder_id=OTHER_ID, reason="AUDIO_SILENT"
    )
    await bus.publish(EMBEDDING_FAILED, failure.SerializeToString(), new_id())
    await until(lambda: is_serving(social, OTHER_ID))
    assert await social.roles() == (OTHER_ID, "", ENCODER_ID)
    states = [(await social.track(track_id)).embedding_state for track_id in library.track_ids]
    assert states == [catalog_pb2.EMBEDDING_STATE_INDEXED] * 5 + [catalog_pb2.EMBEDDING_STATE_FAILED]
    job = await social.generate(person, seed(library))
    assert (await social.playlist(person, job.playlist_id)).playlist.encoder_id == OTHER_ID
    request = mesh.retriever.requests[-1]
    newest = await sql.fetchval("SELECT max(sequence) FROM track_embeddings WHERE encoder_id = $1", OTHER_ID)
    assert (request.encoder_id, request.min_read_point.sequence) == (OTHER_ID, newest)
    assert await count(sql, ENCODER_ID, "INDEXED") == 6


async def test_encoder_that_is_not_in_the_index_yet_is_not_served(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, sql: Sql
) -> None:
    mesh.retriever.is_caught_up = False
    await begun(social, library, sql)
    await hear(await mesh.bus(), library, NAMES)
    await until(lambda: count_is(sql, OTHER_ID, "INDEXED", 6))
    await asyncio.sleep(1.5)
    assert await social.roles() == (ENCODER_ID, OTHER_ID, "")
    mesh.retriever.is_caught_up = True
    await until(lambda: is_serving(social, OTHER_ID))


async def test_track_that_comes_at_the_last_moment_holds_the_switch_up(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, sql: Sql
) -> None:
    bus = await mesh.bus()
    mesh.retriever.describe_gate.close()
    await begun(social, library, sql)
    await hear(bus, library, NAMES)
    await asyncio.wait_for(mesh.retriever.describe_gate.reached.wait(), TIMEOUT_S)  # covered, and about to be served
    (late,) = await social.register(library.admin, library.root_id, [registration("late")])
    mesh.retriever.describe_gate.opened.set()
    await asyncio.sleep(1.5)
    assert await social.roles() == (ENCODER_ID, OTHER_ID, "")
    await publish_embedded(bus, late.track_id, sha("audio late"))
    await publish_embedded(bus, late.track_id, sha("audio late"), encoder_id=OTHER_ID)
    await until(lambda: is_serving(social, OTHER_ID))
    assert (await count(sql, ENCODER_ID, "INDEXED"), await count(sql, OTHER_ID, "INDEXED")) == (7, 7)


async def test_registration_under_way_is_waited_for(
    mesh: Mesh, social: Client, library: Library, switch: EncoderSwitch, sql: Sql
) -> None:
    mesh.retriever.is_caught_up = False
    await begun(social, library, sql)
    await hear(await mesh.bus(), library, NAMES)
    await until(lambda: count_is(sql, OTHER_ID, "INDEXED", 6))
    await mesh.stack.aclose()
    mesh.retriever.is_caught_up = True
    transaction = sql.transaction()
    await transaction.start()
    await sql.fetchval("SELECT encoder_id FROM serving_encoder FOR SHARE")
    await sql.execute("UPDATE tracks SET updated_at = now() WHERE track_id = $1", library.track_ids[0])
    advancing = asyncio.create_task(switch.advance())
    await asyncio.wait({advancing}, timeout=1.0)
    assert not advancing.done()
    await transaction.commit()
    assert await advancing is True
    assert await sql.fetchval("SELECT encoder_id FROM serving_encoder") == ENCODER_ID


async def test_encoder_that_hears_nothing_is_never_served(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, sql: Sql
) -> None:
    bus = await mesh.bus()
    await begun(social, library, sql)
    for name, track_id in zip(NAMES, library.track_ids, strict=True):
        failure = embedder_events_pb2.TrackEmbeddingFailed(
            track_id=track_id, audio_hash=sha(f"audio {name}"), encoder_id=OTHER_ID, reason="EMBEDDING_FAILED"
        )
        await bus.publish(EMBEDDING_FAILED, failure.SerializeToString(), new_id())
    await until(lambda: count_is(sql, OTHER_ID, "FAILED", 6))
    await asyncio.sleep(1.5)
    assert await social.roles() == (ENCODER_ID, OTHER_ID, "")


async def refused(call: Awaitable[object]) -> DomainError:
    with pytest.raises(DomainError) as caught:
        await call
    return caught.value


async def test_what_cannot_be_switched_to_is_refused_and_changes_nothing(
    social: Client, library: Library, second: FakeEmbedder
) -> None:
    admin = library.admin
    error = await refused(social.switch(admin, ""))
    assert (type(error), error.reason, error.field) == (InvalidArgument, "REQUIRED", "encoder_id")
    error = await refused(social.switch(admin, ENCODER_ID))
    assert (type(error), error.reason, error.value) == (FailedPrecondition, "ENCODER_ALREADY_SERVING", ENCODER_ID)
    error = await refused(social.switch(admin, "nobody-0000000000000000"))
    assert (error.reason, error.limit) == ("ENCODER_NOT_RUNNING", f"{ENCODER_ID}, {OTHER_ID}")
    error = await refused(social.roll_back(admin))
    assert (type(error), error.reason) == (FailedPrecondition, "NO_PREVIOUS_ENCODER")
    assert await social.roles() == (ENCODER_ID, "", "")
    await social.switch(admin, OTHER_ID)
    for wanted in (OTHER_ID, ENCODER_ID, "nobody-0000000000000000"):
        error = await refused(social.switch(admin, wanted))
        assert (error.reason, error.value, error.limit) == ("SWITCH_UNDER_WAY", wanted, OTHER_ID)
    assert await social.roles() == (ENCODER_ID, OTHER_ID, "")


async def test_switch_that_is_given_up_leaves_no_work_behind(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, sql: Sql, database: Database
) -> None:
    watcher = await mesh.bus("social")
    await social.switch(library.admin, OTHER_ID)

    async def is_work_out() -> bool:
        return await work_out(watcher, OTHER_ID) == 6

    await until(is_work_out)
    done = await social.roll_back(library.admin)
    assert (done.given_up_id, done.roles.serving_id, done.roles.candidate_id) == (OTHER_ID, ENCODER_ID, "")
    noted = await sql.fetch(NOTED)
    assert [tuple(row) for row in noted] == [
        (library.admin.user_id, "switch_encoder", OTHER_ID),
        (library.admin.user_id, "roll_back_encoder", OTHER_ID),
    ]
    assert await sql.fetchval("SELECT count(*) FROM embedding_work WHERE encoder_id = $1", OTHER_ID) == 0
    await social.register(library.admin, library.root_id, [registration("new")])
    assert await sql.fetchval("SELECT count(*) FROM track_embeddings WHERE encoder_id = $1", OTHER_ID) == 6
    await StreamKeeper(database, watcher, lost_after_s=300).drop_retired()
    assert await work_out(watcher, OTHER_ID) == 0

    async def is_own_work_out() -> bool:
        return await work_out(watcher, ENCODER_ID) == 7

    await until(is_own_work_out)


async def test_encoder_that_returns_hears_only_what_it_has_missed(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, sql: Sql
) -> None:
    bus, watcher = await mesh.bus(), await mesh.bus("social")
    await begun(social, library, sql)
    await hear(bus, library, NAMES[:4])
    await until(lambda: count_is(sql, OTHER_ID, "INDEXED", 4))
    await social.roll_back(library.admin)
    changes = [registration("Track 0", title="Renamed"), registration("Track 1", audio_hash=sha("other audio"))]
    await social.register(library.admin, library.root_id, [*changes, registration("new")])
    await social.switch(library.admin, OTHER_ID)
    work = "SELECT audio_hash FROM embedding_work WHERE encoder_id = $1"
    missed = {sha("audio Track 4"), sha("audio Track 5"), sha("other audio"), sha("audio new")}

    async def is_work_missed() -> bool:
        return {row["audio_hash"] for row in await sql.fetch(work, OTHER_ID)} == missed

    await until(is_work_missed)

    async def title() -> str:
        message = await watcher.jetstream.get_last_msg(VECTORS, vector_subject(OTHER_ID, library.track_ids[0]))
        return events_pb2.TrackVector.FromString(message.data or b"").title

    async def is_renamed() -> bool:
        return await title() == "Renamed"

    await until(is_renamed)

    async def is_deleted() -> bool:
        message = await watcher.jetstream.get_last_msg(VECTORS, vector_subject(OTHER_ID, library.track_ids[1]))
        return not message.data

    await until(is_deleted)


async def test_rollback_is_done_at_once_since_both_hear_what_comes(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, sql: Sql
) -> None:
    bus = await switched(mesh, social, library, sql)
    (new,) = await social.register(library.admin, library.root_id, [registration("new")])
    for encoder_id in (ENCODER_ID, OTHER_ID):
        await publish_embedded(bus, new.track_id, sha("audio new"), encoder_id=encoder_id)
    await until(lambda: count_is(sql, ENCODER_ID, "INDEXED", 7))
    await until(lambda: count_is(sql, OTHER_ID, "INDEXED", 7))
    done = await social.roll_back(library.admin)
    assert (done.roles.serving_id, done.roles.candidate_id, done.roles.previous_id) == (ENCODER_ID, "", OTHER_ID)
    assert tuple((await sql.fetch(NOTED))[-1]) == (library.admin.user_id, "roll_back_encoder", ENCODER_ID)
    assert (await social.track(new.track_id)).embedding_state == catalog_pb2.EMBEDDING_STATE_INDEXED


async def test_rollback_waits_for_what_the_encoder_before_has_not_heard(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, sql: Sql
) -> None:
    bus = await switched(mesh, social, library, sql)
    (new,) = await social.register(library.admin, library.root_id, [registration("new")])
    await publish_embedded(bus, new.track_id, sha("audio new"), encoder_id=OTHER_ID)
    done = await social.roll_back(library.admin)
    assert (done.roles.serving_id, done.roles.candidate_id) == (OTHER_ID, ENCODER_ID)
    await publish_embedded(bus, new.track_id, sha("audio new"))
    await until(lambda: is_serving(social, ENCODER_ID))


async def test_job_whose_encoder_is_gone_is_done_again_under_the_one_that_serves(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, sql: Sql
) -> None:
    person = await social.sign_up("jay")
    upload_id = await social.upload(person)
    mesh.embedder.gate.close()
    job = await social.generate(person, jobs_pb2.GenerationSeed(upload_id=upload_id), wait_ms=1)
    await asyncio.wait_for(mesh.embedder.gate.reached.wait(), TIMEOUT_S)
    await switched(mesh, social, library, sql)
    mesh.embedder.failure = FailedPrecondition("another is served", reason="ENCODER_MISMATCH")
    mesh.embedder.gate.opened.set()
    job = await succeeded(social, person, job)
    assert (await social.playlist(person, job.playlist_id)).playlist.encoder_id == OTHER_ID
    assert second.heard == [sha("upload")]
    assert [row["encoder_id"] for row in await sql.fetch("SELECT encoder_id FROM upload_embeddings")] == [OTHER_ID]
    (request,) = mesh.retriever.requests
    assert (request.encoder_id, request.seeds[0].vector) == (OTHER_ID, unit_vector(sha("upload")))


async def test_job_that_began_before_the_switch_ends_under_its_own_encoder(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, sql: Sql
) -> None:
    person = await social.sign_up("jay")
    mesh.embedder.gate.close()
    upload = jobs_pb2.GenerationSeed(upload_id=await social.upload(person))
    job = await social.generate(person, upload, seed(library), wait_ms=1)
    await asyncio.wait_for(mesh.embedder.gate.reached.wait(), TIMEOUT_S)
    newest = await sql.fetchval("SELECT max(sequence) FROM track_embeddings WHERE encoder_id = $1", ENCODER_ID)
    await switched(mesh, social, library, sql)
    mesh.embedder.gate.opened.set()
    job = await succeeded(social, person, job)
    assert (await social.playlist(person, job.playlist_id)).playlist.encoder_id == ENCODER_ID
    (request,) = mesh.retriever.requests
    assert (request.encoder_id, request.min_read_point.sequence) == (ENCODER_ID, newest)


async def test_encoders_are_listed_with_what_they_know(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, sql: Sql
) -> None:
    await begun(social, library, sql)
    await hear(await mesh.bus(), library, NAMES[:2])
    await until(lambda: count_is(sql, OTHER_ID, "INDEXED", 2))
    mesh.embedder.encoder_id = ""  # it has lost its model
    request = encoders_pb2.ListEncodersRequest()
    listed = await social.encoders.ListEncoders(request, timeout=TIMEOUT_S, metadata=library.admin.metadata)
    assert [
        (one.encoder_id, one.role, one.dimension, one.track_count, one.indexed_count, one.failed_count, one.is_running)
        for one in listed.encoders
    ] == [
        (ENCODER_ID, encoders_pb2.ENCODER_ROLE_SERVING, 8, 6, 6, 0, False),
        (OTHER_ID, encoders_pb2.ENCODER_ROLE_CANDIDATE, 8, 6, 2, 0, True),
    ]


async def test_switch_survives_a_social_that_is_killed(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, sql: Sql
) -> None:
    await begun(social, library, sql)
    await mesh.stack.aclose()
    again = await mesh.start()
    assert await again.roles() == (ENCODER_ID, OTHER_ID, "")
    await hear(await mesh.bus(), library, NAMES)
    await until(lambda: is_serving(again, OTHER_ID))
    assert EncoderId((await again.roles())[2]) == ENCODER_ID


async def job_of_switch(social: Client, admin: Person) -> jobs_pb2.Job:
    """The newest switch among an admin's jobs."""
    stub = social.stub(jobwork_pb2_grpc.PlaylistJobServiceStub)
    request = jobwork_pb2.ListJobsRequest(kind=jobs_pb2.JOB_KIND_ENCODER_SWITCH)
    return (await stub.ListJobs(request, timeout=TIMEOUT_S, metadata=admin.metadata)).jobs[0].job


async def test_switch_is_a_job_of_who_asked_for_it(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, switch: EncoderSwitch, sql: Sql
) -> None:
    bus = await mesh.bus()
    await begun(social, library, sql)
    job = await job_of_switch(social, library.admin)
    assert (job.kind, job.attempt) == (jobs_pb2.JOB_KIND_ENCODER_SWITCH, 0)
    await hear(bus, library, NAMES[:3])
    await until(lambda: count_is(sql, OTHER_ID, "INDEXED", 3))
    await switch.advance()
    job = await social.job(library.admin, job.job_id, wait_ms=0)
    assert (job.state, job.progress) == (jobs_pb2.JOB_STATE_EMBEDDING, 0.5)
    assert (job.stage_unit, job.stage_done, job.stage_total) == ("tracks", 3, 6)
    assert job.eta_seconds > 0
    assert await sql.fetchval("SELECT attempt = 0 AND lease_until IS NULL FROM jobs")
    waiting = asyncio.create_task(social.job(library.admin, job.job_id))
    await hear(bus, library, NAMES[3:])
    await until(lambda: is_serving(social, OTHER_ID))
    assert (await waiting).state == jobs_pb2.JOB_STATE_SUCCEEDED
    assert (await waiting).progress == 1


async def test_cancelled_switch_is_given_up_and_one_given_up_is_cancelled(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, sql: Sql
) -> None:
    await begun(social, library, sql)
    job = await job_of_switch(social, library.admin)
    request = jobs_pb2.CancelJobRequest(job_id=job.job_id)
    for _ in range(2):
        answer = await social.jobs.CancelJob(request, timeout=TIMEOUT_S, metadata=library.admin.metadata)
        assert answer.job.state == jobs_pb2.JOB_STATE_CANCELLED
        assert await social.roles() == (ENCODER_ID, "", "")
    await begun(social, library, sql)
    again = await job_of_switch(social, library.admin)
    assert again.job_id != job.job_id
    # The first one has ended: it cannot end the second.
    await social.jobs.CancelJob(request, timeout=TIMEOUT_S, metadata=library.admin.metadata)
    assert (await social.roles())[1] == OTHER_ID
    await social.roll_back(library.admin)
    assert (await job_of_switch(social, library.admin)).state == jobs_pb2.JOB_STATE_CANCELLED


async def test_switch_that_an_older_release_ended_is_ended_as_a_job(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, switch: EncoderSwitch, sql: Sql
) -> None:
    await begun(social, library, sql)
    await sql.execute("UPDATE serving_encoder SET candidate_id = NULL")
    await switch.settle()
    assert (await job_of_switch(social, library.admin)).state == jobs_pb2.JOB_STATE_CANCELLED
    await begun(social, library, sql)
    await switch.settle()
    assert not (await job_of_switch(social, library.admin)).HasField("finished_at")
    await sql.execute("UPDATE serving_encoder SET encoder_id = $1, candidate_id = NULL", OTHER_ID)
    await switch.settle()
    assert (await job_of_switch(social, library.admin)).state == jobs_pb2.JOB_STATE_SUCCEEDED


async def test_switch_of_an_admin_who_leaves_goes_on_as_the_meshs(
    mesh: Mesh, social: Client, library: Library, second: FakeEmbedder, database: Database, sql: Sql
) -> None:
    await begun(social, library, sql)
    job = await job_of_switch(social, library.admin)
    async with database.transaction() as connection:
        for statement in leaving.STEPS.values():
            if "jobs" in statement:
                await leaving.take(connection, statement, UserId(library.admin.user_id), 1_000)
    stub = social.stub(jobwork_pb2_grpc.PlaylistJobServiceStub)
    request = jobwork_pb2.ListJobsRequest(kind=jobs_pb2.JOB_KIND_ENCODER_SWITCH)
    [left] = (await stub.ListJobs(request, timeout=TIMEOUT_S, metadata=library.admin.metadata)).jobs
    assert (left.job.job_id, left.user_id, left.job.HasField("finished_at")) == (job.job_id, "", False)
    await hear(await mesh.bus(), library, NAMES)
    await until(lambda: is_serving(social, OTHER_ID))
    assert (await job_of_switch(social, library.admin)).state == jobs_pb2.JOB_STATE_SUCCEEDED
