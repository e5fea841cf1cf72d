"""gRPC in: when playlists are made again by themselves; part of PlaylistJobService."""

import grpc

from museed.social.v1 import jobwork_pb2
from services.chassis.auth import require_viewer
from services.social.domain import fields
from services.social.domain.ids import PlaylistId, UserId, is_id
from services.social.domain.schedules import MOST_SCHEDULES, check_first
from services.social.errors import PlaylistNotFound
from services.social.errors.playlist_jobs import NoRecipe, TooManySchedules
from services.social.servicer.desk import JobDesk
from services.social.servicer.jobwork_messages import schedule_message, to_period
from services.social.servicer.playlist_messages import playlist_id_of
from services.social.store import accounts, remaking, schedules
from services.social.store.database import Connection
from services.social.wire import moment

# In a request that names several.
MOST_PLAYLISTS = 100


class ScheduleRpcs:
    """The RPCs about schedules.

    Args:
        desk: Has the database and the time of day.
    """

    def __init__(self, desk: JobDesk) -> None:
        self._desk = desk

    async def SetSchedule(
        self,
        request: jobwork_pb2.SetScheduleRequest,
        context: grpc.aio.ServicerContext[jobwork_pb2.SetScheduleRequest, jobwork_pb2.SetScheduleResponse],
    ) -> jobwork_pb2.SetScheduleResponse:
        """Have a playlist made again and again."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        every = to_period(request.every)
        given = moment(request.first_at, "first_at") if request.HasField("first_at") else None
        first_at = check_first(given, every, self._desk.clock())
        async with self._desk.database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            if await remaking.lock_version(connection, playlist_id, user_id) is None:
                raise PlaylistNotFound(playlist_id)
            if (await own_source(connection, playlist_id, user_id)).recipe is None:
                raise NoRecipe(playlist_id)
            others = await schedules.count_others(connection, user_id, playlist_id)
            if others >= MOST_SCHEDULES:
                raise TooManySchedules(others, MOST_SCHEDULES)
            schedule = await schedules.set_schedule(connection, playlist_id, user_id, every, first_at)
        return jobwork_pb2.SetScheduleResponse(schedule=schedule_message(schedule))

    async def ClearSchedule(
        self,
        request: jobwork_pb2.ClearScheduleRequest,
        context: grpc.aio.ServicerContext[jobwork_pb2.ClearScheduleRequest, jobwork_pb2.ClearScheduleResponse],
    ) -> jobwork_pb2.ClearScheduleResponse:
        """End that."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        async with self._desk.database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            await own_source(connection, playlist_id, user_id)
            await schedules.clear_schedule(connection, playlist_id, user_id)
        return jobwork_pb2.ClearScheduleResponse()

    async def GetSchedule(
        self,
        request: jobwork_pb2.GetScheduleRequest,
        context: grpc.aio.ServicerContext[jobwork_pb2.GetScheduleRequest, jobwork_pb2.GetScheduleResponse],
    ) -> jobwork_pb2.GetScheduleResponse:
        """Return the schedule of a playlist."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        async with self._desk.database.connection() as connection:
            await own_source(connection, playlist_id, user_id)
            found = await schedules.find_schedule(connection, playlist_id, user_id)
        return jobwork_pb2.GetScheduleResponse(schedule=None if found is None else schedule_message(found))

    async def BatchGetSchedules(
        self,
        request: jobwork_pb2.BatchGetSchedulesRequest,
        context: grpc.aio.ServicerContext[jobwork_pb2.BatchGetSchedulesRequest, jobwork_pb2.BatchGetSchedulesResponse],
    ) -> jobwork_pb2.BatchGetSchedulesResponse:
        """Return the schedules of those of these playlists that are the caller's."""
        fields.count(len(request.playlist_ids), "playlist_ids", MOST_PLAYLISTS)
        user_id, wanted = (
            UserId(require_viewer().user_id),
            [PlaylistId(one) for one in request.playlist_ids if is_id(one)],
        )
        async with self._desk.database.connection() as connection:
            found = await schedules.find_schedules(connection, wanted, user_id)
        return jobwork_pb2.BatchGetSchedulesResponse(schedules=[schedule_message(one) for one in found])


async def own_source(connection: Connection, playlist_id: PlaylistId, user_id: UserId) -> remaking.Source:
    """Return a playlist of this person's.

    Raises:
        PlaylistNotFound: There is none.
    """
    found = await remaking.find_source(connection, playlist_id, user_id)
    if found is None:
        raise PlaylistNotFound(playlist_id)
    return found
