"""gRPC in: badges, and the picture of a person's taste."""

from collections.abc import Sequence
from datetime import datetime

import grpc

from museed.social.v1 import badges_pb2, badges_pb2_grpc
from services.chassis.auth import viewer
from services.social.domain import avatar, fields
from services.social.domain.badges import BADGES, Badge, Metric, tells_of_listening
from services.social.domain.ids import UserId, is_id
from services.social.errors.people import UserNotFound
from services.social.servicer.listening import known_user
from services.social.store import badges, charts
from services.social.store.database import Connection, Database
from services.social.wire import timestamp

# Fewer plays are no taste yet, and say which tracks they were.
LEAST_DRAWN_PLAYS = 10
_MOST_PEOPLE, _MOST_PICTURES = 100, 50


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
        user_id = known_user(request.user_id)
        async with self._database.connection() as connection:
            found = await _badges_of(connection, [user_id])
        if user_id not in found:
            raise UserNotFound(user_id)
        return badges_pb2.ListBadgesResponse(badges=found[user_id])

    async def BatchGetBadges(
        self,
        request: badges_pb2.BatchGetBadgesRequest,
        context: grpc.aio.ServicerContext[badges_pb2.BatchGetBadgesRequest, badges_pb2.BatchGetBadgesResponse],
    ) -> badges_pb2.BatchGetBadgesResponse:
        """List the badges of several people."""
        fields.count(len(request.user_ids), "user_ids", _MOST_PEOPLE)
        async with self._database.connection() as connection:
            found = await _badges_of(connection, _ids(request.user_ids))
        return badges_pb2.BatchGetBadgesResponse(
            users=[badges_pb2.BadgesOfUser(user_id=user_id, badges=of_user) for user_id, of_user in found.items()]
        )

    async def GetAvatar(
        self,
        request: badges_pb2.GetAvatarRequest,
        context: grpc.aio.ServicerContext[badges_pb2.GetAvatarRequest, badges_pb2.GetAvatarResponse],
    ) -> badges_pb2.GetAvatarResponse:
        """Draw a person's taste: of what they hear, else of what they made, else of nothing."""
        user_id = known_user(request.user_id)
        async with self._database.connection() as connection:
            found = await _pictures_of(connection, [user_id])
        if user_id not in found:
            raise UserNotFound(user_id)
        svg = found[user_id]
        return badges_pb2.GetAvatarResponse(svg=svg, etag=avatar.etag_of(svg))

    async def BatchGetAvatars(
        self,
        request: badges_pb2.BatchGetAvatarsRequest,
        context: grpc.aio.ServicerContext[badges_pb2.BatchGetAvatarsRequest, badges_pb2.BatchGetAvatarsResponse],
    ) -> badges_pb2.BatchGetAvatarsResponse:
        """Draw several people's tastes."""
        fields.count(len(request.user_ids), "user_ids", _MOST_PICTURES)
        async with self._database.connection() as connection:
            found = await _pictures_of(connection, _ids(request.user_ids))
        return badges_pb2.BatchGetAvatarsResponse(
            avatars=[
                badges_pb2.Avatar(user_id=user_id, svg=svg, etag=avatar.etag_of(svg)) for user_id, svg in found.items()
            ]
        )


async def _badges_of(connection: Connection, user_ids: Sequence[UserId]) -> dict[UserId, list[badges_pb2.Badge]]:
    """Return the badges of those whom the caller may see; how far they came, to themselves alone."""
    viewer_id = _viewer_id()
    are_open = await charts.are_open(connection, user_ids, viewer_id)
    earned = await badges.earned_by(connection, list(are_open))
    progress: dict[Metric, int] = {}
    if viewer_id in are_open:
        progress = await badges.metrics_of(connection, viewer_id)
    found = {}
    for user_id, is_open in are_open.items():
        shown = {key: at for key, at in earned[user_id].items() if is_open or not tells_of_listening(key[0])}
        own = progress if user_id == viewer_id else {}
        found[user_id] = [_badge(badge, own.get(badge.metric, 0), shown) for badge in BADGES]
    return found


async def _pictures_of(connection: Connection, user_ids: Sequence[UserId]) -> dict[UserId, bytes]:
    """Return the pictures of those whom the caller may see."""
    are_open = await charts.are_open(connection, user_ids, _viewer_id())
    tastes = await charts.genres_of_each(connection, [user_id for user_id, is_open in are_open.items() if is_open])
    for user_id, taste in tastes.items():
        if sum(one.count for one in taste) < LEAST_DRAWN_PLAYS:
            # Of one person there is one picture, whoever looks.
            tastes[user_id] = await charts.genres_made(connection, user_id, is_own=False)
    return {user_id: avatar.draw(tastes.get(user_id, [])) for user_id in are_open}


def _ids(given: Sequence[str]) -> list[UserId]:
    return sorted({UserId(one) for one in given if is_id(one)})


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
