"""Everybody's jobs, and another try for those that failed. Social admits admins only."""

from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import jobs_pb2, jobwork_pb2
from services.gateway.context import Info
from services.gateway.ids import decode_ids
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import mutation, resolver
from services.gateway.schema.job import Job, JobKind, JobState
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.user import User

WantedKind = Annotated[JobKind | None, strawberry.argument(description="Only jobs of this kind; else all.")]
WantedState = Annotated[JobState | None, strawberry.argument(description="Only jobs in this state; else all.")]


@strawberry.type(description="A job with its owner.")
class OwnedJob:
    """A job as admins see it."""

    job: Job = field(description="The job.")
    owner_id: strawberry.ID | None = field(description="UUID of its owner; null where it is the mesh's own.")

    @resolver("Its owner; null where it is the mesh's own, and of who has left.")
    async def owner(self, info: Info) -> User | None:
        """Load the owner together with all others of the document."""
        message = await info.context.loaders.users.load(self.owner_id) if self.owner_id else None
        return None if message is None else User.from_message(message)

    @classmethod
    def from_message(cls, message: jobwork_pb2.OwnedJob) -> Self:
        """Translate social's message."""
        return cls(
            job=Job.from_message(message.job), owner_id=strawberry.ID(message.user_id) if message.user_id else None
        )


@strawberry.type(description="What became of a job that was to be done again.")
class ReplayedJob:
    """A job that failed, and the one in its place."""

    job_id: strawberry.ID = field(description="UUID of the job that failed.")
    new_job_id: strawberry.ID | None = field(description="UUID of the job in its place; null where there is none.")
    reason: str | None = field(
        description="Why there is none: JOB_NOT_FOUND, JOB_NOT_FAILED, JOB_NOT_REPLAYABLE or OWNER_GONE."
    )

    @classmethod
    def from_message(cls, message: jobwork_pb2.ReplayedJob) -> Self:
        """Translate social's message."""
        return cls(
            job_id=strawberry.ID(message.job_id),
            new_job_id=strawberry.ID(message.new_job_id) if message.new_job_id else None,
            reason=message.reason or None,
        )


@strawberry.input(description="Jobs that failed, to be done again.")
class ReplayJobsInput:
    """For `replayJobs`."""

    job_ids: list[strawberry.ID] = field(description="At most 100, by `id` or `jobId`.")


@strawberry.type(description="Each job was looked at.")
class ReplayJobsSuccess:
    """Of `replayJobs`."""

    jobs: list[ReplayedJob] = field(description="What became of each, in the order of the input.")


ReplayJobsResult = Annotated[ReplayJobsSuccess | Refusal, strawberry.union("ReplayJobsResult")]


@strawberry.type
class JobAdminQuery:
    """Queries about everybody's jobs."""

    @resolver("Everybody's jobs of the last 30 days, newest first. Admins only.")
    async def jobs(
        self, info: Info, kind: WantedKind = None, state: WantedState = None, first: First = 20, after: After = None
    ) -> Connection[OwnedJob] | None:
        """List them."""
        page = page_request(first, after)
        request = jobwork_pb2.ListJobsRequest(
            kind=kind.value if kind else jobs_pb2.JOB_KIND_UNSPECIFIED,
            state=state.value if state else jobs_pb2.JOB_STATE_UNSPECIFIED,
            page_size=page.size,
            page_token=page.token,
        )
        answer = await info.context.call(info.context.parts.upstream.playlist_jobs.ListJobs, request)
        nodes = [OwnedJob.from_message(each) for each in answer.jobs]
        return connection_from_page(page, nodes, answer.next_page_token)


@strawberry.type
class JobAdminMutation:
    """Mutations of everybody's jobs."""

    @mutation(
        "Has jobs that failed done again, each as a new job of its owner's; "
        "doing it again within 24 hours makes no other. Admins only."
    )
    async def replay_jobs(self, info: Info, input: ReplayJobsInput) -> ReplayJobsResult:
        """Pass it on."""
        request = jobwork_pb2.ReplayJobsRequest(job_ids=decode_ids(input.job_ids, "Job", "jobIds"))
        answer = await info.context.call(info.context.parts.upstream.playlist_jobs.ReplayJobs, request)
        return ReplayJobsSuccess(jobs=[ReplayedJob.from_message(each) for each in answer.jobs])
