"""Jobs over HTTP: how far they are, one's own in pages, everybody's and another try for admins."""

import base64

import pytest

from museed.social.v1 import jobs_pb2, jobwork_pb2
from tests.fakes.upstreams import new_id, timestamp
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

JOB = """query($id: ID!) { job(id: $id) { kind state progress stage { unit done total } etaSeconds isFinished
  playlist { title } } }"""
MINE = """query($openOnly: Boolean! = false, $after: String) { myJobs(openOnly: $openOnly, first: 2, after: $after) {
  pageInfo { hasNextPage endCursor } nodes { jobId state playlist { title } } } }"""
ALL = """query($kind: JobKind, $state: JobState) { jobs(kind: $kind, state: $state, first: 3) {
  nodes { ownerId owner { username } job { jobId kind state failureReason playlist { title } } } } }"""
REPLAY = """mutation($input: ReplayJobsInput!) { replayJobs(input: $input) { __typename
  ... on ReplayJobsSuccess { jobs { jobId newJobId reason } } ... on UserError { code field value } } }"""


async def test_job_tells_its_stage_and_the_time_that_is_left(gateway: Gateway) -> None:
    job = gateway.social.add_job(
        kind=jobs_pb2.JOB_KIND_REGENERATION,
        state=jobs_pb2.JOB_STATE_EMBEDDING,
        progress=0.35,
        eta_seconds=12.5,
        stage_unit="seeds",
        stage_done=0,
        stage_total=5,
    )
    assert (await gateway.data(JOB, {"id": job.job_id}, gateway.bearer()))["job"] == {
        "kind": "REGENERATION",
        "state": "EMBEDDING",
        "progress": 0.35,
        "stage": {"unit": "seeds", "done": 0, "total": 5},
        "etaSeconds": 12.5,
        "isFinished": False,
        "playlist": None,
    }
    nearly = gateway.social.add_job(state=jobs_pb2.JOB_STATE_ARRANGING, eta_seconds=0.0)
    found = (await gateway.data(JOB, {"id": nearly.job_id}, gateway.bearer()))["job"]
    # 0.1.0 tells no kind; nothing counted is no stage, and no time left is a time.
    assert (found["kind"], found["stage"], found["etaSeconds"]) == ("GENERATION", None, 0.0)
    done = gateway.social.add_job(state=jobs_pb2.JOB_STATE_SUCCEEDED, stage_unit="uploads", stage_total=1)
    assert (await gateway.data(JOB, {"id": done.job_id}, gateway.bearer()))["job"]["stage"] is None
    new = gateway.social.add_job()
    assert (await gateway.data(JOB, {"id": new.job_id}, gateway.bearer()))["job"]["etaSeconds"] is None


async def test_job_whose_playlist_was_deleted_is_still_told(gateway: Gateway) -> None:
    job = gateway.social.add_job(state=jobs_pb2.JOB_STATE_SUCCEEDED, progress=1, playlist_id=new_id())
    assert (await gateway.data(JOB, {"id": job.job_id}, gateway.bearer()))["job"]["playlist"] is None


async def test_own_jobs_come_in_pages_with_their_playlists_at_once(gateway: Gateway) -> None:
    playlists = [gateway.social.add_playlist([]).playlist_id for _ in range(3)]
    made = [
        jobs_pb2.Job(job_id=new_id(), state=jobs_pb2.JOB_STATE_SUCCEEDED, playlist_id=playlist_id)
        for playlist_id in playlists
    ]

    def page(request: jobwork_pb2.ListMyJobsRequest) -> jobwork_pb2.ListMyJobsResponse:
        start = int(request.page_token or 0)
        end = start + request.page_size
        return jobwork_pb2.ListMyJobsResponse(jobs=made[start:end], next_page_token=str(end) if end < 3 else "")

    gateway.social.answers["ListMyJobs"] = page
    first = (await gateway.data(MINE, headers=gateway.bearer()))["myJobs"]
    assert first["nodes"] == [
        {"jobId": job.job_id, "state": "SUCCEEDED", "playlist": {"title": "Like Track 000"}} for job in made[:2]
    ]
    assert gateway.behind.spent() == {"ListMyJobs": 1, "BatchGetPlaylists": 1}
    variables = {"openOnly": True, "after": first["pageInfo"]["endCursor"]}
    second = (await gateway.data(MINE, variables, gateway.bearer()))["myJobs"]
    assert ([node["jobId"] for node in second["nodes"]], second["pageInfo"]["hasNextPage"]) == ([made[2].job_id], False)
    assert gateway.social.requests["ListMyJobs"] == jobwork_pb2.ListMyJobsRequest(
        open_only=True, page_size=2, page_token="2"
    )
    body = await gateway.run(MINE)
    assert body["errors"][0]["extensions"]["reason"] == "LOGIN_REQUIRED"


