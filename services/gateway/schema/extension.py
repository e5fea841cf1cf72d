"""Tracks that could be added to a playlist: asked for, listed, judged."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import jobwork_pb2
from services.chassis.errors import InvalidArgument
from services.gateway.context import Info, RequestContext
from services.gateway.ids import decode_id, decode_ids
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import AnyId, key_or_new, member, mutation, resolver
from services.gateway.schema.job import Job
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.playlist import Playlist, load_playlist
from services.gateway.schema.rules import TrackFilterInput
from services.gateway.schema.track import Track, load_track
from services.gateway.schema.values import round_single, to_datetime

_MOST_SUGGESTIONS = 100


@strawberry.enum(description="What became of a suggestion.")
class SuggestionState(Enum):
    """Social's states."""

    PROPOSED = member(jobwork_pb2.SUGGESTION_STATE_PROPOSED, "Nobody judged it yet.")
    ACCEPTED = member(jobwork_pb2.SUGGESTION_STATE_ACCEPTED, "It was added.")
    REJECTED = member(jobwork_pb2.SUGGESTION_STATE_REJECTED, "It was refused.")


WantedState = Annotated[SuggestionState, strawberry.argument(description="Which of them.")]


@strawberry.type(description="A track that could be added to a playlist.")
class Suggestion:
    """A suggestion with what became of it."""

    track_id: strawberry.ID = field(description="UUID of the track.")
    state: SuggestionState = field(description="What became of it.")
    similarity: float = field(description="Cosine to the playlist as judgements moved it, −1 to 1.")
    suggested_at: datetime = field(description="When it was suggested.")

    @resolver("The track; null when it was deleted.")
    async def track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return await load_track(info.context, self.track_id)

    @classmethod
    def from_message(cls, message: jobwork_pb2.Suggestion) -> Self:
        """Translate social's message."""
        return cls(
            track_id=strawberry.ID(message.track_id),
            state=SuggestionState(message.state),
            similarity=round_single(message.similarity),
            suggested_at=to_datetime(message.suggested_at),
        )


@strawberry.input(description="Which playlist to extend, and by what.")
class ExtendPlaylistInput:
    """For `extendPlaylist`."""

    playlist_id: strawberry.ID = field(description="A playlist of the caller's own of 1 to 500 tracks.")
    count: int | None = field(default=None, description="Suggestions wanted, 1 to 100; else 10.")
    filter: TrackFilterInput | None = field(default=None, description="Which tracks may be suggested; else all.")
    idempotency_key: str | None = field(
        default=None,
        description="1 to 200 characters; repeating the request with it returns the same job for 24 hours.",
    )


@strawberry.input(description="What to add of what was suggested, and what to refuse.")
class JudgeSuggestionsInput:
    """For `judgeSuggestions`."""

    playlist_id: strawberry.ID = field(description="The playlist, by `id` or `playlistId`.")
    accept_track_ids: list[strawberry.ID] | None = field(
        default=None, description="Tracks to add at the end, in this order; at most 100."
    )
    reject_track_ids: list[strawberry.ID] | None = field(
        default=None, description="Tracks to refuse; at most 100. What sounds like them is suggested less."
    )


@strawberry.type(description="The job was accepted; a quick one is done already.")
class ExtendPlaylistSuccess:
    """Of `extendPlaylist`."""

    job: Job = field(description="The job; its `playlistId` is the playlist that is extended.")
    playlist_id: strawberry.Private[str]

    @resolver("What nobody judged yet, best first: of this job, once that has ended, and of those before.")
    async def suggestions(self, info: Info, first: First = 20, after: After = None) -> Connection[Suggestion] | None:
        """List them."""
        return await list_suggestions(info.context, self.playlist_id, SuggestionState.PROPOSED, first, after)


@strawberry.type(description="The suggestions were judged; those that had been judged before stay as they were.")
class JudgeSuggestionsSuccess:
    """Of `judgeSuggestions`."""

    added_entry_ids: list[strawberry.ID] = field(description="Places that were added, in playing order.")
    playlist_id: strawberry.Private[str]

    @resolver("The playlist as it is now.")
    async def playlist(self, info: Info) -> Playlist | None:
        """Load it with its entries."""
        return await load_playlist(info.context, self.playlist_id)


