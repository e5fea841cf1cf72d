"""Has playlists made again and again, and ends that."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import field

from museed.social.v1 import jobwork_pb2
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import mutation, resolver
from services.gateway.schema.playlist import Playlist, load_playlist
from services.gateway.schema.schedule import Schedule, SchedulePeriod
from services.gateway.schema.values import to_timestamp


@strawberry.input(description="Which playlist to make again, and when.")
class SchedulePlaylistInput:
    """For `schedulePlaylist`."""

    playlist_id: strawberry.ID = field(description="A playlist of the caller's own with a recipe.")
    every: SchedulePeriod = field(description="How often.")
    first_at: datetime | None = field(
        default=None,
        description="When first, at most 31 days ahead; UTC where it names no zone; else one period from now.",
    )


@strawberry.input(description="Which playlist not to make again any more.")
class UnschedulePlaylistInput:
    """For `unschedulePlaylist`."""

    playlist_id: strawberry.ID = field(description="The playlist, by `id` or `playlistId`.")


@strawberry.type(description="The playlist will be made again; this schedule took the place of the one before.")
class SchedulePlaylistSuccess:
    """Of `schedulePlaylist`."""

    schedule: Schedule = field(description="The schedule.")

    @resolver("Its playlist.")
    async def playlist(self, info: Info) -> Playlist | None:
        """Load it with its entries."""
        return await load_playlist(info.context, self.schedule.playlist_id)


@strawberry.type(description="The playlist stays as it is; one without a schedule did before.")
class UnschedulePlaylistSuccess:
    """Of `unschedulePlaylist`."""

    playlist_id: strawberry.ID = field(description="UUID of the playlist.")

    @resolver("The playlist.")
    async def playlist(self, info: Info) -> Playlist | None:
        """Load it with its entries."""
        return await load_playlist(info.context, self.playlist_id)


SchedulePlaylistResult = Annotated[SchedulePlaylistSuccess | Refusal, strawberry.union("SchedulePlaylistResult")]
UnschedulePlaylistResult = Annotated[UnschedulePlaylistSuccess | Refusal, strawberry.union("UnschedulePlaylistResult")]


@strawberry.type
class SchedulingMutation:
    """Mutations of schedules."""

    @mutation("Has a playlist of the caller's own made again and again, from its recipe.")
    async def schedule_playlist(self, info: Info, input: SchedulePlaylistInput) -> SchedulePlaylistResult:
        """Pass the wish on."""
        request = jobwork_pb2.SetScheduleRequest(
            playlist_id=decode_id(input.playlist_id, "Playlist", "playlistId"),
            every=input.every.value,
            first_at=to_timestamp(input.first_at, "firstAt") if input.first_at is not None else None,
        )
        answer = await info.context.call(info.context.parts.upstream.playlist_jobs.SetSchedule, request)
        return SchedulePlaylistSuccess(schedule=Schedule.from_message(answer.schedule))

    @mutation("Ends the schedule of a playlist of the caller's own.")
    async def unschedule_playlist(self, info: Info, input: UnschedulePlaylistInput) -> UnschedulePlaylistResult:
        """Pass the wish on."""
        playlist_id = decode_id(input.playlist_id, "Playlist", "playlistId")
        request = jobwork_pb2.ClearScheduleRequest(playlist_id=playlist_id)
        await info.context.call(info.context.parts.upstream.playlist_jobs.ClearSchedule, request)
        return UnschedulePlaylistSuccess(playlist_id=strawberry.ID(playlist_id))
