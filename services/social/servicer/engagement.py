"""gRPC in: likes and comments of playlists."""

from collections.abc import Callable, Sequence
from datetime import datetime

import grpc

from museed.social.v1 import accounts_pb2, engagement_pb2, engagement_pb2_grpc
from services.chassis.auth import require_viewer
from services.social.actions import engaging
from services.social.domain import fields, paging
from services.social.domain.comments import Comment, check_text
from services.social.domain.idempotency import check_key, digest_of
from services.social.domain.ids import CommentId, PlaylistId, UserId, is_id
from services.social.errors.engagement import CommentNotFound
from services.social.servicer.playlist_messages import is_admin, person, playlist_id_of, shown
from services.social.store import accounts, comments, engagement, first_pages, playlists
from services.social.store.claims import Claim
from services.social.store.database import Database
from services.social.store.engagement import Liker
from services.social.wire import timestamp

_DEFAULT_PAGE, _LARGEST_PAGE = 20, 100
_MOST_PLAYLISTS, _MOST_COMMENTS = 100, 500
# Of 2,000 characters each, in one message.
_MOST_LISTED = 1_000


class EngagementServicer(engagement_pb2_grpc.EngagementServiceServicer):
    """Serves EngagementService. Who acts locks the own row of users; the playlist is held, never locked.

    Args:
        database: The truth.
        comments_per_hour: Of one person.
        clock: Time of day.
    """

    def __init__(self, database: Database, comments_per_hour: int, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._comments_per_hour = comments_per_hour
        self._clock = clock

    async def LikePlaylist(
        self,
        request: engagement_pb2.LikePlaylistRequest,
        context: grpc.aio.ServicerContext[engagement_pb2.LikePlaylistRequest, engagement_pb2.LikePlaylistResponse],
    ) -> engagement_pb2.LikePlaylistResponse:
        """Like a playlist; a liked one stays so."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            await engaging.like(connection, user_id, playlist_id, self._clock())
            answer = await shown(connection, playlist_id, user_id)
        return engagement_pb2.LikePlaylistResponse(playlist=answer)

    async def UnlikePlaylist(
        self,
        request: engagement_pb2.UnlikePlaylistRequest,
        context: grpc.aio.ServicerContext[engagement_pb2.UnlikePlaylistRequest, engagement_pb2.UnlikePlaylistResponse],
    ) -> engagement_pb2.UnlikePlaylistResponse:
        """Take a like back; a playlist that is not liked stays so."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            await engaging.unlike(connection, user_id, playlist_id, self._clock())
            answer = await shown(connection, playlist_id, user_id)
        return engagement_pb2.UnlikePlaylistResponse(playlist=answer)

    async def AddComment(
        self,
        request: engagement_pb2.AddCommentRequest,
        context: grpc.aio.ServicerContext[engagement_pb2.AddCommentRequest, engagement_pb2.AddCommentResponse],
    ) -> engagement_pb2.AddCommentResponse:
        """Comment a playlist; the same key with the same request is one comment."""
        user_id, key = UserId(require_viewer().user_id), check_key(request.idempotency_key)
        playlist_id, text = playlist_id_of(request.playlist_id), check_text(request.text)
        claim = Claim(user_id, "AddComment", key, digest_of(playlist_id=playlist_id, text=text))
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            made = await engaging.add_comment(
                connection, claim, playlist_id, text, self._comments_per_hour, self._clock()
            )
        return engagement_pb2.AddCommentResponse(comment=_comment(made))

    async def EditComment(
        self,
        request: engagement_pb2.EditCommentRequest,
        context: grpc.aio.ServicerContext[engagement_pb2.EditCommentRequest, engagement_pb2.EditCommentResponse],
    ) -> engagement_pb2.EditCommentResponse:
        """Change a comment of the caller's own."""
        user_id, comment_id = UserId(require_viewer().user_id), _comment_id(request.comment_id)
        text = check_text(request.text)
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            changed = await engaging.edit_comment(connection, user_id, comment_id, text, self._clock())
        return engagement_pb2.EditCommentResponse(comment=_comment(changed))

    async def DeleteComment(
        self,
        request: engagement_pb2.DeleteCommentRequest,
        context: grpc.aio.ServicerContext[engagement_pb2.DeleteCommentRequest, engagement_pb2.DeleteCommentResponse],
    ) -> engagement_pb2.DeleteCommentResponse:
        """Delete a comment of the caller's own, or of anybody on a playlist of theirs."""
        user_id, comment_id = UserId(require_viewer().user_id), _comment_id(request.comment_id)
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            playlist_id = await engaging.delete_comment(connection, user_id, comment_id, self._clock())
        return engagement_pb2.DeleteCommentResponse(playlist_id=playlist_id)

    async def ListComments(
        self,
        request: engagement_pb2.ListCommentsRequest,
        context: grpc.aio.ServicerContext[engagement_pb2.ListCommentsRequest, engagement_pb2.ListCommentsResponse],
    ) -> engagement_pb2.ListCommentsResponse:
        """List the comments of a playlist that the caller may open, newest first."""
        viewer_id, playlist_id = person(), playlist_id_of(request.playlist_id)
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        scope = _comments_scope(playlist_id)
        key = paging.decode_token(scope, request.page_token, [is_id])
        before = None if key is None else CommentId(str(key[0]))
        async with self._database.connection() as connection:
            await playlists.open_for(connection, playlist_id, viewer_id, is_admin=is_admin())
            found = await comments.comments_of(connection, playlist_id, viewer_id, is_admin(), before, size + 1)
        page = paging.cut(found, size, scope, _comment_key)
        return engagement_pb2.ListCommentsResponse(
            comments=[_comment(one) for one in page.items], next_page_token=page.next_token
        )

    async def ListLikers(
        self,
        request: engagement_pb2.ListLikersRequest,
        context: grpc.aio.ServicerContext[engagement_pb2.ListLikersRequest, engagement_pb2.ListLikersResponse],
    ) -> engagement_pb2.ListLikersResponse:
        """List who likes a playlist that the caller may open, newest first."""
        viewer_id, playlist_id = person(), playlist_id_of(request.playlist_id)
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        scope = _likers_scope(playlist_id)
        key = paging.decode_token(scope, request.page_token, [paging.is_time, is_id])
        after = None if key is None else (datetime.fromisoformat(str(key[0])), UserId(str(key[1])))
        async with self._database.connection() as connection:
            await playlists.open_for(connection, playlist_id, viewer_id)
            found = await engagement.likers_of(connection, playlist_id, viewer_id, after, size + 1)
        page = paging.cut(found, size, scope, _liker_key)
        return engagement_pb2.ListLikersResponse(
            likers=[_liker(one) for one in page.items], next_page_token=page.next_token
        )

    async def BatchGetComments(
        self,
        request: engagement_pb2.BatchGetCommentsRequest,
        context: grpc.aio.ServicerContext[
            engagement_pb2.BatchGetCommentsRequest, engagement_pb2.BatchGetCommentsResponse
        ],
    ) -> engagement_pb2.BatchGetCommentsResponse:
        """Return those of these comments that the lists of their playlists show to the caller."""
        fields.count(len(request.comment_ids), "comment_ids", _MOST_COMMENTS)
        wanted = [one for one in request.comment_ids if is_id(one)]
        async with self._database.connection() as connection:
            found = await comments.shown_comments(connection, person(), wanted)
        return engagement_pb2.BatchGetCommentsResponse(comments=[_comment(one) for one in found])

    async def BatchListComments(
        self,
        request: engagement_pb2.BatchListCommentsRequest,
        context: grpc.aio.ServicerContext[
            engagement_pb2.BatchListCommentsRequest, engagement_pb2.BatchListCommentsResponse
        ],
    ) -> engagement_pb2.BatchListCommentsResponse:
        """List the newest comments of those of these playlists that the caller may open."""
        size, wanted = _wanted(request.page_size, request.playlist_ids)
        fields.count(size * len(request.playlist_ids), "playlist_ids", _MOST_LISTED)
        async with self._database.snapshot() as connection:
            seen = await first_pages.openable_among(connection, person(), wanted)
            found = await first_pages.comments_of_each(connection, seen, person(), is_admin(), size + 1)
        answer = engagement_pb2.BatchListCommentsResponse()
        for playlist_id, listed in found.items():
            page = paging.cut(listed, size, _comments_scope(playlist_id), _comment_key)
            answer.playlists.add(
                playlist_id=playlist_id,
                comments=[_comment(one) for one in page.items],
                next_page_token=page.next_token,
            )
        return answer

    async def BatchListLikers(
        self,
        request: engagement_pb2.BatchListLikersRequest,
        context: grpc.aio.ServicerContext[
            engagement_pb2.BatchListLikersRequest, engagement_pb2.BatchListLikersResponse
        ],
    ) -> engagement_pb2.BatchListLikersResponse:
        """List the newest likers of those of these playlists that the caller may open."""
        size, wanted = _wanted(request.page_size, request.playlist_ids)
        async with self._database.snapshot() as connection:
            seen = await first_pages.openable_among(connection, person(), wanted)
            found = await first_pages.likers_of_each(connection, seen, person(), size + 1)
        answer = engagement_pb2.BatchListLikersResponse()
        for playlist_id, listed in found.items():
            page = paging.cut(listed, size, _likers_scope(playlist_id), _liker_key)
            answer.playlists.add(
                playlist_id=playlist_id, likers=[_liker(one) for one in page.items], next_page_token=page.next_token
            )
        return answer


def _wanted(page_size: int, playlist_ids: Sequence[str]) -> tuple[int, list[PlaylistId]]:
    fields.count(len(playlist_ids), "playlist_ids", _MOST_PLAYLISTS)
    size = paging.page_size(page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
    return size, [PlaylistId(one) for one in playlist_ids if is_id(one)]


def _comments_scope(playlist_id: PlaylistId) -> str:
    return f"ListComments {playlist_id}"


def _comment_key(found: Comment) -> Sequence[paging.KeyPart]:
    return (found.comment_id,)


def _likers_scope(playlist_id: PlaylistId) -> str:
    return f"ListLikers {playlist_id}"


def _liker_key(found: Liker) -> Sequence[paging.KeyPart]:
    return (found.at.isoformat(), found.person.user_id)


def _comment_id(given: str) -> CommentId:
    if not is_id(given):
        raise CommentNotFound(given)
    return CommentId(given)


def _comment(found: Comment) -> engagement_pb2.Comment:
    return engagement_pb2.Comment(
        comment_id=found.comment_id,
        playlist_id=found.playlist_id,
        author_id=found.author_id or "",
        text=found.text,
        created_at=timestamp(found.created_at),
        edited_at=None if found.edited_at is None else timestamp(found.edited_at),
        is_hidden=found.is_hidden,
    )


def _liker(found: Liker) -> engagement_pb2.Liker:
    user = accounts_pb2.User(
        user_id=found.person.user_id,
        username=found.person.username,
        nickname=found.person.nickname,
        created_at=timestamp(found.person.created_at),
    )
    return engagement_pb2.Liker(user=user, liked_at=timestamp(found.at))
