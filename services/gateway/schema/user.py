"""People as others see them."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import strawberry
from strawberry import field, relay

from museed.social.v1 import accounts_pb2, people_pb2
from services.chassis.errors import InvalidArgument, NotFound
from services.gateway.context import Info, RequestContext
from services.gateway.ids import decode_id
from services.gateway.schema.badge import Avatar, Badge
from services.gateway.schema.fields import resolver
from services.gateway.schema.listening import Listening, ListeningRange, Range, TopCount, check_top_count
from services.gateway.schema.paging import (
    After,
    Connection,
    First,
    PageRequest,
    connection_from_page,
    page_of,
    page_request,
)
from services.gateway.schema.profile import Profile, Relation
from services.gateway.schema.values import to_datetime
from services.gateway.user_loaders import ListeningOf, PageOf

if TYPE_CHECKING:
    from services.gateway.schema.liking import LikedPlaylistConnection
    from services.gateway.schema.playlist import Playlist

OneId = Annotated[strawberry.ID | None, strawberry.argument(description="Global id or UUID.")]
Username = Annotated[str | None, strawberry.argument(description="Unique name, case-insensitive.")]


@strawberry.type(description="A person as everybody may see them.")
class User(relay.Node):
    """Public part of an account; what goes beyond it is loaded when it is asked for."""

    _id_attr: ClassVar[str | None] = "user_id"

    user_id: strawberry.ID = field(description="Its UUID.")
    username: str = field(description="Unique name, case-insensitive.")
    nickname: str = field(description="Name shown to others.")
    created_at: datetime = field(description="When the account was made.")

    @resolver("Address of the picture of their taste for `<img src>`, an SVG.")
    def avatar_url(self, info: Info) -> str:
        """Name the route."""
        return f"{info.context.parts.settings.public_url}/users/{self.user_id}/avatar.svg"

    @resolver("The picture of their taste itself.")
    async def avatar(self, info: Info) -> Avatar | None:
        """Load it together with all others of the document."""
        message = await info.context.loaders.people.avatars.load(self.user_id)
        return None if message is None else Avatar.from_message(message)

    @resolver("Their figures.")
    async def profile(self, info: Info) -> Profile | None:
        """Load them together with all others of the document."""
        message = await info.context.loaders.people.profiles.load(self.user_id)
        return None if message is None else Profile.from_message(message)

    @resolver("What they and the caller are to each other; null for guests and for oneself.")
    async def relation(self, info: Info) -> Relation | None:
        """Take it from their figures."""
        message = await info.context.loaders.people.profiles.load(self.user_id)
        has_one = message is not None and message.HasField("relation")
        return Relation.from_message(message.relation) if message is not None and has_one else None

    @resolver("Who follows them, newest first.")
    async def followers(self, info: Info, first: First = 20, after: After = None) -> "FollowConnection | None":
        """Page through them; first pages of several people together."""
        page = page_request(first, after)
        key = PageOf(self.user_id, page.token, page.size)
        return FollowConnection.of(page, await info.context.loaders.people.followers.load(key))

    @resolver("Whom they follow, newest first.")
    async def following(self, info: Info, first: First = 20, after: After = None) -> "FollowConnection | None":
        """Page through them; first pages of several people together."""
        page = page_request(first, after)
        key = PageOf(self.user_id, page.token, page.size)
        return FollowConnection.of(page, await info.context.loaders.people.following.load(key))

    @resolver("Their public playlists, newest first.")
    async def playlists(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Annotated["Playlist", strawberry.lazy("services.gateway.schema.playlist")]] | None:
        """Page through them; first pages of several people together."""
        from services.gateway.schema.playlist import playlists_of

        return await playlists_of(info.context, self.user_id, first, after)

    @resolver(
        "The public playlists that they like, liked last first; where they are the caller also those that a link opens."
    )
    async def liked_playlists(
        self, info: Info, first: First = 20, after: After = None
    ) -> Annotated["LikedPlaylistConnection", strawberry.lazy("services.gateway.schema.liking")] | None:
        """Page through them; first pages of several people together."""
        from services.gateway.schema.liking import liked_by

        return await liked_by(info.context, self.user_id, first, after)

    @resolver("All badges there are, with what they have of each.")
    async def badges(self, info: Info) -> list[Badge] | None:
        """Load them together with all others of the document."""
        message = await info.context.loaders.people.badges.load(self.user_id)
        return None if message is None else [Badge.from_message(badge) for badge in message.badges]

    @resolver("What they listen to; null where they keep it to themselves. Of at most 20 people of a list.")
    async def listening(
        self, info: Info, range: Range = ListeningRange.ALL, top_count: TopCount = 10
    ) -> Listening | None:
        """Load it together with all others of the document."""
        check_top_count(top_count)
        key = ListeningOf(self.user_id, range.value, top_count)
        message = await info.context.loaders.people.listening.load(key)
        return None if message is None else Listening.from_message(message)

    @classmethod
    def from_message(cls, message: accounts_pb2.User) -> Self:
        """Translate social's message."""
        return cls(
            user_id=strawberry.ID(message.user_id),
            username=message.username,
            nickname=message.nickname,
            created_at=to_datetime(message.created_at),
        )


