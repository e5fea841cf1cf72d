"""What goes on with the people whom the caller follows."""

from datetime import datetime
from enum import Enum
from typing import Self

import strawberry
from strawberry import field

from museed.social.v1 import feed_pb2
from services.gateway.context import Info
from services.gateway.schema.comment import Comment, find_comment
from services.gateway.schema.fields import identity, member, resolver
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.playlist import Playlist, find_playlist
from services.gateway.schema.user import User, load_user
from services.gateway.schema.values import to_datetime


@strawberry.enum(description="What somebody did.")
class ActivityKind(Enum):
    """Social's values."""

    CREATED = member(feed_pb2.ACTIVITY_KIND_CREATED, "Made a public playlist.")
    LIKED = member(feed_pb2.ACTIVITY_KIND_LIKED, "Liked a playlist.")
    SAVED = member(feed_pb2.ACTIVITY_KIND_SAVED, "Saved a playlist as an own copy.")
    FOLLOWED = member(feed_pb2.ACTIVITY_KIND_FOLLOWED, "Followed somebody.")
    COMMENTED = member(feed_pb2.ACTIVITY_KIND_COMMENTED, "Commented a playlist.")


@strawberry.type(description="Something that somebody did.")
class Activity:
    """An activity; what says nothing for its kind is null."""

    id: strawberry.ID = identity("Activity", "activity_id")
    activity_id: strawberry.ID = field(description="Its UUID.")
    kind: ActivityKind = field(description="What it was.")
    at: datetime = field(description="When.")
    actor_id: strawberry.ID = field(description="UUID of who did it.")
    playlist_id: strawberry.ID | None = field(description="UUID of the playlist that it was done to.")
    user_id: strawberry.ID | None = field(description="UUID of who is followed.")
    comment_id: strawberry.ID | None = field(description="UUID of the comment.")

    @resolver("Who did it.")
    async def actor(self, info: Info) -> User | None:
        """Load them together with all others of the document."""
        return await load_user(info.context, self.actor_id)

    @resolver("The playlist that it was done to; null where there is none, or none any more.")
    async def playlist(self, info: Info) -> Playlist | None:
        """Load it together with all others of the document."""
        return await find_playlist(info.context, self.playlist_id or "")

    @resolver("Who is followed; null but for FOLLOWED.")
    async def user(self, info: Info) -> User | None:
        """Load them together with all others of the document."""
        return await load_user(info.context, self.user_id)

    @resolver("The comment; null but for COMMENTED, and where it is gone or hidden.")
    async def comment(self, info: Info) -> Comment | None:
        """Load it together with all others of the document."""
        return await find_comment(info.context, self.comment_id) if self.comment_id else None

    @classmethod
    def from_message(cls, message: feed_pb2.Activity) -> Self:
        """Translate social's message."""
        return cls(
            activity_id=strawberry.ID(message.activity_id),
            kind=ActivityKind(message.kind),
            at=to_datetime(message.at),
            actor_id=strawberry.ID(message.actor_id),
            playlist_id=strawberry.ID(message.playlist_id) if message.playlist_id else None,
            user_id=strawberry.ID(message.user_id) if message.user_id else None,
            comment_id=strawberry.ID(message.comment_id) if message.comment_id else None,
        )


@strawberry.type
class FeedQuery:
    """The query of the feed."""

    @resolver(
        "What the people whom the caller follows did, newest first. A page may be short, or empty, and go on; nothing "
        "is left out or repeated."
    )
    async def feed(self, info: Info, first: First = 20, after: After = None) -> Connection[Activity] | None:
        """List it."""
        page = page_request(first, after)
        request = feed_pb2.ListFeedRequest(page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.feed.ListFeed, request)
        nodes = [Activity.from_message(each) for each in answer.activities]
        return connection_from_page(page, nodes, answer.next_page_token)
