"""Playlists made from sound: asked for with all its rules, and made once more from the recipe that is kept."""

from typing import Annotated

import strawberry
from strawberry import field

from museed.social.v1 import jobs_pb2, jobwork_pb2, playlists_pb2
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import key_or_new, mutation, resolver
from services.gateway.schema.job import Job
from services.gateway.schema.playlist import Playlist, Visibility, load_playlist
from services.gateway.schema.recipe_input import RecipeInput

KEY = "1 to 200 characters; repeating the request with it returns the same job for 24 hours."


@strawberry.input(description="What to make a playlist from, and how.")
class GeneratePlaylistInput(RecipeInput):
    """For `generatePlaylist`."""

    title: str | None = field(default=None, description="At most 200 characters; else it is named after the seeds.")
    visibility: Visibility | None = field(default=None, description="Who may open it; else PRIVATE.")
    idempotency_key: str | None = field(default=None, description=KEY)


@strawberry.input(description="Which playlist to make once more.")
class RegeneratePlaylistInput:
    """For `regeneratePlaylist`."""

    playlist_id: strawberry.ID = field(description="A playlist of the caller's own with a recipe.")
    replace: bool = field(
        description="Replace what was generated in it, and keep what a person added, at its end; "
        "false makes another playlist."
    )
    idempotency_key: str | None = field(default=None, description=KEY)


@strawberry.type(description="The job was accepted; a quick one is done already.")
class GeneratePlaylistSuccess:
    """Of `generatePlaylist`."""

    job: Job = field(description="The job.")

    @resolver("What came out; null while the job is under way. Watch it with `jobProgress`.")
    async def playlist(self, info: Info) -> Playlist | None:
        """Load it with its entries."""
        return await load_playlist(info.context, self.job.playlist_id) if self.job.playlist_id else None


@strawberry.type(description="The job was accepted; a quick one is done already.")
class RegeneratePlaylistSuccess:
    """Of `regeneratePlaylist`."""

    job: Job = field(description="The job.")

    @resolver("What came out; null while the job is under way. Watch it with `jobProgress`.")
    async def playlist(self, info: Info) -> Playlist | None:
        """Load it with its entries."""
        return await load_playlist(info.context, self.job.playlist_id) if self.job.playlist_id else None


GeneratePlaylistResult = Annotated[GeneratePlaylistSuccess | Refusal, strawberry.union("GeneratePlaylistResult")]
RegeneratePlaylistResult = Annotated[RegeneratePlaylistSuccess | Refusal, strawberry.union("RegeneratePlaylistResult")]


@strawberry.type
class GenerationMutation:
    """Mutations that make playlists from sound."""

    @mutation(
        "Asks for a playlist. The answer waits briefly, so that a job whose seeds are all in the library "
        "comes back done; follow a longer one with `jobProgress` or `job`."
    )
    async def generate_playlist(self, info: Info, input: GeneratePlaylistInput) -> GeneratePlaylistResult:
        """Make the job and wait a little."""
        context = info.context
        wait_ms = context.parts.settings.generation_wait_ms
        request = jobs_pb2.CreateGenerationJobRequest(
            idempotency_key=key_or_new(input.idempotency_key),
            recipe=input.to_message(),
            title=input.title or "",
            visibility=input.visibility.value if input.visibility else playlists_pb2.VISIBILITY_UNSPECIFIED,
            wait_ms=wait_ms,
        )
        method = context.parts.upstream.jobs.CreateGenerationJob
        answer = await context.call(method, request, extra_time_s=wait_ms / 1000)
        return GeneratePlaylistSuccess(job=Job.from_message(answer.job))

    @mutation(
        "Makes a playlist of the caller's own once more from its recipe, with what the library has now. "
        "The answer waits briefly, as that of `generatePlaylist` does."
    )
    async def regenerate_playlist(self, info: Info, input: RegeneratePlaylistInput) -> RegeneratePlaylistResult:
        """Make the job and wait a little."""
        context = info.context
        wait_ms = context.parts.settings.generation_wait_ms
        request = jobwork_pb2.CreateRegenerationJobRequest(
            idempotency_key=key_or_new(input.idempotency_key),
            playlist_id=decode_id(input.playlist_id, "Playlist", "playlistId"),
            replace=input.replace,
            wait_ms=wait_ms,
        )
        method = context.parts.upstream.playlist_jobs.CreateRegenerationJob
        answer = await context.call(method, request, extra_time_s=wait_ms / 1000)
        return RegeneratePlaylistSuccess(job=Job.from_message(answer.job))
