"""Generation jobs: asking for a playlist, watching it come, calling it off."""

from collections.abc import AsyncGenerator
from datetime import datetime
from enum import Enum
from typing import Annotated, ClassVar, Self

import strawberry
from strawberry import field, relay
from uuid_utils.compat import uuid7

from museed.social.v1 import jobs_pb2, playlists_pb2
from services.chassis.bus import SOCIAL_EVENTS
from services.chassis.errors import InvalidArgument
from services.chassis.server import limit_time
from services.gateway.context import Info, RequestContext
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import AnyId, member, mutation, resolver, subscription
from services.gateway.schema.playlist import Playlist, Visibility, load_playlist
from services.gateway.schema.values import round_single, to_datetime


@strawberry.enum(description="Where a job stands.")
class JobState(Enum):
    """Social's states."""

    QUEUED = member(jobs_pb2.JOB_STATE_QUEUED, "It waits for a worker.")
    EMBEDDING = member(jobs_pb2.JOB_STATE_EMBEDDING, "Uploaded seeds are heard.")
    SEARCHING = member(jobs_pb2.JOB_STATE_SEARCHING, "Tracks that sound alike are found.")
    ARRANGING = member(jobs_pb2.JOB_STATE_ARRANGING, "The list is ordered and written.")
    SUCCEEDED = member(jobs_pb2.JOB_STATE_SUCCEEDED, "The playlist is there.")
    FAILED = member(jobs_pb2.JOB_STATE_FAILED, "It cannot be done; see why.")
    CANCELLED = member(jobs_pb2.JOB_STATE_CANCELLED, "Its owner called it off.")


FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


@strawberry.type(description="The making of a playlist, under way or ended.")
class Job(relay.Node):
    """A job of the caller's own."""

    _id_attr: ClassVar[str | None] = "job_id"

    job_id: strawberry.ID = field(description="Its UUID.")
    state: JobState = field(description="Where it stands.")
    progress: float = field(description="Between 0 and 1.")
    playlist_id: strawberry.ID | None = field(description="UUID of what came out; null until SUCCEEDED.")
    failure_reason: str | None = field(description="Stable code when FAILED.")
    failure_message: str | None = field(description="Sentence for people when FAILED, with value and limit.")
    attempt: int = field(description="Times a worker has taken it.")
    created_at: datetime = field(description="When it was asked for.")
    finished_at: datetime | None = field(description="When it ended; null before.")

    @resolver("Whether it has ended, well or not.")
    def is_finished(self) -> bool:
        """Tell by the state."""
        return self.state in FINAL_STATES

    @resolver("What came out; null until SUCCEEDED.")
    async def playlist(self, info: Info) -> Playlist | None:
        """Load it with its entries."""
        return await load_playlist(info.context, self.playlist_id) if self.playlist_id else None

    @classmethod
    def from_message(cls, message: jobs_pb2.Job) -> Self:
        """Translate social's message."""
        return cls(
            job_id=strawberry.ID(message.job_id),
            state=JobState(message.state),
            progress=round_single(message.progress),
            playlist_id=strawberry.ID(message.playlist_id) if message.playlist_id else None,
            failure_reason=message.failure_reason or None,
            failure_message=message.failure_message or None,
            attempt=message.attempt,
            created_at=to_datetime(message.created_at),
            finished_at=to_datetime(message.finished_at) if message.HasField("finished_at") else None,
        )


@strawberry.input(description="A sound that the playlist starts from: a track or an upload.")
class SeedInput:
    """One seed of `generatePlaylist`."""

    track_id: strawberry.ID | None = field(default=None, description="A track, by `id` or `trackId`.")
    upload_id: strawberry.ID | None = field(default=None, description="An upload of the caller's own.")
    weight: float | None = field(default=None, description="How much it counts, above 0 and at most 10; else 1.")


@strawberry.input(description="What to make a playlist from, and how.")
class GeneratePlaylistInput:
    """For `generatePlaylist`."""

    seeds: list[SeedInput] = field(description="1 to 20.")
    length: int | None = field(default=None, description="Tracks wanted beside the seeds, 1 to 500; else 25.")
    max_per_artist: int | None = field(default=None, description="Most tracks of one artist, 1 to 500; else 3.")
    include_seed: bool | None = field(default=None, description="Put library seeds first; they do not count. Else yes.")
    min_similarity: float | None = field(default=None, description="Lowest similarity, −1 to 1; else any.")
    exclude_track_ids: list[strawberry.ID] | None = field(
        default=None, description="Tracks that must not be chosen, at most 1,000."
    )
    title: str | None = field(default=None, description="At most 200 characters; else it is named after the seeds.")
    visibility: Visibility | None = field(default=None, description="Who may open it; else PRIVATE.")
    idempotency_key: str | None = field(
        default=None,
        description="1 to 200 characters; repeating the request with it returns the same job for 24 hours.",
    )


