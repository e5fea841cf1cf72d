"""Likes of playlists: giving and taking back, what somebody likes, and what somebody made."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import field, relay

from museed.social.v1 import engagement_pb2, feed_pb2
from services.chassis import auth
from services.gateway.context import Info, RequestContext
from services.gateway.ids import decode_id
from services.gateway.playlist_loaders import PageKey
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import AnyId, mutation, resolver
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_of, page_request
from services.gateway.schema.playlist import Playlist
from services.gateway.schema.values import to_datetime

WhoLikes = Annotated[
    strawberry.ID | None, strawberry.argument(description="Global id or UUID of the person; else the caller.")
]


@strawberry.type(description="A playlist that somebody likes.")
class LikedPlaylistEdge:
    """An edge that says since when."""

    cursor: str = field(description="Give it as `after` to go on behind this playlist.")
    node: Playlist = field(description="The playlist.")
    liked_at: datetime = field(description="Since when they like it.")


@strawberry.type(description="Playlists that somebody likes, liked last first.")
class LikedPlaylistConnection:
    """A page of playlists."""

    page_info: relay.PageInfo = field(description="Whether and where it goes on.")
    edges: list[LikedPlaylistEdge] = field(description="The playlists, and since when they are liked.")
    nodes: list[Playlist] = field(description="The playlists alone.")


@strawberry.input(description="Which playlist.")
class LikePlaylistInput:
    """For `likePlaylist`."""

    playlist_id: strawberry.ID = field(description="The playlist, by `id` or `playlistId`.")


@strawberry.input(description="Which playlist.")
class UnlikePlaylistInput:
    """For `unlikePlaylist`."""

    playlist_id: strawberry.ID = field(description="The playlist, by `id` or `playlistId`.")


@strawberry.type(description="The caller likes the playlist.")
class LikePlaylistSuccess:
    """Of `likePlaylist`."""

    playlist: Playlist = field(description="With this like counted.")


@strawberry.type(description="The caller does not like the playlist any more.")
class UnlikePlaylistSuccess:
    """Of `unlikePlaylist`."""

    playlist: Playlist = field(description="Without the like.")


LikePlaylistResult = Annotated[LikePlaylistSuccess | Refusal, strawberry.union("LikePlaylistResult")]
UnlikePlaylistResult = Annotated[UnlikePlaylistSuccess | Refusal, strawberry.union("UnlikePlaylistResult")]


async def liked_by(
    context: RequestContext, user_id: str, first: int, after: str | None, *, is_asked_alone: bool = False
) -> LikedPlaylistConnection:
    """Return what a person likes: first pages of many people in one call, further ones by themselves.

    Raises:
        NotFound: USER_NOT_FOUND, where one person is asked for alone.
    """
    page = page_request(first, after)
    found: feed_pb2.LikedPlaylistsOfUser | feed_pb2.ListLikedPlaylistsResponse | None
    if page.token or is_asked_alone:
        request = feed_pb2.ListLikedPlaylistsRequest(user_id=user_id, page_size=page.size, page_token=page.token)
        found = await context.call(context.parts.upstream.feed.ListLikedPlaylists, request)
    else:
        found = await context.loaders.of_playlists.liked_by_users.load(PageKey(user_id, page.size))
    liked, next_token = ([], "") if found is None else (list(found.playlists), found.next_page_token)
    shown, page_info = page_of(page, liked, next_token)
    edges = [
        LikedPlaylistEdge(cursor=at, node=Playlist.from_message(one.playlist), liked_at=to_datetime(one.liked_at))
        for at, one in shown
    ]
    return LikedPlaylistConnection(page_info=page_info, edges=edges, nodes=[edge.node for edge in edges])


@strawberry.type
class LikingQuery:
    """Queries about what people like and made."""

    @resolver("The public playlists that a person likes, liked last first; to themselves also those that a link opens.")
    async def liked_playlists(
        self, info: Info, user_id: WhoLikes = None, first: First = 20, after: After = None
    ) -> LikedPlaylistConnection | None:
        """List them."""
        wanted = auth.require_viewer().user_id if user_id is None else decode_id(user_id, "User", "userId")
        return await liked_by(info.context, wanted, first, after, is_asked_alone=True)

    @resolver("The public playlists of a person, newest first.")
    async def playlists_of_user(
        self, info: Info, user_id: AnyId, first: First = 20, after: After = None
    ) -> Connection[Playlist] | None:
        """List them."""
        page = page_request(first, after)
        request = feed_pb2.ListPlaylistsOfUserRequest(
            user_id=decode_id(user_id, "User", "userId"), page_size=page.size, page_token=page.token
        )
        answer = await info.context.call(info.context.parts.upstream.feed.ListPlaylistsOfUser, request)
        nodes = [Playlist.from_message(each) for each in answer.playlists]
        return connection_from_page(page, nodes, answer.next_page_token)


@strawberry.type
class LikingMutation:
    """Mutations of likes."""

    @mutation("Likes a playlist that the caller may open; a liked one stays so.")
    async def like_playlist(self, info: Info, input: LikePlaylistInput) -> LikePlaylistResult:
        """Pass the like on."""
        request = engagement_pb2.LikePlaylistRequest(playlist_id=decode_id(input.playlist_id, "Playlist", "playlistId"))
        answer = await info.context.call(info.context.parts.upstream.engagement.LikePlaylist, request)
        return LikePlaylistSuccess(playlist=Playlist.from_message(answer.playlist))

    @mutation("Takes a like back; a playlist that is not liked stays so.")
    async def unlike_playlist(self, info: Info, input: UnlikePlaylistInput) -> UnlikePlaylistResult:
        """Pass the wish on."""
        request = engagement_pb2.UnlikePlaylistRequest(
            playlist_id=decode_id(input.playlist_id, "Playlist", "playlistId")
        )
        answer = await info.context.call(info.context.parts.upstream.engagement.UnlikePlaylist, request)
        return UnlikePlaylistSuccess(playlist=Playlist.from_message(answer.playlist))
