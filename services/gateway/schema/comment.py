"""Comments of playlists: listing, adding, changing and deleting them."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import strawberry
from strawberry import field, relay

from museed.social.v1 import engagement_pb2
from services.chassis.errors import NotFound
from services.gateway.context import Info, RequestContext
from services.gateway.ids import decode_id
from services.gateway.playlist_loaders import PageKey
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import key_or_new, mutation, resolver
from services.gateway.schema.paging import Connection, connection_from_page, page_request
from services.gateway.schema.user import User, load_user
from services.gateway.schema.values import to_datetime

if TYPE_CHECKING:
    from services.gateway.schema.playlist import Playlist

LazyPlaylist = Annotated["Playlist", strawberry.lazy("services.gateway.schema.playlist")]


@strawberry.type(description="What somebody said of a playlist.")
class Comment(relay.Node):
    """A comment as social shows it to the caller."""

    _id_attr: ClassVar[str | None] = "comment_id"

    comment_id: strawberry.ID = field(description="Its UUID.")
    text: str = field(description="1 to 2,000 characters.")
    created_at: datetime = field(description="When it was written.")
    edited_at: datetime | None = field(description="When it was last changed; null where it never was.")
    is_hidden: bool = field(description="Whether admins hid it: then only its author and admins see it.")
    playlist_id: strawberry.ID = field(description="UUID of the playlist that it is about.")
    author_id: strawberry.ID | None = field(description="UUID of who wrote it; null where the account was deleted.")

    @resolver("Who wrote it; null where the account was deleted.")
    async def author(self, info: Info) -> User | None:
        """Load the person together with all others of the document."""
        return await load_user(info.context, self.author_id)

    @resolver("The playlist that it is about; null when the caller may not open it any more.")
    async def playlist(self, info: Info) -> LazyPlaylist | None:
        """Load it together with all others of the document."""
        from services.gateway.schema.playlist import find_playlist

        return await find_playlist(info.context, self.playlist_id)

    @classmethod
    def from_message(cls, message: engagement_pb2.Comment) -> Self:
        """Translate social's message."""
        return cls(
            comment_id=strawberry.ID(message.comment_id),
            text=message.text,
            created_at=to_datetime(message.created_at),
            edited_at=to_datetime(message.edited_at) if message.HasField("edited_at") else None,
            is_hidden=message.is_hidden,
            playlist_id=strawberry.ID(message.playlist_id),
            author_id=strawberry.ID(message.author_id) if message.author_id else None,
        )


async def comments_of(context: RequestContext, playlist_id: str, first: int, after: str | None) -> Connection[Comment]:
    """Return what was said of a playlist: first pages of many in one call, further ones by themselves."""
    page = page_request(first, after)
    found: engagement_pb2.CommentsOfPlaylist | engagement_pb2.ListCommentsResponse | None
    if page.token:
        request = engagement_pb2.ListCommentsRequest(
            playlist_id=playlist_id, page_size=page.size, page_token=page.token
        )
        found = await context.call(context.parts.upstream.engagement.ListComments, request)
    else:
        found = await context.loaders.of_playlists.comments.load(PageKey(playlist_id, page.size))
    comments, next_token = ([], "") if found is None else (list(found.comments), found.next_page_token)
    return connection_from_page(page, [Comment.from_message(one) for one in comments], next_token)


async def find_comment(context: RequestContext, comment_id: str) -> Comment | None:
    """Return a comment through the loader; None where there is none that the caller may see."""
    message = await context.loaders.comments.load(comment_id)
    return None if message is None else Comment.from_message(message)


async def require_comment(context: RequestContext, comment_id: str) -> Comment:
    """Return a comment through the loader.

    Raises:
        NotFound: COMMENT_NOT_FOUND.
    """
    comment = await find_comment(context, comment_id)
    if comment is None:
        raise NotFound("there is no such comment", reason="COMMENT_NOT_FOUND", field="id", value=comment_id)
    return comment


async def _playlist_now(context: RequestContext, playlist_id: str) -> "Playlist | None":
    from services.gateway.schema.playlist import load_playlist

    try:
        return await load_playlist(context, playlist_id)
    except NotFound:
        return None


