"""What people do with playlists of others."""

from museed.social.v1 import engagement_pb2
from services.social.domain.ids import new_id
from tests.integration.social.access_cases import EVERYBODY, ONLY_OWNER, OTHER, OWNER, Case, Cases, World
from tests.integration.social.access_cases.editing import NOT_BLOCKED
from tests.integration.social.access_cases.playlists import playlist


async def _comment(world: World, author: str) -> str:
    comment_id = new_id()
    await world.sql.execute(
        "INSERT INTO comments (comment_id, playlist_id, user_id, text, created_at) VALUES ($1, $2, $3, 'Hm', now())",
        comment_id,
        await playlist(world, "PUBLIC"),
        world.people[author].user_id,
    )
    return comment_id


async def _like_private(world: World) -> engagement_pb2.LikePlaylistRequest:
    return engagement_pb2.LikePlaylistRequest(playlist_id=await playlist(world))


async def _like_public(world: World) -> engagement_pb2.LikePlaylistRequest:
    return engagement_pb2.LikePlaylistRequest(playlist_id=await playlist(world, "PUBLIC"))


async def _unlike(world: World) -> engagement_pb2.UnlikePlaylistRequest:
    return engagement_pb2.UnlikePlaylistRequest(playlist_id=await playlist(world))


async def _add_private(world: World) -> engagement_pb2.AddCommentRequest:
    return engagement_pb2.AddCommentRequest(idempotency_key=new_id(), playlist_id=await playlist(world), text="Hm")


async def _add_public(world: World) -> engagement_pb2.AddCommentRequest:
    return engagement_pb2.AddCommentRequest(
        idempotency_key=new_id(), playlist_id=await playlist(world, "PUBLIC"), text="Hm"
    )


async def _edit(world: World) -> engagement_pb2.EditCommentRequest:
    return engagement_pb2.EditCommentRequest(comment_id=await _comment(world, OWNER), text="Mine")


async def _edit_others(world: World) -> engagement_pb2.EditCommentRequest:
    return engagement_pb2.EditCommentRequest(comment_id=await _comment(world, OTHER), text="Mine")


async def _delete(world: World) -> engagement_pb2.DeleteCommentRequest:
    return engagement_pb2.DeleteCommentRequest(comment_id=await _comment(world, OTHER))


async def _comments_private(world: World) -> engagement_pb2.ListCommentsRequest:
    return engagement_pb2.ListCommentsRequest(playlist_id=await playlist(world))


async def _comments_public(world: World) -> engagement_pb2.ListCommentsRequest:
    return engagement_pb2.ListCommentsRequest(playlist_id=await playlist(world, "PUBLIC"))


async def _likers_private(world: World) -> engagement_pb2.ListLikersRequest:
    return engagement_pb2.ListLikersRequest(playlist_id=await playlist(world))


CASES: Cases = {
    "EngagementService/LikePlaylist": Case(_like_private, ONLY_OWNER),
    "EngagementService/LikePlaylist, public": Case(_like_public, NOT_BLOCKED),
    "EngagementService/UnlikePlaylist": Case(_unlike, ONLY_OWNER),
    "EngagementService/AddComment": Case(_add_private, ONLY_OWNER),
    "EngagementService/AddComment, public": Case(_add_public, NOT_BLOCKED),
    "EngagementService/EditComment": Case(_edit, ONLY_OWNER),
    "EngagementService/EditComment, of another": Case(_edit_others, frozenset({OTHER})),
    "EngagementService/DeleteComment": Case(_delete, frozenset({OWNER, OTHER})),
    "EngagementService/ListComments": Case(_comments_private, ONLY_OWNER),
    "EngagementService/ListComments, public": Case(_comments_public, EVERYBODY),
    "EngagementService/ListLikers": Case(_likers_private, ONLY_OWNER),
    "EngagementService/BatchGetComments": "leaves out what is not for the caller: test_first_pages",
    "EngagementService/BatchListComments": "leaves out what is not for the caller: test_first_pages",
    "EngagementService/BatchListLikers": "leaves out what is not for the caller: test_first_pages",
}