@strawberry.type(description="Somebody who follows, or is followed.")
class FollowEdge:
    """The other end of a follow."""

    cursor: str = field(description="Give it as `after` to go on behind this person.")
    node: User = field(description="The person.")
    followed_at: datetime = field(description="Since when.")


@strawberry.type(description="A page of who follows, or of who is followed.")
class FollowConnection:
    """Newest first."""

    page_info: relay.PageInfo = field(description="Whether and where it goes on.")
    edges: list[FollowEdge] = field(description="The people with their cursors.")
    nodes: list[User] = field(description="The people alone.")

    @classmethod
    def of(cls, page: PageRequest, message: people_pb2.FollowPage | None) -> Self | None:
        """Make it of social's page."""
        if message is None:
            return None
        shown, info = page_of(page, message.edges, message.next_page_token)
        edges = [
            FollowEdge(cursor=at, node=User.from_message(edge.user), followed_at=to_datetime(edge.followed_at))
            for at, edge in shown
        ]
        return cls(page_info=info, edges=edges, nodes=[edge.node for edge in edges])


async def load_user(context: RequestContext, user_id: str | None) -> User | None:
    """Return a person through the loader; None for nobody, and where there is none for the caller."""
    message = await context.loaders.users.load(user_id) if user_id else None
    return None if message is None else User.from_message(message)


NameStart = Annotated[str, strawberry.argument(description="Beginning of a username or a nickname, whatever the case.")]


@strawberry.type
class UserQuery:
    """Queries about people."""

    @resolver("People by username or nickname, without those whom a block keeps apart from the caller.")
    async def search_users(
        self, info: Info, query: NameStart, first: First = 20, after: After = None
    ) -> Connection[User] | None:
        """Search."""
        page = page_request(first, after)
        request = people_pb2.SearchPeopleRequest(query=query, page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.people.SearchPeople, request)
        return connection_from_page(page, [User.from_message(one) for one in answer.users], answer.next_page_token)

    @resolver("A person by id or by username, one of both.")
    async def user(self, info: Info, id: OneId = None, username: Username = None) -> User | None:
        """Ask for the whole profile, which most documents want more of."""
        context = info.context
        if (id is None) == (username is None):
            raise InvalidArgument("name a person by id or by username", reason="USER_AMBIGUOUS", field="id")
        if id is not None:
            user_id = decode_id(id, "User", "id")
            profile = await context.loaders.people.profiles.load(user_id)
            if profile is None:
                raise NotFound("there is no such user", reason="USER_NOT_FOUND", field="id", value=id)
        else:
            request = people_pb2.GetProfileRequest(username=username or "")
            profile = (await context.call(context.parts.upstream.people.GetProfile, request)).profile
            context.loaders.people.profiles.prime(profile.user.user_id, profile)
        return User.from_message(profile.user)
