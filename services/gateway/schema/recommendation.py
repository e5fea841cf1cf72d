"""What the caller might like: people of a like taste, tracks, and a mix for each day."""

from datetime import date
from enum import Enum
from typing import Annotated, Self

import strawberry
from strawberry import field, relay

from museed.social.v1 import recommendations_pb2
from services.gateway.context import Info
from services.gateway.schema.fields import member, resolver
from services.gateway.schema.paging import After, First, list_window, page_of_list, page_request
from services.gateway.schema.track import Track, load_track
from services.gateway.schema.user import User
from services.gateway.schema.values import round_single, to_date

# As many as social tells at all.
_MOST_USERS, _MOST_TRACKS = 100, 200

Day = Annotated[date | None, strawberry.argument(description="Today or one of the 6 days before, in UTC; else today.")]
Blend = Annotated[
    float | None,
    strawberry.argument(
        description="Part of what others hear, from 0, sound alone, to 1, others alone; else it rises with what is "
        "known of the caller."
    ),
]


@strawberry.enum(description="How a recommendation came about.")
class RecommendationSource(Enum):
    """Social's values."""

    SOUND = member(recommendations_pb2.RECOMMENDATION_SOURCE_SOUND, "It sounds like what the caller hears.")
    BEHAVIOUR = member(
        recommendations_pb2.RECOMMENDATION_SOURCE_BEHAVIOUR, "Others hear it who hear what the caller hears."
    )
    BOTH = member(recommendations_pb2.RECOMMENDATION_SOURCE_BOTH, "Both.")
    POPULAR = member(
        recommendations_pb2.RECOMMENDATION_SOURCE_POPULAR,
        "It is heard a lot: nothing is known of the caller yet, or what they hear leads to nothing.",
    )


@strawberry.type(description="A track that might please, and why.")
class RecommendedTrack:
    """A recommendation."""

    track_id: strawberry.ID = field(description="UUID of the track.")
    source: RecommendationSource = field(description="By what it was found.")
    similarity: float | None = field(
        description="Cosine to the caller's taste, −1 to 1; null where sound did not find it."
    )
    because_track_id: strawberry.ID | None = field(
        description="UUID of the caller's track that others hear together with it; null where they did not lead to it."
    )

    @resolver("The track; null when it was deleted.")
    async def track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return await load_track(info.context, self.track_id)

    @resolver("The caller's track that others hear together with it.")
    async def because_track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return await load_track(info.context, self.because_track_id) if self.because_track_id else None

    @classmethod
    def from_message(cls, message: recommendations_pb2.RecommendedTrack) -> Self:
        """Translate social's message."""
        return cls(
            track_id=strawberry.ID(message.track_id),
            source=RecommendationSource(message.source),
            similarity=round_single(message.similarity) if message.HasField("similarity") else None,
            because_track_id=strawberry.ID(message.because_track_id) if message.because_track_id else None,
        )


@strawberry.type(description="A track that might please.")
class RecommendedTrackEdge:
    """A place."""

    cursor: str = field(description="Give it as `after` to go on behind this one.")
    node: RecommendedTrack = field(description="The recommendation.")


@strawberry.type(description="Tracks that the caller has not heard and might like, at most 200.")
class RecommendedTrackConnection:
    """Best first."""

    page_info: relay.PageInfo = field(description="Whether and where it goes on.")
    edges: list[RecommendedTrackEdge] = field(description="The recommendations with their cursors.")
    nodes: list[RecommendedTrack] = field(description="The recommendations alone.")
    blend: float = field(description="Part of what others hear that was used, 0 to 1.")
    is_sound_away: bool = field(
        description="Whether sound could not be asked now, so that what others hear answers alone."
    )


@strawberry.type(description="Somebody of a like taste.")
class RecommendedUserEdge:
    """A place."""

    cursor: str = field(description="Give it as `after` to go on behind this one.")
    node: User = field(description="The person.")
    similarity: float = field(description="Cosine of both tastes, −1 to 1.")


@strawberry.type(description="People of a like taste, at most 100.")
class RecommendedUserConnection:
    """Most alike first."""

    page_info: relay.PageInfo = field(description="Whether and where it goes on.")
    edges: list[RecommendedUserEdge] = field(description="The people with their cursors.")
    nodes: list[User] = field(description="The people alone.")


@strawberry.type(description="The caller's mix of a day; it stays as it is once it was made.")
class DailyMix:
    """A day's tracks."""

    day: date = field(description="The day, in UTC.")
    tracks: list[RecommendedTrack] = field(
        description="In playing order, at most 50; none where there was nothing to make it of."
    )


@strawberry.type
class RecommendationQuery:
    """Queries about what the caller might like."""

    @resolver("People of a taste like the caller's whom they do not follow yet; nobody before the first play.")
    async def recommended_users(
        self, info: Info, first: First = 20, after: After = None
    ) -> RecommendedUserConnection | None:
        """Ask for so many as reach behind the page."""
        page = page_request(first, after)
        count = min(list_window(page)[1] + 1, _MOST_USERS)
        method = info.context.parts.upstream.recommendations.ListRecommendedUsers
        answer = await info.context.call(method, recommendations_pb2.ListRecommendedUsersRequest(count=count))
        shown, page_info = page_of_list(page, answer.users)
        edges = [
            RecommendedUserEdge(cursor=at, node=User.from_message(each.user), similarity=round_single(each.similarity))
            for at, each in shown
        ]
        return RecommendedUserConnection(page_info=page_info, edges=edges, nodes=[edge.node for edge in edges])

    @resolver("Tracks that the caller has not heard and might like: by sound, and by what others hear.")
    async def recommended_tracks(
        self, info: Info, first: First = 20, after: After = None, blend: Blend = None
    ) -> RecommendedTrackConnection | None:
        """Ask for so many as reach behind the page."""
        page = page_request(first, after)
        count = min(list_window(page)[1] + 1, _MOST_TRACKS)
        request = recommendations_pb2.ListRecommendedTracksRequest(count=count, blend=blend)
        answer = await info.context.call(info.context.parts.upstream.recommendations.ListRecommendedTracks, request)
        shown, page_info = page_of_list(page, answer.tracks)
        edges = [RecommendedTrackEdge(cursor=at, node=RecommendedTrack.from_message(each)) for at, each in shown]
        return RecommendedTrackConnection(
            page_info=page_info,
            edges=edges,
            nodes=[edge.node for edge in edges],
            blend=round_single(answer.blend),
            is_sound_away=answer.is_sound_away,
        )

    @resolver("The caller's mix of a day.")
    async def daily_mix(self, info: Info, day: Day = None) -> DailyMix | None:
        """Read it."""
        request = recommendations_pb2.GetDailyMixRequest(day="" if day is None else day.isoformat())
        answer = await info.context.call(info.context.parts.upstream.recommendations.GetDailyMix, request)
        return DailyMix(day=to_date(answer.day), tracks=[RecommendedTrack.from_message(each) for each in answer.tracks])