async def test_admin_sees_everybodys_jobs_with_their_owners(gateway: Gateway) -> None:
    mina = gateway.social.add_user("mina")
    failed = jobs_pb2.Job(
        job_id=new_id(),
        kind=jobs_pb2.JOB_KIND_EXTENSION,
        state=jobs_pb2.JOB_STATE_FAILED,
        failure_reason="NO_CANDIDATES",
        created_at=timestamp(),
    )
    switch = jobs_pb2.Job(job_id=new_id(), kind=jobs_pb2.JOB_KIND_ENCODER_SWITCH, state=jobs_pb2.JOB_STATE_EMBEDDING)
    gone = jobs_pb2.Job(job_id=new_id(), kind=jobs_pb2.JOB_KIND_ACCOUNT_DELETION, state=jobs_pb2.JOB_STATE_QUEUED)
    owners = (mina.user_id, "", new_id())
    gateway.social.answers["ListJobs"] = jobwork_pb2.ListJobsResponse(
        jobs=[
            jobwork_pb2.OwnedJob(job=job, user_id=owner)
            for job, owner in zip((failed, switch, gone), owners, strict=True)
        ]
    )
    variables = {"kind": "EXTENSION", "state": "FAILED"}
    nodes = (await gateway.data(ALL, variables, gateway.bearer(role="admin")))["jobs"]["nodes"]
    assert nodes[0] == {
        "ownerId": mina.user_id,
        "owner": {"username": "mina"},
        "job": {
            "jobId": failed.job_id,
            "kind": "EXTENSION",
            "state": "FAILED",
            "failureReason": "NO_CANDIDATES",
            "playlist": None,
        },
    }
    assert [(node["ownerId"], node["owner"]) for node in nodes[1:]] == [(None, None), (owners[2], None)]
    assert gateway.behind.spent() == {"ListJobs": 1, "BatchGetUsers": 1}
    assert gateway.social.requests["ListJobs"] == jobwork_pb2.ListJobsRequest(
        kind=jobs_pb2.JOB_KIND_EXTENSION, state=jobs_pb2.JOB_STATE_FAILED, page_size=3
    )
    await gateway.data(ALL, headers=gateway.bearer(role="admin"))
    assert gateway.social.requests["ListJobs"] == jobwork_pb2.ListJobsRequest(page_size=3)


async def test_replay_tells_what_became_of_each_job(gateway: Gateway) -> None:
    failed, ended, new = new_id(), new_id(), new_id()
    gateway.social.answers["ReplayJobs"] = jobwork_pb2.ReplayJobsResponse(
        jobs=[
            jobwork_pb2.ReplayedJob(job_id=failed, new_job_id=new),
            jobwork_pb2.ReplayedJob(job_id=ended, reason="JOB_NOT_FAILED"),
        ]
    )
    ids = [failed, base64.b64encode(f"Job:{ended}".encode()).decode()]
    found = (await gateway.data(REPLAY, {"input": {"jobIds": ids}}, gateway.bearer(role="admin")))["replayJobs"]
    assert found["jobs"] == [
        {"jobId": failed, "newJobId": new, "reason": None},
        {"jobId": ended, "newJobId": None, "reason": "JOB_NOT_FAILED"},
    ]
    assert list(gateway.social.requests["ReplayJobs"].job_ids) == [failed, ended]
    gateway.behind.spent()
    wrong = base64.b64encode(f"Track:{ended}".encode()).decode()
    found = await gateway.data(REPLAY, {"input": {"jobIds": [failed, wrong]}}, gateway.bearer(role="admin"))
    assert found["replayJobs"] == {
        "__typename": "InvalidInputError",
        "code": "ID_OF_ANOTHER_TYPE",
        "field": "jobIds[1]",
        "value": wrong,
    }
    assert gateway.behind.spent() == {}


async def test_only_admins_see_and_replay_everybodys_jobs(gateway: Gateway) -> None:
    body = await gateway.run(ALL, headers=gateway.bearer())
    assert body["errors"][0]["extensions"]["reason"] == "PERMISSION_DENIED"
    found = await gateway.data(REPLAY, {"input": {"jobIds": [new_id()]}}, gateway.bearer())
    assert found["replayJobs"]["__typename"] == "ForbiddenError"
