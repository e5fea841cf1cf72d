"""gRPC in: what the caller might like."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import grpc

from museed.social.v1 import accounts_pb2, recommendations_pb2, recommendations_pb2_grpc
from services.chassis.auth import require_viewer
from services.social.actions.recommending import Recommender
from services.social.domain import fields
from services.social.domain.days import read_day, within_days
from services.social.domain.ids import UserId
from services.social.domain.recommendation import MOST_RECOMMENDED, Recommended
from services.social.store import accounts
from services.social.store.database import Database
from services.social.wire import timestamp

_DEFAULT_COUNT, _MOST_PEOPLE = 20, 100
_MIX_DAYS = 7


class RecommendationServicer(recommendations_pb2_grpc.RecommendationServiceServicer):
    """Serves RecommendationService, to each for themselves."""

    def __init__(self, database: Database, recommender: Recommender, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._recommender = recommender
        self._clock = clock

    async def ListRecommendedUsers(
        self,
        request: recommendations_pb2.ListRecommendedUsersRequest,
        context: grpc.aio.ServicerContext[
            recommendations_pb2.ListRecommendedUsersRequest, recommendations_pb2.ListRecommendedUsersResponse
        ],
    ) -> recommendations_pb2.ListRecommendedUsersResponse:
        """List listed people of a taste like the caller's."""
        user_id = UserId(require_viewer().user_id)
        count = fields.integer(request.count, "count", 0, _MOST_PEOPLE) or _DEFAULT_COUNT
        found = await self._recommender.people(user_id, count)
        async with self._database.connection() as connection:
            people = {one.user_id: one for one in await accounts.find_people(connection, [one for one, _ in found])}
        users = [
            recommendations_pb2.RecommendedUser(
                user=accounts_pb2.User(
                    user_id=one,
                    username=people[one].username,
                    nickname=people[one].nickname,
                    created_at=timestamp(people[one].created_at),
                ),
                similarity=similarity,
            )
            for one, similarity in found
            if one in people
        ]
        return recommendations_pb2.ListRecommendedUsersResponse(users=users)

    async def ListRecommendedTracks(
        self,
        request: recommendations_pb2.ListRecommendedTracksRequest,
        context: grpc.aio.ServicerContext[
            recommendations_pb2.ListRecommendedTracksRequest, recommendations_pb2.ListRecommendedTracksResponse
        ],
    ) -> recommendations_pb2.ListRecommendedTracksResponse:
        """List tracks that the caller might like."""
        user_id = UserId(require_viewer().user_id)
        count = fields.integer(request.count, "count", 0, MOST_RECOMMENDED) or _DEFAULT_COUNT
        blend = fields.number(request.blend, "blend", 0.0, 1.0) if request.HasField("blend") else None
        found = await self._recommender.tracks(user_id, blend)
        return recommendations_pb2.ListRecommendedTracksResponse(
            tracks=[_track(one) for one in found.tracks[:count]],
            blend=found.blend,
            is_sound_away=found.is_sound_away,
        )

    async def GetDailyMix(
        self,
        request: recommendations_pb2.GetDailyMixRequest,
        context: grpc.aio.ServicerContext[
            recommendations_pb2.GetDailyMixRequest, recommendations_pb2.GetDailyMixResponse
        ],
    ) -> recommendations_pb2.GetDailyMixResponse:
        """Return the caller's mix of a day."""
        user_id = UserId(require_viewer().user_id)
        today = self._clock().astimezone(UTC).date()
        day = read_day(request.day, "day") if request.day else today
        within_days(day, "day", today - timedelta(days=_MIX_DAYS - 1), today)
        tracks = await self._recommender.mix(user_id, day)
        return recommendations_pb2.GetDailyMixResponse(day=day.isoformat(), tracks=[_track(one) for one in tracks])


def _track(one: Recommended) -> recommendations_pb2.RecommendedTrack:
    return recommendations_pb2.RecommendedTrack(
        track_id=one.track_id,
        source=recommendations_pb2.RecommendationSource.Value(f"RECOMMENDATION_SOURCE_{one.source.value}"),
        similarity=one.similarity,
        because_track_id=one.because or "",
    )
