"""What the caller heard: telling it, reading it, forgetting it."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import listening_pb2
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import identity, member, mutation, resolver
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.playlist import Playlist, find_playlist
from services.gateway.schema.track import Track, load_track
from services.gateway.schema.values import to_datetime, to_timestamp


@strawberry.enum(description="What became of a play.")
class PlayOutcome(Enum):
    """Social's values."""

    COUNTED = member(listening_pb2.PLAY_OUTCOME_COUNTED, "It counts.")
    TOO_SHORT = member(
        listening_pb2.PLAY_OUTCOME_TOO_SHORT,
        "Less than 30 s and less than half of the track was heard: kept, and does not count.",
    )
    TOO_SOON = member(
        listening_pb2.PLAY_OUTCOME_TOO_SOON,
        "The same track within 5 minutes of a play that counts: kept, and does not count.",
    )
    DUPLICATE = member(listening_pb2.PLAY_OUTCOME_DUPLICATE, "The play is known already.")
    UNKNOWN_TRACK = member(listening_pb2.PLAY_OUTCOME_UNKNOWN_TRACK, "There is no such track.")
    IN_FUTURE = member(listening_pb2.PLAY_OUTCOME_IN_FUTURE, "It is more than a minute ahead.")
    TOO_OLD = member(listening_pb2.PLAY_OUTCOME_TOO_OLD, "It is more than 14 days old.")
    TOO_MANY = member(listening_pb2.PLAY_OUTCOME_TOO_MANY, "5,000 plays of that day are kept already: it is not.")


@strawberry.type(description="A play of the caller's history.")
class HistoryEntry:
    """A play as it was told."""

    id: strawberry.ID = identity("Play", "play_id")
    play_id: strawberry.ID = field(description="Its UUID.")
    track_id: strawberry.ID = field(description="UUID of the track.")
    playlist_id: strawberry.ID | None = field(description="UUID of the playlist that it was played from.")
    played_at: datetime = field(description="When it began.")
    heard_seconds: float = field(description="Seconds of it that were heard.")
    is_counted: bool = field(description="Whether it counts.")

    @resolver("The track; null when it was deleted.")
    async def track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return await load_track(info.context, self.track_id)

    @resolver("The playlist that it was played from; null where there is none, or none any more.")
    async def playlist(self, info: Info) -> Playlist | None:
        """Load it together with all others of the document."""
        return await find_playlist(info.context, self.playlist_id or "")

    @classmethod
    def from_message(cls, message: listening_pb2.HistoryEntry) -> Self:
        """Translate social's message."""
        play = message.play
        return cls(
            play_id=strawberry.ID(play.play_id),
            track_id=strawberry.ID(play.track_id),
            playlist_id=strawberry.ID(play.playlist_id) if play.playlist_id else None,
            played_at=to_datetime(play.played_at),
            heard_seconds=play.heard_seconds,
            is_counted=message.is_counted,
        )


@strawberry.input(description="A play as the client saw it.")
class PlayInput:
    """One of `recordPlays`."""

    play_id: strawberry.ID = field(
        description="UUID that the client makes: a play has one, however often it is sent, and so counts once."
    )
    track_id: strawberry.ID = field(description="The track, by `id` or `trackId`.")
    playlist_id: strawberry.ID | None = field(default=None, description="The playlist that it was played from.")
    played_at: datetime = field(description="When it began, at most 14 days ago; without a zone it is UTC.")
    heard_seconds: float = field(description="Seconds of it that were heard, 0 to 86,400.")


@strawberry.input(description="What the caller heard.")
class RecordPlaysInput:
    """For `recordPlays`."""

    plays: list[PlayInput] = field(description="1 to 100.")


@strawberry.input(description="What to forget: single plays, or everything.")
class DeleteHistoryInput:
    """For `deleteHistory`."""

    play_ids: list[strawberry.ID] | None = field(default=None, description="At most 100.")
    all: bool = field(default=False, description="Everything that the caller ever heard.")


@strawberry.type(description="What became of a play.")
class RecordedPlay:
    """A play of the request."""

    play_id: strawberry.ID = field(description="Its UUID.")
    outcome: PlayOutcome = field(description="Whether it counts, and if not, why.")
    track_id: strawberry.ID = field(description="UUID of the track.")

    @resolver("The track; null where there is none.")
    async def track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return await load_track(info.context, self.track_id)


@strawberry.type(description="Social knows of the plays.")
class RecordPlaysSuccess:
    """Of `recordPlays`."""

    plays: list[RecordedPlay] = field(description="What became of each, in the order of the request.")


@strawberry.type(description="It is forgotten, in figures and taste too.")
class DeleteHistorySuccess:
    """Of `deleteHistory`."""

    deleted_play_ids: list[strawberry.ID] = field(description="UUIDs of the plays that were named; none for `all`.")


RecordPlaysResult = Annotated[RecordPlaysSuccess | Refusal, strawberry.union("RecordPlaysResult")]
DeleteHistoryResult = Annotated[DeleteHistorySuccess | Refusal, strawberry.union("DeleteHistoryResult")]


def _play(play: PlayInput, path: str) -> listening_pb2.Play:
    playlist_id = play.playlist_id
    return listening_pb2.Play(
        play_id=decode_id(play.play_id, "Play", f"{path}.playId"),
        track_id=decode_id(play.track_id, "Track", f"{path}.trackId"),
        playlist_id="" if playlist_id is None else decode_id(playlist_id, "Playlist", f"{path}.playlistId"),
        played_at=to_timestamp(play.played_at, f"{path}.playedAt"),
        heard_seconds=play.heard_seconds,
    )


@strawberry.type
class HistoryQuery:
    """The query of one's own history."""

    @resolver("What the caller heard, newest first.")
    async def history(self, info: Info, first: First = 50, after: After = None) -> Connection[HistoryEntry] | None:
        """List it."""
        page = page_request(first, after)
        request = listening_pb2.ListHistoryRequest(page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.listening.ListHistory, request)
        nodes = [HistoryEntry.from_message(each) for each in answer.entries]
        return connection_from_page(page, nodes, answer.next_page_token)


@strawberry.type
class HistoryMutation:
    """Mutations of one's own history."""

    @mutation("Records what the caller heard; a play that is known already is not counted again.")
    async def record_plays(self, info: Info, input: RecordPlaysInput) -> RecordPlaysResult:
        """Pass the plays on."""
        plays = [_play(play, f"plays[{number}]") for number, play in enumerate(input.plays)]
        method = info.context.parts.upstream.listening.RecordPlays
        answer = await info.context.call(method, listening_pb2.RecordPlaysRequest(plays=plays))
        return RecordPlaysSuccess(
            plays=[
                RecordedPlay(
                    play_id=strawberry.ID(play.play_id),
                    outcome=PlayOutcome(outcome),
                    track_id=strawberry.ID(play.track_id),
                )
                for play, outcome in zip(plays, answer.outcomes, strict=False)
            ]
        )

    @mutation("Forgets what the caller heard; what is gone stays so.")
    async def delete_history(self, info: Info, input: DeleteHistoryInput) -> DeleteHistoryResult:
        """Pass the wish on."""
        ids = [decode_id(one, "Play", f"playIds[{number}]") for number, one in enumerate(input.play_ids or [])]
        method = info.context.parts.upstream.listening.DeleteHistory
        await info.context.call(method, listening_pb2.DeleteHistoryRequest(play_ids=ids, all=input.all))
        return DeleteHistorySuccess(deleted_play_ids=[strawberry.ID(one) for one in ids])
