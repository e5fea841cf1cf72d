"""gRPC in: work on playlists that are there already, and lists of jobs."""

from datetime import timedelta

import grpc

from museed.social.v1 import jobwork_pb2, jobwork_pb2_grpc
from services.chassis.auth import require_viewer
from services.chassis.telemetry import request_id
from services.social.actions.job_replay import NotReplayed, ReplayedJob, replay_job
from services.social.actions.judging import judge
from services.social.domain import fields, paging
from services.social.domain.idempotency import check_key
from services.social.domain.ids import JobId, PlaylistId, UserId, is_id
from services.social.domain.jobs import Job, Kind, digest_of
from services.social.domain.rules import check_filter
from services.social.domain.suggestions import (
    DEFAULT_SUGGESTIONS,
    MOST_SUGGESTIONS,
    MOST_TRACKS,
    check_judgement,
)
from services.social.errors import OutOfRange
from services.social.errors.playlist_jobs import NoRecipe, PlaylistEmpty, UploadGone
from services.social.servicer.desk import to_wait_s
from services.social.servicer.jobwork_messages import (
    suggestion_message,
    to_job_state,
    to_kind,
    to_suggestion_state,
)
from services.social.servicer.playlist_messages import playlist_id_of
from services.social.servicer.playlist_schedules import MOST_PLAYLISTS, ScheduleRpcs, own_source
from services.social.servicer.recipe_messages import recipe_message, to_filter
from services.social.store import encoders, job_lists, jobs, remaking, uploads
from services.social.store import suggestions as rows
from services.social.store.database import Connection
from services.social.workers.kinds.extension import extension_request
from services.social.workers.kinds.regeneration import regeneration_request

_SHOWN = timedelta(days=30)
_PAGE_SIZE, _LARGEST_PAGE = 20, 100
_MOST_REPLAYED = 100
_MOST_JOBS = 100


