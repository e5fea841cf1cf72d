"""gRPC in: generation of playlists as jobs."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import grpc

from museed.social.v1 import jobs_pb2, jobs_pb2_grpc
from services.chassis.auth import require_viewer
from services.chassis.server import time_left_s
from services.chassis.telemetry import request_id
from services.social import events, fields
from services.social.background import Bells, Nudge
from services.social.catalog import EmbeddingState, title_of
from services.social.errors import (
    IdempotencyKeyReused,
    JobNotFound,
    TooManyOpenJobs,
    TrackFailed,
    TrackNotFound,
    TrackNotReady,
    UploadNotFound,
)
from services.social.ids import JobId, UserId, is_id, new_id
from services.social.jobs import (
    IDEMPOTENCY_LIFE,
    LONGEST_WAIT_MS,
    MOST_SEEDS,
    GenerationRequest,
    Job,
    Recipe,
    check_key,
    check_recipe,
    check_seed,
    title_after,
)
from services.social.playlists import LONGEST_TITLE, Visibility
from services.social.servicer.playlists import to_visibility
from services.social.store import accounts, catalog, jobs, outbox, uploads
from services.social.store.database import Connection, Database
from services.social.wire import timestamp

_OPERATION = "CreateGenerationJob"
# Ends that another process wrote ring no bell here.
_REREAD_INTERVAL_S = 0.25
# What an answer needs of the caller's deadline.
_ANSWER_MARGIN_S = 0.25


class JobServicer(jobs_pb2_grpc.JobServiceServicer):
    """Serves JobService.

    Args:
        database: The truth.
        bells: Rung with a job's id when it has ended.
        due: Rung when a job is due.
        drop: Stops the work on a cancelled job in this process.
        open_jobs_per_user: Unfinished jobs that a person may have.
        clock: Time of day.
    """

    def __init__(
        self,
        database: Database,
        bells: Bells,
        due: Nudge,
        drop: Callable[[JobId], None],
        open_jobs_per_user: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._bells = bells
        self._due = due
        self._drop = drop
        self._open_jobs_per_user = open_jobs_per_user
        self._clock = clock

    async def CreateGenerationJob(
        self,
        request: jobs_pb2.CreateGenerationJobRequest,
        context: grpc.aio.ServicerContext[jobs_pb2.CreateGenerationJobRequest, jobs_pb2.CreateGenerationJobResponse],
    ) -> jobs_pb2.CreateGenerationJobResponse:
        """Ask for a playlist; the same key with the same request returns the same job."""
        user_id = UserId(require_viewer().user_id)
        key, wait_s = check_key(request.idempotency_key), _wait_s(request.wait_ms)
        wanted = GenerationRequest(
            _recipe(request.recipe),
            fields.line(request.title, "title", longest=LONGEST_TITLE),
            to_visibility(request.visibility) or Visibility.PRIVATE,
        )
        job = await self._create(user_id, key, wanted)
        return jobs_pb2.CreateGenerationJobResponse(job=_job(await self._until_ended(job, wait_s)))

    async def GetJob(
        self,
        request: jobs_pb2.GetJobRequest,
        context: grpc.aio.ServicerContext[jobs_pb2.GetJobRequest, jobs_pb2.GetJobResponse],
    ) -> jobs_pb2.GetJobResponse:
        """Return a job of the caller's own, after it ended or the wait is over."""
        wait_s = _wait_s(request.wait_ms)
        job = await self._read(_job_id(request.job_id), UserId(require_viewer().user_id))
        return jobs_pb2.GetJobResponse(job=_job(await self._until_ended(job, wait_s)))

    async def CancelJob(
        self,
        request: jobs_pb2.CancelJobRequest,
        context: grpc.aio.ServicerContext[jobs_pb2.CancelJobRequest, jobs_pb2.CancelJobResponse],
    ) -> jobs_pb2.CancelJobResponse:
        """Call off a job of the caller's own; one that has ended stays as it is."""
        user_id, job_id = UserId(require_viewer().user_id), _job_id(request.job_id)
        async with self._database.transaction() as connection:
            cancelled = await jobs.cancel(connection, job_id, user_id, self._clock())
            if cancelled is not None:
                await outbox.add(connection, events.job_progressed(cancelled))
        if cancelled is None:
            return jobs_pb2.CancelJobResponse(job=_job(await self._read(job_id, user_id)))
        self._drop(job_id)
        self._bells.ring(job_id)
        return jobs_pb2.CancelJobResponse(job=_job(cancelled))

    async def _create(self, user_id: UserId, key: str, wanted: GenerationRequest) -> Job:
        job_id, now, digest = JobId(new_id()), self._clock(), wanted.digest()
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            known_digest, known_id = await jobs.claim_key(
                connection, user_id, _OPERATION, key, digest, job_id, now, now + IDEMPOTENCY_LIFE
            )
            if known_digest != digest:
                raise IdempotencyKeyReused(key)
            if known_id != job_id:
                found = await jobs.find_job(connection, JobId(known_id), user_id)
                if found is None:
                    raise JobNotFound(known_id)
                return found
            count = await jobs.count_open(connection, user_id)
            if count >= self._open_jobs_per_user:
                raise TooManyOpenJobs(count, self._open_jobs_per_user)
            names = await self._seed_names(connection, wanted.recipe, user_id)
            titled = replace(wanted, title=wanted.title or title_after(names))
            job = await jobs.insert_job(connection, job_id, user_id, titled, request_id())
            await outbox.add(connection, events.job_progressed(job))
        self._due.ring()
        return job

    async def _seed_names(self, connection: Connection, recipe: Recipe, user_id: UserId) -> list[tuple[str, str]]:
        """Return title and artist of every seed.

        Raises:
            TrackNotFound, TrackNotReady, TrackFailed, UploadNotFound: A seed cannot be used; names which.
        """
        tracks = {track.track_id: track for track in await catalog.find_tracks(connection, recipe.track_ids)}
        lent = await uploads.find_uploads(connection, recipe.upload_ids, user_id, self._clock())
        names = []
        for index, seed in enumerate(recipe.seeds):
            field = f"recipe.seeds[{index}].{'upload_id' if seed.upload_id else 'track_id'}"
            if seed.upload_id is not None:
                if seed.upload_id not in lent:
                    raise UploadNotFound(seed.upload_id, field)
                names.append((title_of(os.fsencode(lent[seed.upload_id].file_name or "an upload")), ""))
            elif seed.track_id is not None:
                track = tracks.get(seed.track_id)
                if track is None:
                    raise TrackNotFound(seed.track_id, field)
                if track.state is EmbeddingState.FAILED:
                    raise TrackFailed(seed.track_id, field, track.failure_message)
                if not track.state.is_usable:
                    raise TrackNotReady(seed.track_id, field)
                names.append((track.title, track.artist))
        return names

    async def _read(self, job_id: JobId, user_id: UserId) -> Job:
        async with self._database.connection() as connection:
            job = await jobs.find_job(connection, job_id, user_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    async def _until_ended(self, job: Job, wait_s: float) -> Job:
        left_s = time_left_s()
        patience_s = wait_s if left_s is None else min(wait_s, left_s - _ANSWER_MARGIN_S)
        deadline = time.monotonic() + patience_s
        with self._bells.listening(job.job_id) as nudge:
            if wait_s > 0 and not job.state.is_final:
                job = await self._read(job.job_id, job.user_id)
            while not job.state.is_final and (left := deadline - time.monotonic()) > 0:
                await nudge.wait(min(left, _REREAD_INTERVAL_S))
                job = await self._read(job.job_id, job.user_id)
        return job


def _recipe(message: jobs_pb2.Recipe) -> Recipe:
    fields.count(len(message.seeds), "recipe.seeds", MOST_SEEDS)
    return check_recipe(
        [
            check_seed(seed.track_id, seed.upload_id, seed.weight, f"recipe.seeds[{index}]")
            for index, seed in enumerate(message.seeds)
        ],
        message.length if message.HasField("length") else None,
        message.max_per_artist if message.HasField("max_per_artist") else None,
        message.include_seed if message.HasField("include_seed") else None,
        message.min_similarity if message.HasField("min_similarity") else None,
        list(message.exclude_track_ids),
    )


def _wait_s(wait_ms: int) -> float:
    return fields.integer(wait_ms, "wait_ms", 0, LONGEST_WAIT_MS) / 1000


def _job_id(given: str) -> JobId:
    if not is_id(given):
        raise JobNotFound(given)
    return JobId(given)


def _job(job: Job) -> jobs_pb2.Job:
    return jobs_pb2.Job(
        job_id=job.job_id,
        state=jobs_pb2.JobState.Value(f"JOB_STATE_{job.state.value}"),
        progress=job.progress,
        playlist_id=job.playlist_id or "",
        failure_reason=job.failure_reason,
        failure_message=job.failure_message,
        attempt=job.attempt,
        created_at=timestamp(job.created_at),
        finished_at=None if job.finished_at is None else timestamp(job.finished_at),
    )
