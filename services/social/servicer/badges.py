"""gRPC in: badges, and the picture of a person's taste."""

from datetime import datetime

import grpc

from museed.social.v1 import badges_pb2, badges_pb2_grpc
from services.chassis.auth import viewer
from services.social.domain import avatar
from services.social.domain.badges import BADGES, Badge, Metric, tells_of_listening
from services.social.domain.ids import UserId
from services.social.errors.people import UserNotFound
from services.social.servicer.listening import known_user
from services.social.store import badges, charts
from services.social.store.database import Database
from services.social.wire import timestamp

# Fewer plays are no taste yet, and say which tracks they were.
LEAST_DRAWN_PLAYS = 10


class BadgeServicer(badges_pb2_grpc.BadgeServiceServicer):
    """Serves BadgeService. Who is not listed is drawn for themselves alone, and shows nobody what they hear."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ListBadges(
        self,
        request: badges_pb2.ListBadgesRequest,
        context: grpc.aio.ServicerContext[badges_pb2.ListBadgesRequest, badges_pb2.ListBadgesResponse],
    ) -> badges_pb2.ListBadgesResponse:
        """List all badges with what a person has of each, and to themselves how far they came."""
        user_id, viewer_id = known_user(request.user_id), _viewer_id()
        progress: dict[Metric, int] = {}
        async with self._database.connection() as connection:
            is_open = await charts.is_open(connection, user_id, viewer_id)
            if is_open is None:
                raise UserNotFound(user_id)
            if viewer_id == user_id:
                progress = await badges.metrics_of(connection, user_id)
            earned = await badges.earned_by(connection, user_id)
        if not is_open:
            earned = {key: at for key, at in earned.items() if not tells_of_listening(key[0])}
        return badges_pb2.ListBadgesResponse(
            badges=[_badge(badge, progress.get(badge.metric, 0), earned) for badge in BADGES]
        )

    async def GetAvatar(
        self,
        request: badges_pb2.GetAvatarRequest,
        context: grpc.aio.ServicerContext[badges_pb2.GetAvatarRequest, badges_pb2.GetAvatarResponse],
    ) -> badges_pb2.GetAvatarResponse:
        """Draw a person's taste: of what they hear, else of what they made, else of nothing."""
        user_id, viewer_id = known_user(request.user_id), _viewer_id()
        async with self._database.connection() as connection:
            is_open = await charts.is_open(connection, user_id, viewer_id)
            if is_open is None:
                raise UserNotFound(user_id)
            taste = await charts.genres_of(connection, user_id, None) if is_open else []
            if is_open and sum(one.count for one in taste) < LEAST_DRAWN_PLAYS:
                # Of one person there is one picture, whoever looks.
                taste = await charts.genres_made(connection, user_id, is_own=False)
        svg = avatar.draw(taste)
        return badges_pb2.GetAvatarResponse(svg=svg, etag=avatar.etag_of(svg))


def _viewer_id() -> UserId | None:
    who = viewer()
    return UserId(who.user_id) if who is not None and who.is_person else None


def _badge(badge: Badge, progress: int, earned: dict[tuple[str, int], datetime]) -> badges_pb2.Badge:
    tiers = []
    for tier, threshold in enumerate(badge.thresholds, start=1):
        at = earned.get((badge.name, tier))
        earned_at = None if at is None else timestamp(at)
        tiers.append(badges_pb2.BadgeTier(tier=tier, threshold=threshold, earned_at=earned_at))
    return badges_pb2.Badge(name=badge.name, rule=badge.rule, tiers=tiers, progress=progress)
