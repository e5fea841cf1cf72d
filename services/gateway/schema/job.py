"""Jobs of the caller's own: one, all of them, watched, called off."""

from collections.abc import AsyncGenerator
from datetime import datetime
from enum import Enum
from typing import Annotated, ClassVar, Self

import strawberry
from strawberry import field, relay

from museed.social.v1 import jobs_pb2, jobwork_pb2
from services.chassis.bus import SOCIAL_EVENTS
from services.gateway.context import Info, RequestContext
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import AnyId, member, mutation, resolver, subscription
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.playlist import Playlist, find_playlist
from services.gateway.schema.values import round_single, to_datetime


@strawberry.enum(description="Where a job stands.")
class JobState(Enum):
    """Social's states."""

    QUEUED = member(jobs_pb2.JOB_STATE_QUEUED, "It waits for a worker.")
    EMBEDDING = member(jobs_pb2.JOB_STATE_EMBEDDING, "Uploaded seeds are heard; of a switch, the library.")
    SEARCHING = member(jobs_pb2.JOB_STATE_SEARCHING, "Tracks that sound alike are found.")
    ARRANGING = member(jobs_pb2.JOB_STATE_ARRANGING, "The list is ordered and written.")
    SUCCEEDED = member(jobs_pb2.JOB_STATE_SUCCEEDED, "The playlist is there.")
    FAILED = member(jobs_pb2.JOB_STATE_FAILED, "It cannot be done; see why.")
    CANCELLED = member(jobs_pb2.JOB_STATE_CANCELLED, "Its owner called it off.")


OpenOnly = Annotated[bool, strawberry.argument(description="Only those that have not ended.")]
FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


@strawberry.enum(description="What a job does.")
class JobKind(Enum):
    """Social's kinds."""

    GENERATION = member(jobs_pb2.JOB_KIND_GENERATION, "Makes a playlist.")
    EXTENSION = member(jobs_pb2.JOB_KIND_EXTENSION, "Suggests tracks for a playlist.")
    REGENERATION = member(
        jobs_pb2.JOB_KIND_REGENERATION, "Makes a playlist once more from its recipe, asked for or by schedule."
    )
    ENCODER_SWITCH = member(
        jobs_pb2.JOB_KIND_ENCODER_SWITCH, "Has the library heard by another encoder, and serves it."
    )
    ACCOUNT_EXPORT = member(jobs_pb2.JOB_KIND_ACCOUNT_EXPORT, "Writes everything that is kept of a person.")
    ACCOUNT_DELETION = member(jobs_pb2.JOB_KIND_ACCOUNT_DELETION, "Deletes what a deleted account left.")
    HEARING = member(jobs_pb2.JOB_KIND_HEARING, "Has an upload heard, so that it can be searched by.")


@strawberry.type(description="How far a job is in what its state counts.")
class JobStage:
    """For example 2 of 5 seeds."""

    unit: str = field(description='What is counted, for example "seeds" or "tracks".')
    done: int = field(description="How many are done.")
    total: int = field(description="How many there are.")


@strawberry.type(description="Work that takes a while, under way or ended: the making of a playlist, for example.")
class Job(relay.Node):
    """A job of the caller's own, or of anybody's for admins."""

    _id_attr: ClassVar[str | None] = "job_id"

    job_id: strawberry.ID = field(description="Its UUID.")
    kind: JobKind = field(description="What it does.")
    state: JobState = field(description="Where it stands.")
    progress: float = field(description="Between 0 and 1.")
    stage: JobStage | None = field(
        description="How far it is, or came, in what its state counts; null where nothing is counted, and once it "
        "SUCCEEDED."
    )
    eta_seconds: float | None = field(
        description="Seconds until its end, by how long such jobs take; null while that is not known, "
        "and once it has ended."
    )
    playlist_id: strawberry.ID | None = field(
        description="UUID of what came out, null until SUCCEEDED; of an EXTENSION, of what is extended."
    )
    failure_reason: str | None = field(description="Stable code when FAILED.")
    failure_message: str | None = field(description="Sentence for people when FAILED, with value and limit.")
    attempt: int = field(description="Times a worker has taken it.")
    created_at: datetime = field(description="When it was asked for.")
    finished_at: datetime | None = field(description="When it ended; null before.")

    @resolver("Whether it has ended, well or not.")
    def is_finished(self) -> bool:
        """Tell by the state."""
        return self.state in FINAL_STATES

    @resolver("What came out, null until SUCCEEDED and once it is deleted; of an EXTENSION, what is extended.")
    async def playlist(self, info: Info) -> Playlist | None:
        """Load it together with all others of the document."""
        return await find_playlist(info.context, self.playlist_id) if self.playlist_id else None

    @classmethod
    def from_message(cls, message: jobs_pb2.Job) -> Self:
        """Translate social's message."""
        return cls(
            job_id=strawberry.ID(message.job_id),
            # Release 0.1.0 of social has one kind, and does not tell it.
            kind=JobKind(message.kind or jobs_pb2.JOB_KIND_GENERATION),
            state=JobState(message.state),
            progress=round_single(message.progress),
            stage=(
                JobStage(unit=message.stage_unit, done=message.stage_done, total=message.stage_total)
                if message.stage_unit and message.state != jobs_pb2.JOB_STATE_SUCCEEDED
                else None
            ),
            eta_seconds=message.eta_seconds if message.HasField("eta_seconds") else None,
            playlist_id=strawberry.ID(message.playlist_id) if message.playlist_id else None,
            failure_reason=message.failure_reason or None,
            failure_message=message.failure_message or None,
            attempt=message.attempt,
            created_at=to_datetime(message.created_at),
            finished_at=to_datetime(message.finished_at) if message.HasField("finished_at") else None,
        )


