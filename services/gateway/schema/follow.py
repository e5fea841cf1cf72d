"""Following and blocking people."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import field, relay

from museed.social.v1 import people_pb2
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import mutation, resolver
from services.gateway.schema.paging import After, First, page_of, page_request
from services.gateway.schema.profile import Relation
from services.gateway.schema.user import User, load_user
from services.gateway.schema.values import to_datetime


@strawberry.type(description="Somebody whom the caller blocks.")
class BlockedUserEdge:
    """A block."""

    cursor: str = field(description="Give it as `after` to go on behind this person.")
    node: User = field(description="The person.")
    blocked_at: datetime = field(description="Since when.")


@strawberry.type(description="A page of whom the caller blocks.")
class BlockedUserConnection:
    """Newest first."""

    page_info: relay.PageInfo = field(description="Whether and where it goes on.")
    edges: list[BlockedUserEdge] = field(description="The people with their cursors.")
    nodes: list[User] = field(description="The people alone.")


@strawberry.input(description="Whom to follow.")
class FollowUserInput:
    """For `followUser`."""

    user_id: strawberry.ID = field(description="The person, by `id` or `userId`.")


@strawberry.input(description="Whom to follow no more.")
class UnfollowUserInput:
    """For `unfollowUser`."""

    user_id: strawberry.ID = field(description="The person, by `id` or `userId`.")


@strawberry.input(description="Whom to block.")
class BlockUserInput:
    """For `blockUser`."""

    user_id: strawberry.ID = field(description="The person, by `id` or `userId`.")


@strawberry.input(description="Whom to block no more.")
class UnblockUserInput:
    """For `unblockUser`."""

    user_id: strawberry.ID = field(description="The person, by `id` or `userId`.")


@strawberry.interface(description="A person and the caller after a change between them.")
class Related:
    """What the changes between two people return."""

    user_id: strawberry.ID = field(description="UUID of the person.")
    relation: Relation = field(description="What they and the caller are to each other now.")

    @resolver("The person; null where they block the caller.")
    async def user(self, info: Info) -> User | None:
        """Load them."""
        return await load_user(info.context, self.user_id)


@strawberry.type(description="The caller follows them.")
class FollowUserSuccess(Related):
    """Of `followUser`."""


@strawberry.type(description="The caller does not follow them.")
class UnfollowUserSuccess(Related):
    """Of `unfollowUser`."""


@strawberry.type(description="The caller blocks them; neither follows the other.")
class BlockUserSuccess(Related):
    """Of `blockUser`."""


@strawberry.type(description="The caller does not block them.")
class UnblockUserSuccess(Related):
    """Of `unblockUser`."""


FollowUserResult = Annotated[FollowUserSuccess | Refusal, strawberry.union("FollowUserResult")]
UnfollowUserResult = Annotated[UnfollowUserSuccess | Refusal, strawberry.union("UnfollowUserResult")]
BlockUserResult = Annotated[BlockUserSuccess | Refusal, strawberry.union("BlockUserResult")]
UnblockUserResult = Annotated[UnblockUserSuccess | Refusal, strawberry.union("UnblockUserResult")]


@strawberry.type
class FollowQuery:
    """Queries about blocks."""

    @resolver("Whom the caller blocks, newest first.")
    async def blocked_users(self, info: Info, first: First = 20, after: After = None) -> BlockedUserConnection | None:
        """List them."""
        page = page_request(first, after)
        request = people_pb2.ListBlockedUsersRequest(page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.people.ListBlockedUsers, request)
        shown, page_info = page_of(page, answer.blocked, answer.next_page_token)
        edges = [
            BlockedUserEdge(cursor=at, node=User.from_message(each.user), blocked_at=to_datetime(each.blocked_at))
            for at, each in shown
        ]
        return BlockedUserConnection(page_info=page_info, edges=edges, nodes=[edge.node for edge in edges])


@strawberry.type
class FollowMutation:
    """Mutations between people."""

    @mutation("Follows a person; whom one follows already stays so.")
    async def follow_user(self, info: Info, input: FollowUserInput) -> FollowUserResult:
        """Pass the wish on."""
        user_id = decode_id(input.user_id, "User", "userId")
        method = info.context.parts.upstream.people.Follow
        answer = await info.context.call(method, people_pb2.FollowRequest(user_id=user_id))
        return FollowUserSuccess(user_id=strawberry.ID(user_id), relation=Relation.from_message(answer.relation))

    @mutation("Follows a person no more; whom one does not follow stays so.")
    async def unfollow_user(self, info: Info, input: UnfollowUserInput) -> UnfollowUserResult:
        """Pass the wish on."""
        user_id = decode_id(input.user_id, "User", "userId")
        method = info.context.parts.upstream.people.Unfollow
        answer = await info.context.call(method, people_pb2.UnfollowRequest(user_id=user_id))
        return UnfollowUserSuccess(user_id=strawberry.ID(user_id), relation=Relation.from_message(answer.relation))

    @mutation(
        "Blocks a person: neither follows, likes or comments the other from now on, nor sees them in lists and feeds."
    )
    async def block_user(self, info: Info, input: BlockUserInput) -> BlockUserResult:
        """Pass the wish on."""
        user_id = decode_id(input.user_id, "User", "userId")
        method = info.context.parts.upstream.people.BlockUser
        answer = await info.context.call(method, people_pb2.BlockUserRequest(user_id=user_id))
        return BlockUserSuccess(user_id=strawberry.ID(user_id), relation=Relation.from_message(answer.relation))

    @mutation("Ends a block; nobody follows again by it.")
    async def unblock_user(self, info: Info, input: UnblockUserInput) -> UnblockUserResult:
        """Pass the wish on."""
        user_id = decode_id(input.user_id, "User", "userId")
        method = info.context.parts.upstream.people.UnblockUser
        answer = await info.context.call(method, people_pb2.UnblockUserRequest(user_id=user_id))
        return UnblockUserSuccess(user_id=strawberry.ID(user_id), relation=Relation.from_message(answer.relation))
