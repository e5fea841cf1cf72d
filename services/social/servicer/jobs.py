"""gRPC in: generation of playlists as jobs."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import grpc

from museed.social.v1 import jobs_pb2, jobs_pb2_grpc
from services.chassis.auth import require_viewer
from services.chassis.errors import PermissionDenied
from services.chassis.telemetry import request_id
from services.social import events
from services.social.actions.previewing import Previewer
from services.social.actions.seeding import seed_names
from services.social.domain import fields
from services.social.domain.accounts import Role
from services.social.domain.idempotency import check_key
from services.social.domain.ids import EncoderId, JobId, UserId
from services.social.domain.jobs import GenerationRequest, Job, Kind, title_after
from services.social.domain.playlists import LONGEST_TITLE, Visibility
from services.social.servicer.desk import JobDesk, to_job_id, to_wait_s
from services.social.servicer.playlist_messages import to_visibility
from services.social.servicer.recipe_messages import to_recipe
from services.social.store import jobs, outbox
from services.social.store.database import Connection

_OPERATION = "CreateGenerationJob"


class JobServicer(jobs_pb2_grpc.JobServiceServicer):
    """Serves JobService.

    Args:
        desk: Takes jobs in.
        drop: Stops the work on a cancelled job in this process.
        give_up: Gives up the switch to an encoder.
        previewer: Tells at once of words that cannot be heard.
    """

    def __init__(
        self,
        desk: JobDesk,
        drop: Callable[[JobId], None],
        give_up: Callable[[EncoderId, UserId], Awaitable[None]],
        previewer: Previewer,
    ) -> None:
        self._desk = desk
        self._previewer = previewer
        self._drop = drop
        self._give_up = give_up

    async def CreateGenerationJob(
        self,
        request: jobs_pb2.CreateGenerationJobRequest,
        context: grpc.aio.ServicerContext[jobs_pb2.CreateGenerationJobRequest, jobs_pb2.CreateGenerationJobResponse],
    ) -> jobs_pb2.CreateGenerationJobResponse:
        """Ask for a playlist; the same key with the same request returns the same job."""
        user_id = UserId(require_viewer().user_id)
        key, wait_s = check_key(request.idempotency_key), to_wait_s(request.wait_ms)
        wanted = GenerationRequest(
            to_recipe(request.recipe),
            fields.line(request.title, "title", longest=LONGEST_TITLE),
            to_visibility(request.visibility) or Visibility.PRIVATE,
        )

        async def make(connection: Connection, job_id: JobId) -> Job:
            names = await seed_names(connection, wanted.recipe, user_id, self._desk.clock())
            titled = replace(wanted, title=wanted.title or title_after(names))
            return await jobs.insert_job(connection, job_id, Kind.GENERATION, user_id, titled.to_json(), request_id())

        await self._previewer.check_words(user_id, wanted.recipe)
        job = await self._desk.ask(user_id, _OPERATION, key, wanted.digest(), make)
        return jobs_pb2.CreateGenerationJobResponse(job=self._desk.message(await self._desk.until_ended(job, wait_s)))

    async def GetJob(
        self,
        request: jobs_pb2.GetJobRequest,
        context: grpc.aio.ServicerContext[jobs_pb2.GetJobRequest, jobs_pb2.GetJobResponse],
    ) -> jobs_pb2.GetJobResponse:
        """Return a job of the caller's own, after it ended or the wait is over."""
        wait_s = to_wait_s(request.wait_ms)
        job = await self._desk.read(to_job_id(request.job_id), UserId(require_viewer().user_id))
        return jobs_pb2.GetJobResponse(job=self._desk.message(await self._desk.until_ended(job, wait_s)))

    async def CancelJob(
        self,
        request: jobs_pb2.CancelJobRequest,
        context: grpc.aio.ServicerContext[jobs_pb2.CancelJobRequest, jobs_pb2.CancelJobResponse],
    ) -> jobs_pb2.CancelJobResponse:
        """Call off a job of the caller's own; one that has ended stays as it is, and so does an account's deletion."""
        user_id, job_id = UserId(require_viewer().user_id), to_job_id(request.job_id)
        job = await self._desk.read(job_id, user_id)
        if job.kind is Kind.ENCODER_SWITCH and not job.state.is_final:
            if require_viewer().role != Role.ADMIN:
                raise PermissionDenied("only admins switch encoders")
            await self._give_up(EncoderId(job.request["encoder_id"]), user_id)
        async with self._desk.database.transaction() as connection:
            cancelled = await jobs.cancel(connection, job_id, user_id, self._desk.clock())
            if cancelled is not None:
                await outbox.add(connection, events.job_progressed(cancelled))
        if cancelled is None:
            return jobs_pb2.CancelJobResponse(job=self._desk.message(await self._desk.read(job_id, user_id)))
        self._drop(job_id)
        self._desk.bells.ring(job_id)
        return jobs_pb2.CancelJobResponse(job=self._desk.message(cancelled))