@strawberry.input(description="What to say of a playlist.")
class AddCommentInput:
    """For `addComment`."""

    playlist_id: strawberry.ID = field(description="The playlist, by `id` or `playlistId`.")
    text: str = field(description="1 to 2,000 characters.")
    idempotency_key: str | None = field(
        default=None,
        description="1 to 200 characters; repeating the request with it returns the same comment for 24 hours.",
    )


@strawberry.input(description="What to say instead.")
class EditCommentInput:
    """For `editComment`."""

    comment_id: strawberry.ID = field(description="The comment, by `id` or `commentId`.")
    text: str = field(description="1 to 2,000 characters.")


@strawberry.input(description="Which comment.")
class DeleteCommentInput:
    """For `deleteComment`."""

    comment_id: strawberry.ID = field(description="The comment, by `id` or `commentId`.")


@strawberry.type(description="The comment was added.")
class AddCommentSuccess:
    """Of `addComment`."""

    comment: Comment = field(description="The comment.")

    @resolver("The playlist with this comment counted.")
    async def playlist(self, info: Info) -> LazyPlaylist | None:
        """Read it by itself, which knows the newest: lists of playlists are a second behind."""
        return await _playlist_now(info.context, self.comment.playlist_id)


@strawberry.type(description="The comment was changed.")
class EditCommentSuccess:
    """Of `editComment`."""

    comment: Comment = field(description="As it is now.")


@strawberry.type(description="The comment was deleted.")
class DeleteCommentSuccess:
    """Of `deleteComment`."""

    deleted_comment_id: strawberry.ID = field(description="UUID of what is gone.")
    playlist_id: strawberry.ID = field(description="UUID of the playlist that it was about.")

    @resolver("That playlist as it is now; null when the caller may not open it any more.")
    async def playlist(self, info: Info) -> LazyPlaylist | None:
        """Read it by itself, which knows the newest."""
        return await _playlist_now(info.context, self.playlist_id)


AddCommentResult = Annotated[AddCommentSuccess | Refusal, strawberry.union("AddCommentResult")]
EditCommentResult = Annotated[EditCommentSuccess | Refusal, strawberry.union("EditCommentResult")]
DeleteCommentResult = Annotated[DeleteCommentSuccess | Refusal, strawberry.union("DeleteCommentResult")]


@strawberry.type
class CommentMutation:
    """Mutations of comments."""

    @mutation("Comments a playlist that the caller may open.")
    async def add_comment(self, info: Info, input: AddCommentInput) -> AddCommentResult:
        """Pass it on."""
        request = engagement_pb2.AddCommentRequest(
            idempotency_key=key_or_new(input.idempotency_key),
            playlist_id=decode_id(input.playlist_id, "Playlist", "playlistId"),
            text=input.text,
        )
        answer = await info.context.call(info.context.parts.upstream.engagement.AddComment, request)
        return AddCommentSuccess(comment=Comment.from_message(answer.comment))

    @mutation("Changes a comment of the caller's own.")
    async def edit_comment(self, info: Info, input: EditCommentInput) -> EditCommentResult:
        """Pass the change on."""
        request = engagement_pb2.EditCommentRequest(
            comment_id=decode_id(input.comment_id, "Comment", "commentId"), text=input.text
        )
        answer = await info.context.call(info.context.parts.upstream.engagement.EditComment, request)
        return EditCommentSuccess(comment=Comment.from_message(answer.comment))

    @mutation("Deletes a comment of the caller's own, or of anybody on a playlist of theirs; a deleted one stays so.")
    async def delete_comment(self, info: Info, input: DeleteCommentInput) -> DeleteCommentResult:
        """Pass the wish on."""
        comment_id = decode_id(input.comment_id, "Comment", "commentId")
        request = engagement_pb2.DeleteCommentRequest(comment_id=comment_id)
        answer = await info.context.call(info.context.parts.upstream.engagement.DeleteComment, request)
        return DeleteCommentSuccess(
            deleted_comment_id=strawberry.ID(comment_id), playlist_id=strawberry.ID(answer.playlist_id)
        )