ExtendPlaylistResult = Annotated[ExtendPlaylistSuccess | Refusal, strawberry.union("ExtendPlaylistResult")]
JudgeSuggestionsResult = Annotated[JudgeSuggestionsSuccess | Refusal, strawberry.union("JudgeSuggestionsResult")]


async def list_suggestions(
    context: RequestContext, playlist_id: str, state: SuggestionState, first: int, after: str | None
) -> Connection[Suggestion]:
    """Read a page of what was suggested for a playlist of the caller's.

    Raises:
        NotFound: There is no such playlist, or it is somebody else's.
    """
    page = page_request(first, after)
    request = jobwork_pb2.ListSuggestionsRequest(
        playlist_id=playlist_id, state=state.value, page_size=page.size, page_token=page.token
    )
    answer = await context.call(context.parts.upstream.playlist_jobs.ListSuggestions, request)
    nodes = [Suggestion.from_message(each) for each in answer.suggestions]
    return connection_from_page(page, nodes, answer.next_page_token)


def _count(count: int | None) -> int:
    if count == 0:  # upstream's 0 is "left out"
        raise InvalidArgument(
            f"count is 0, it must be 1 to {_MOST_SUGGESTIONS}",
            reason="OUT_OF_RANGE",
            field="count",
            value=0,
            limit=_MOST_SUGGESTIONS,
        )
    return count or 0


@strawberry.type
class ExtensionQuery:
    """Queries about suggestions."""

    @resolver("What was suggested for a playlist of the caller's own, best first.")
    async def suggestions(
        self,
        info: Info,
        playlist_id: AnyId,
        state: WantedState = SuggestionState.PROPOSED,
        first: First = 20,
        after: After = None,
    ) -> Connection[Suggestion] | None:
        """List them."""
        uuid = decode_id(playlist_id, "Playlist", "playlistId")
        return await list_suggestions(info.context, uuid, state, first, after)


@strawberry.type
class ExtensionMutation:
    """Mutations of suggestions."""

    @mutation(
        "Asks for tracks that could be added to a playlist of the caller's own. "
        "The answer waits briefly, as that of `generatePlaylist` does."
    )
    async def extend_playlist(self, info: Info, input: ExtendPlaylistInput) -> ExtendPlaylistResult:
        """Make the job and wait a little."""
        context = info.context
        wait_ms = context.parts.settings.generation_wait_ms
        playlist_id = decode_id(input.playlist_id, "Playlist", "playlistId")
        request = jobwork_pb2.CreateExtensionJobRequest(
            idempotency_key=key_or_new(input.idempotency_key),
            playlist_id=playlist_id,
            count=_count(input.count),
            wait_ms=wait_ms,
            filter=input.filter.to_message() if input.filter else None,
        )
        method = context.parts.upstream.playlist_jobs.CreateExtensionJob
        answer = await context.call(method, request, extra_time_s=wait_ms / 1000)
        return ExtendPlaylistSuccess(job=Job.from_message(answer.job), playlist_id=playlist_id)

    @mutation("Adds suggestions to a playlist of the caller's own, or refuses them: later ones are chosen by it.")
    async def judge_suggestions(self, info: Info, input: JudgeSuggestionsInput) -> JudgeSuggestionsResult:
        """Pass the judgements on."""
        request = jobwork_pb2.JudgeSuggestionsRequest(
            playlist_id=decode_id(input.playlist_id, "Playlist", "playlistId"),
            accept_track_ids=decode_ids(input.accept_track_ids or (), "Track", "acceptTrackIds"),
            reject_track_ids=decode_ids(input.reject_track_ids or (), "Track", "rejectTrackIds"),
        )
        answer = await info.context.call(info.context.parts.upstream.playlist_jobs.JudgeSuggestions, request)
        return JudgeSuggestionsSuccess(
            added_entry_ids=[strawberry.ID(each) for each in answer.entry_ids], playlist_id=request.playlist_id
        )