@strawberry.input(description="Which job.")
class CancelJobInput:
    """For `cancelJob`."""

    job_id: strawberry.ID = field(description="The job, by `id` or `jobId`.")


@strawberry.type(description="The job is called off; one that had ended before stays as it was.")
class CancelJobSuccess:
    """Of `cancelJob`."""

    job: Job = field(description="As it is now.")


CancelJobResult = Annotated[CancelJobSuccess | Refusal, strawberry.union("CancelJobResult")]


async def read_job(context: RequestContext, job_id: str, wait_ms: int = 0) -> Job:
    """Read a job of the caller's own, waiting for its end at most so long.

    Raises:
        NotFound: There is none, or it is somebody else's.
    """
    request = jobs_pb2.GetJobRequest(job_id=job_id, wait_ms=wait_ms)
    answer = await context.call(context.parts.upstream.jobs.GetJob, request, extra_time_s=max(0, wait_ms) / 1000)
    return Job.from_message(answer.job)


async def find_job(context: RequestContext, job_id: str | None) -> Job | None:
    """Return a job of the caller's own through the loader; None for no id, and what is forgotten."""
    message = await context.loaders.jobs.load(job_id) if job_id else None
    return None if message is None else Job.from_message(message)


@strawberry.type
class JobQuery:
    """Queries about jobs."""

    @resolver("A job of the caller's own, by id.")
    async def job(
        self,
        info: Info,
        id: AnyId,
        wait_ms: Annotated[int, strawberry.argument(description="Wait for its end, at most so long: 0 to 5,000.")] = 0,
    ) -> Job | None:
        """Read it."""
        return await read_job(info.context, decode_id(id, "Job", "id"), wait_ms)

    @resolver("The caller's own jobs of the last 30 days, newest first.")
    async def my_jobs(
        self, info: Info, open_only: OpenOnly = False, first: First = 20, after: After = None
    ) -> Connection[Job] | None:
        """List them."""
        page = page_request(first, after)
        request = jobwork_pb2.ListMyJobsRequest(open_only=open_only, page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.playlist_jobs.ListMyJobs, request)
        return connection_from_page(page, [Job.from_message(each) for each in answer.jobs], answer.next_page_token)


@strawberry.type
class JobMutation:
    """Mutations of jobs."""

    @mutation("Calls a job of the caller's own off.")
    async def cancel_job(self, info: Info, input: CancelJobInput) -> CancelJobResult:
        """Pass the wish on."""
        request = jobs_pb2.CancelJobRequest(job_id=decode_id(input.job_id, "Job", "jobId"))
        answer = await info.context.call(info.context.parts.upstream.jobs.CancelJob, request)
        return CancelJobSuccess(job=Job.from_message(answer.job))


@strawberry.type
class JobSubscription:
    """Subscriptions to jobs."""

    @subscription("A job of the caller's own: at once as it stands, then at every change, until it has ended.")
    async def job_progress(self, info: Info, job_id: AnyId) -> AsyncGenerator[Job, None]:
        """Read the job at every bell; without one after a while, sooner where the bus is silent."""
        context = info.context
        uuid = decode_id(job_id, "Job", "jobId")
        live = context.parts.live

        async def read() -> Job:
            context.begin_event()
            return await read_job(context, uuid)

        with live.hub.bells.watch(f"job/{uuid}") as bell:
            job = await read()
            yield job
            context.refresh()  # what was loaded is not kept while nothing happens
            while job.state not in FINAL_STATES:
                await live.hub.until_news(bell, SOCIAL_EVENTS)
                bell.take()
                last, job = job, await live.asking.patiently(read)
                if job != last:
                    yield job
                    context.refresh()