@strawberry.input(description="Which job.")
class CancelJobInput:
    """For `cancelJob`."""

    job_id: strawberry.ID = field(description="The job, by `id` or `jobId`.")


@strawberry.type(description="The job was accepted; a quick one is done already.")
class GeneratePlaylistSuccess:
    """Of `generatePlaylist`."""

    job: Job = field(description="The job.")

    @resolver("What came out; null while the job is under way. Watch it with `jobProgress`.")
    async def playlist(self, info: Info) -> Playlist | None:
        """Load it with its entries."""
        return await load_playlist(info.context, self.job.playlist_id) if self.job.playlist_id else None


@strawberry.type(description="The job is called off; one that had ended before stays as it was.")
class CancelJobSuccess:
    """Of `cancelJob`."""

    job: Job = field(description="As it is now.")


GeneratePlaylistResult = Annotated[GeneratePlaylistSuccess | Refusal, strawberry.union("GeneratePlaylistResult")]
CancelJobResult = Annotated[CancelJobSuccess | Refusal, strawberry.union("CancelJobResult")]


async def read_job(context: RequestContext, job_id: str, wait_ms: int = 0) -> Job:
    """Read a job of the caller's own, waiting for its end at most so long.

    Raises:
        NotFound: There is none, or it is somebody else's.
    """
    request = jobs_pb2.GetJobRequest(job_id=job_id, wait_ms=wait_ms)
    answer = await context.call(context.parts.upstream.jobs.GetJob, request, extra_time_s=max(0, wait_ms) / 1000)
    return Job.from_message(answer.job)


def _seed(seed: SeedInput, path: str) -> jobs_pb2.GenerationSeed:
    weight = seed.weight if seed.weight is not None else 1.0
    if weight == 0:  # upstream's 0 is "left out"
        raise InvalidArgument(
            "weight is 0, it must be above 0", reason="WEIGHT_OUT_OF_RANGE", field=f"{path}.weight", value=0, limit=10
        )
    if seed.track_id is not None and seed.upload_id is None:
        return jobs_pb2.GenerationSeed(track_id=decode_id(seed.track_id, "Track", f"{path}.trackId"), weight=weight)
    if seed.upload_id is not None and seed.track_id is None:
        return jobs_pb2.GenerationSeed(upload_id=decode_id(seed.upload_id, "Upload", f"{path}.uploadId"), weight=weight)
    raise InvalidArgument("a seed is either a trackId or an uploadId", reason="SEED_AMBIGUOUS", field=path)


def _recipe(input: GeneratePlaylistInput) -> jobs_pb2.Recipe:
    excluded = input.exclude_track_ids or []
    return jobs_pb2.Recipe(
        seeds=[_seed(seed, f"seeds[{number}]") for number, seed in enumerate(input.seeds)],
        length=input.length,
        max_per_artist=input.max_per_artist,
        include_seed=input.include_seed,
        min_similarity=input.min_similarity,
        exclude_track_ids=[
            decode_id(track_id, "Track", f"excludeTrackIds[{number}]") for number, track_id in enumerate(excluded)
        ],
    )


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


@strawberry.type
class JobMutation:
    """Mutations of jobs."""

    @mutation(
        "Asks for a playlist. The answer waits briefly, so that a job whose seeds are all in the library "
        "comes back done; follow a longer one with `jobProgress` or `job`."
    )
    async def generate_playlist(self, info: Info, input: GeneratePlaylistInput) -> GeneratePlaylistResult:
        """Make the job and wait a little."""
        context = info.context
        wait_ms = context.parts.settings.generation_wait_ms
        request = jobs_pb2.CreateGenerationJobRequest(
            idempotency_key=input.idempotency_key if input.idempotency_key is not None else str(uuid7()),
            recipe=_recipe(input),
            title=input.title or "",
            visibility=input.visibility.value if input.visibility else playlists_pb2.VISIBILITY_UNSPECIFIED,
            wait_ms=wait_ms,
        )
        method = context.parts.upstream.jobs.CreateGenerationJob
        answer = await context.call(method, request, extra_time_s=wait_ms / 1000)
        return GeneratePlaylistSuccess(job=Job.from_message(answer.job))

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
            context.refresh()
            limit_time(context.parts.settings.request_timeout_s)
            return await read_job(context, uuid)

        with live.hub.bells.watch(f"job/{uuid}") as bell:
            job = await read()
            yield job
            while job.state not in FINAL_STATES:
                await live.hub.until_news(bell, SOCIAL_EVENTS)
                bell.take()
                last, job = job, await live.asking.patiently(read)
                if job != last:
                    yield job
