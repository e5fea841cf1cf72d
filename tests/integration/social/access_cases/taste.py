"""Listening, recommendations, badges and trends."""

from museed.social.v1 import badges_pb2, listening_pb2
from tests.integration.social.access_cases import ADMIN, GUEST, ONLY_OWNER, OTHER, OWNER, Case, Cases, World


async def _listening(world: World) -> listening_pb2.GetListeningRequest:
    await world.sql.execute("UPDATE users SET is_listed = true WHERE user_id = $1", world.owner.user_id)
    return listening_pb2.GetListeningRequest(user_id=world.owner.user_id)


async def _listening_unlisted(world: World) -> listening_pb2.GetListeningRequest:
    await world.sql.execute("UPDATE users SET is_listed = false WHERE user_id = $1", world.owner.user_id)
    return listening_pb2.GetListeningRequest(user_id=world.owner.user_id)


async def _listening_suspended(world: World) -> listening_pb2.GetListeningRequest:
    somebody = await world.client.sign_up()
    await world.sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", somebody.user_id)
    return listening_pb2.GetListeningRequest(user_id=somebody.user_id)


async def _badges(world: World) -> badges_pb2.ListBadgesRequest:
    return badges_pb2.ListBadgesRequest(user_id=world.owner.user_id)


async def _avatar(world: World) -> badges_pb2.GetAvatarRequest:
    return badges_pb2.GetAvatarRequest(user_id=world.owner.user_id)


_NOT_BLOCKED = frozenset({GUEST, OWNER, OTHER, ADMIN})


CASES: Cases = {
    "ListeningService/RecordPlays": "records the caller's own; an id that is somebody else's is a duplicate",
    "ListeningService/ListHistory": "lists the caller's own",
    "ListeningService/DeleteHistory": "forgets the caller's own; ids of others' plays do nothing",
    "ListeningService/GetListening": Case(_listening, _NOT_BLOCKED),
    "ListeningService/GetListening, not listed": Case(_listening_unlisted, ONLY_OWNER),
    "ListeningService/GetListening, suspended": Case(_listening_suspended, frozenset()),
    "ListeningService/BatchGetListening": "leaves out whom the caller may not ask about; test_batches.py",
    "BadgeService/BatchGetBadges": "leaves out whom the caller may not see; test_batches.py",
    "BadgeService/BatchGetAvatars": "leaves out whom the caller may not see; test_batches.py",
    "RecommendationService/ListRecommendedUsers": "recommends to the caller",
    "RecommendationService/ListRecommendedTracks": "recommends to the caller",
    "RecommendationService/GetDailyMix": "the caller's own",
    "BadgeService/ListBadges": Case(_badges, _NOT_BLOCKED),
    "BadgeService/GetAvatar": Case(_avatar, _NOT_BLOCKED),
    "TrendService/ListTrends": "figures of the whole, for admins",
    "TrendService/ExportTrends": "figures of the whole, for admins",
}