class PlaylistJobServicer(ScheduleRpcs, jobwork_pb2_grpc.PlaylistJobServiceServicer):
    """Serves PlaylistJobService.

    Args:
        desk: Takes jobs in.
    """

    async def CreateExtensionJob(
        self,
        request: jobwork_pb2.CreateExtensionJobRequest,
        context: grpc.aio.ServicerContext[
            jobwork_pb2.CreateExtensionJobRequest, jobwork_pb2.CreateExtensionJobResponse
        ],
    ) -> jobwork_pb2.CreateExtensionJobResponse:
        """Ask for tracks that go with a playlist."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        key, wait_s = check_key(request.idempotency_key), to_wait_s(request.wait_ms)
        count = fields.integer(request.count, "count", 0, MOST_SUGGESTIONS) or DEFAULT_SUGGESTIONS
        wanted = extension_request(playlist_id, count, check_filter(to_filter(request.filter), "filter"))

        async def make(connection: Connection, job_id: JobId) -> Job:
            await own_source(connection, playlist_id, user_id)
            entry_count, _ = await remaking.end_of(connection, playlist_id)
            if entry_count == 0:
                raise PlaylistEmpty(playlist_id)
            if entry_count > MOST_TRACKS:
                raise OutOfRange("playlist_id", entry_count, MOST_TRACKS, "tracks")
            return await jobs.insert_job(
                connection, job_id, Kind.EXTENSION, user_id, wanted, request_id(), playlist_id=playlist_id
            )

        job = await self._desk.ask(user_id, "CreateExtensionJob", key, digest_of(wanted), make)
        ended = await self._desk.until_ended(job, wait_s)
        return jobwork_pb2.CreateExtensionJobResponse(job=self._desk.message(ended))

    async def ListSuggestions(
        self,
        request: jobwork_pb2.ListSuggestionsRequest,
        context: grpc.aio.ServicerContext[jobwork_pb2.ListSuggestionsRequest, jobwork_pb2.ListSuggestionsResponse],
    ) -> jobwork_pb2.ListSuggestionsResponse:
        """List what was suggested, best first."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        state = to_suggestion_state(request.state)
        size = paging.page_size(request.page_size, _PAGE_SIZE, _LARGEST_PAGE)
        scope = f"suggestions {playlist_id} {state}"
        key = paging.decode_token(scope, request.page_token, [_is_cosine, is_id])
        after = None if key is None else (float(key[0]), str(key[1]))
        async with self._desk.database.connection() as connection:
            await own_source(connection, playlist_id, user_id)
            found = await rows.page(connection, playlist_id, state, after, size + 1)
        page = paging.cut(found, size, scope, lambda one: [one.similarity, one.track_id])
        return jobwork_pb2.ListSuggestionsResponse(
            suggestions=[suggestion_message(one) for one in page.items], next_page_token=page.next_token
        )

    async def JudgeSuggestions(
        self,
        request: jobwork_pb2.JudgeSuggestionsRequest,
        context: grpc.aio.ServicerContext[jobwork_pb2.JudgeSuggestionsRequest, jobwork_pb2.JudgeSuggestionsResponse],
    ) -> jobwork_pb2.JudgeSuggestionsResponse:
        """Add suggestions, or refuse them."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        judgement = check_judgement(request.accept_track_ids, request.reject_track_ids)
        version, entry_ids = await judge(self._desk.database, user_id, playlist_id, judgement, self._desk.clock())
        return jobwork_pb2.JudgeSuggestionsResponse(version=version, entry_ids=entry_ids)

    async def CreateRegenerationJob(
        self,
        request: jobwork_pb2.CreateRegenerationJobRequest,
        context: grpc.aio.ServicerContext[
            jobwork_pb2.CreateRegenerationJobRequest, jobwork_pb2.CreateRegenerationJobResponse
        ],
    ) -> jobwork_pb2.CreateRegenerationJobResponse:
        """Ask for a playlist to be made again."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        key, wait_s = check_key(request.idempotency_key), to_wait_s(request.wait_ms)
        wanted = regeneration_request(playlist_id, replace=request.replace)

        async def make(connection: Connection, job_id: JobId) -> Job:
            recipe = (await own_source(connection, playlist_id, user_id)).recipe
            if recipe is None:
                raise NoRecipe(playlist_id)
            lent = await uploads.find_uploads(connection, recipe.upload_ids, user_id, self._desk.clock())
            serving = await encoders.serving(connection)
            heard = await uploads.sounds_of(connection, serving, recipe.upload_ids)
            for upload_id in recipe.upload_ids:
                if upload_id not in lent and upload_id not in heard:
                    raise UploadGone(upload_id)
            return await jobs.insert_job(connection, job_id, Kind.REGENERATION, user_id, wanted, request_id())

        job = await self._desk.ask(user_id, "CreateRegenerationJob", key, digest_of(wanted), make)
        ended = await self._desk.until_ended(job, wait_s)
        return jobwork_pb2.CreateRegenerationJobResponse(job=self._desk.message(ended))

    async def GetRecipe(
        self,
        request: jobwork_pb2.GetRecipeRequest,
        context: grpc.aio.ServicerContext[jobwork_pb2.GetRecipeRequest, jobwork_pb2.GetRecipeResponse],
    ) -> jobwork_pb2.GetRecipeResponse:
        """Return what a playlist was made from."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        async with self._desk.database.connection() as connection:
            source = await own_source(connection, playlist_id, user_id)
        if source.recipe is None:
            raise NoRecipe(playlist_id)
        return jobwork_pb2.GetRecipeResponse(recipe=recipe_message(source.recipe), encoder_id=source.encoder_id)

    async def BatchGetRecipes(
        self,
        request: jobwork_pb2.BatchGetRecipesRequest,
        context: grpc.aio.ServicerContext[jobwork_pb2.BatchGetRecipesRequest, jobwork_pb2.BatchGetRecipesResponse],
    ) -> jobwork_pb2.BatchGetRecipesResponse:
        """Return what those of these playlists were made from that are the caller's."""
        fields.count(len(request.playlist_ids), "playlist_ids", MOST_PLAYLISTS)
        user_id, wanted = (
            UserId(require_viewer().user_id),
            [PlaylistId(one) for one in request.playlist_ids if is_id(one)],
        )
        async with self._desk.database.connection() as connection:
            found = await remaking.find_recipes(connection, wanted, user_id)
        return jobwork_pb2.BatchGetRecipesResponse(
            recipes=[
                jobwork_pb2.KeptRecipe(playlist_id=playlist_id, recipe=recipe_message(recipe), encoder_id=encoder_id)
                for playlist_id, recipe, encoder_id in found
            ]
        )

    async def ListMyJobs(
        self,
        request: jobwork_pb2.ListMyJobsRequest,
        context: grpc.aio.ServicerContext[jobwork_pb2.ListMyJobsRequest, jobwork_pb2.ListMyJobsResponse],
    ) -> jobwork_pb2.ListMyJobsResponse:
        """List the caller's jobs, newest first."""
        user_id = UserId(require_viewer().user_id)
        size = paging.page_size(request.page_size, _PAGE_SIZE, _LARGEST_PAGE)
        scope = f"jobs {user_id} {request.open_only}"
        key = paging.decode_token(scope, request.page_token, [is_id])
        before = None if key is None else JobId(str(key[0]))
        since = self._desk.clock() - _SHOWN
        async with self._desk.database.connection() as connection:
            found = await job_lists.own_jobs(connection, user_id, since, before, size + 1, open_only=request.open_only)
        page = paging.cut(found, size, scope, lambda job: [job.job_id])
        return jobwork_pb2.ListMyJobsResponse(
            jobs=[self._desk.message(job) for job in page.items], next_page_token=page.next_token
        )

    async def BatchGetJobs(
        self,
        request: jobwork_pb2.BatchGetJobsRequest,
        context: grpc.aio.ServicerContext[jobwork_pb2.BatchGetJobsRequest, jobwork_pb2.BatchGetJobsResponse],
    ) -> jobwork_pb2.BatchGetJobsResponse:
        """Return those of these jobs that are the caller's."""
        fields.count(len(request.job_ids), "job_ids", _MOST_JOBS)
        user_id, wanted = UserId(require_viewer().user_id), [JobId(one) for one in request.job_ids if is_id(one)]
        async with self._desk.database.connection() as connection:
            found = await job_lists.own_jobs_among(connection, user_id, wanted)
        return jobwork_pb2.BatchGetJobsResponse(jobs=[self._desk.message(job) for job in found])

    async def ListJobs(
        self,
        request: jobwork_pb2.ListJobsRequest,
        context: grpc.aio.ServicerContext[jobwork_pb2.ListJobsRequest, jobwork_pb2.ListJobsResponse],
    ) -> jobwork_pb2.ListJobsResponse:
        """List everybody's jobs, newest first."""
        kind, state = to_kind(request.kind), to_job_state(request.state)
        size = paging.page_size(request.page_size, _PAGE_SIZE, _LARGEST_PAGE)
        scope = f"all jobs {kind} {state}"
        key = paging.decode_token(scope, request.page_token, [is_id])
        before = None if key is None else JobId(str(key[0]))
        since = self._desk.clock() - _SHOWN
        async with self._desk.database.connection() as connection:
            found = await job_lists.all_jobs(connection, kind, state, since, before, size + 1)
        page = paging.cut(found, size, scope, lambda job: [job.job_id])
        return jobwork_pb2.ListJobsResponse(
            jobs=[jobwork_pb2.OwnedJob(job=self._desk.message(job), user_id=job.user_id or "") for job in page.items],
            next_page_token=page.next_token,
        )

    async def ReplayJobs(
        self,
        request: jobwork_pb2.ReplayJobsRequest,
        context: grpc.aio.ServicerContext[jobwork_pb2.ReplayJobsRequest, jobwork_pb2.ReplayJobsResponse],
    ) -> jobwork_pb2.ReplayJobsResponse:
        """Have jobs that failed done again."""
        fields.count(len(request.job_ids), "job_ids", _MOST_REPLAYED)
        admin_id = UserId(require_viewer().user_id)
        done = [await self._replay(job_id, admin_id) for job_id in request.job_ids]
        self._desk.due.ring()
        return jobwork_pb2.ReplayJobsResponse(
            jobs=[
                jobwork_pb2.ReplayedJob(job_id=one.job_id, new_job_id=one.new_job_id or "", reason=one.reason or "")
                for one in done
            ]
        )

    async def _replay(self, job_id: str, admin_id: UserId) -> ReplayedJob:
        if not is_id(job_id):
            return ReplayedJob(JobId(job_id), reason=NotReplayed.JOB_NOT_FOUND)
        return await replay_job(self._desk.database, JobId(job_id), admin_id, self._desk.clock())


def _is_cosine(value: object) -> bool:
    """Say whether a number can be one, as far as rounding goes; the column is a `real`, which has no longer ones."""
    return paging.is_number(value) and isinstance(value, int | float) and abs(value) < 2
