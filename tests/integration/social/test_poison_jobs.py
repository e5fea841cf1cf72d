"""One job in ten is poison: exactly those fail, nobody waits for them, and they are done once they are mended."""

import asyncio

import pytest

from museed.social.v1 import jobs_pb2, jobwork_pb2, jobwork_pb2_grpc, moderation_pb2, moderation_pb2_grpc
from services.chassis.errors import Internal
from services.social.domain.ids import new_id
from tests.integration.social.conftest import TIMEOUT_S, Client, Library, Mesh, Person, Sql, make_library, until

FAILED = jobs_pb2.JOB_STATE_FAILED
SUCCEEDED = jobs_pb2.JOB_STATE_SUCCEEDED


@pytest.fixture
async def client(mesh: Mesh) -> Client:
    """A service that gives up what fails for a second."""
    mesh.settings = mesh.settings.model_copy(update={"job_give_up_s": 1.0, "open_jobs_per_user": 100})
    return await mesh.start()


def stub(client: Client) -> "jobwork_pb2_grpc.PlaylistJobServiceAsyncStub":
    return client.stub(jobwork_pb2_grpc.PlaylistJobServiceStub)


async def failed_jobs(client: Client, admin: Person) -> list[jobwork_pb2.OwnedJob]:
    request = jobwork_pb2.ListJobsRequest(state=FAILED, page_size=100)
    return list((await stub(client).ListJobs(request, timeout=TIMEOUT_S, metadata=admin.metadata)).jobs)


async def replay(client: Client, admin: Person, *job_ids: str) -> list[tuple[str, str]]:
    """Replay jobs; return the new job of each, or why there is none."""
    request = jobwork_pb2.ReplayJobsRequest(job_ids=job_ids)
    answer = await stub(client).ReplayJobs(request, timeout=TIMEOUT_S, metadata=admin.metadata)
    assert [one.job_id for one in answer.jobs] == list(job_ids)
    return [(one.new_job_id, one.reason) for one in answer.jobs]


async def test_of_ten_jobs_one_is_poison_and_exactly_those_fail_and_are_done_by_a_replay(
    mesh: Mesh, client: Client, sql: Sql
) -> None:
    library = await make_library(mesh, client)
    person = await client.sign_up("jay")
    bad, good = library.track_ids[0], library.track_ids[1]

    async def fail_on_poison() -> None:
        if mesh.retriever.requests[-1].seeds[0].track_id == bad:
            raise Internal("a fault")

    mesh.retriever.on_build = fail_on_poison
    made = [
        await client.generate(
            person, jobs_pb2.GenerationSeed(track_id=bad if number % 10 == 5 else good), length=2, wait_ms=0
        )
        for number in range(30)
    ]
    await until(lambda: sql.fetchval("SELECT bool_and(finished_at IS NOT NULL) FROM jobs"), 60)
    poison = {job.job_id for job in made[5::10]}
    letters = await failed_jobs(client, library.admin)
    assert {one.job.job_id for one in letters} == poison
    assert {(one.job.failure_reason, one.user_id) for one in letters} == {("INTERNAL", person.user_id)}
    assert await sql.fetchval("SELECT count(*) FROM jobs WHERE state = 'SUCCEEDED'") == 27

    mesh.retriever.on_build = None
    again = await replay(client, library.admin, *sorted(poison))
    assert [reason for _, reason in again] == [""] * 3
    assert len({new for new, _ in again} - poison) == 3
    # Once for each, whoever asks how often.
    assert await asyncio.gather(*(replay(client, library.admin, *sorted(poison)) for _ in range(3))) == [again] * 3
    for new, _ in again:
        job = await client.job(person, new)
        assert job.state == SUCCEEDED
        tracks = [entry.track_id for entry in (await client.playlist(person, job.playlist_id)).entries]
        assert (tracks[0], len(tracks)) == (bad, 3)
    # What has ended stays as it ended.
    assert {one.job.job_id for one in await failed_jobs(client, library.admin)} == poison
    log = client.stub(moderation_pb2_grpc.ModerationServiceStub)
    noted = await log.ListAuditLog(
        moderation_pb2.ListAuditLogRequest(), timeout=TIMEOUT_S, metadata=library.admin.metadata
    )
    assert {one.subject_id for one in noted.entries if one.action == "replay_job"} == poison
    assert await sql.fetchval("SELECT count(*) FROM audit_log WHERE action = 'replay_job'") == 3


async def test_what_did_not_fail_is_not_done_again(mesh: Mesh, social: Client, library: Library, sql: Sql) -> None:
    person = await social.sign_up("jay")
    done = await social.generate(person, jobs_pb2.GenerationSeed(track_id=library.track_ids[0]), length=2)
    unknown = new_id()
    assert await replay(social, library.admin, done.job_id, unknown, "nonsense") == [
        ("", "JOB_NOT_FAILED"),
        ("", "JOB_NOT_FOUND"),
        ("", "JOB_NOT_FOUND"),
    ]
    await sql.execute("UPDATE jobs SET state = 'FAILED', failure_reason = 'INTERNAL'")
    for column in ("suspended_at", "deleted_at"):
        await sql.execute(f"UPDATE users SET {column} = now() WHERE user_id = $1", person.user_id)
        assert await replay(social, library.admin, done.job_id) == [("", "OWNER_GONE")]
        await sql.execute(f"UPDATE users SET {column} = NULL WHERE user_id = $1", person.user_id)
    await sql.execute("UPDATE jobs SET kind = 'ACCOUNT_EXPORT', due_at = now(), run_after = 'infinity'")
    assert await replay(social, library.admin, done.job_id) == [("", "JOB_NOT_REPLAYABLE")]
    assert await sql.fetchval("SELECT count(*) FROM jobs") == 1
