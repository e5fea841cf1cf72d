"""gRPC in: people as others see them, and who follows or blocks whom."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import grpc

from museed.social.v1 import people_pb2, people_pb2_grpc
from services.chassis.auth import require_viewer
from services.social.domain import fields, paging
from services.social.domain.accounts import LONGEST_USERNAME, folded
from services.social.domain.activities import ActivityKind
from services.social.domain.ids import UserId, is_id
from services.social.domain.moderation import LONGEST_SEARCH
from services.social.domain.notifications import NotificationKind
from services.social.domain.people import MOST_BLOCKED, MOST_FOLLOWED, Edge
from services.social.errors import Missing
from services.social.errors.people import BlocklistFull, FollowLimitReached, OwnAccount, UserBlocked, UserNotFound
from services.social.events.people import user_followed, user_unfollowed
from services.social.servicer import keys, people_messages
from services.social.store import activities, follows, outbox, people_search, profiles
from services.social.store.database import Connection, Database
from services.social.wire import timestamp

_MOST_PROFILES = 100

_ReadEdges = Callable[[Connection, Sequence[UserId], UserId | None, int], Awaitable[dict[UserId, list[Edge]]]]


class PeopleServicer(people_pb2_grpc.PeopleServiceServicer):
    """Serves PeopleService."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def GetProfile(
        self,
        request: people_pb2.GetProfileRequest,
        context: grpc.aio.ServicerContext[people_pb2.GetProfileRequest, people_pb2.GetProfileResponse],
    ) -> people_pb2.GetProfileResponse:
        """Return a person's profile, with what is not counted yet."""
        if not (request.user_id or request.username):
            raise Missing("user_id")
        username = fields.line(request.username, "username", longest=LONGEST_USERNAME)
        viewer_id = keys.viewer_id()
        async with self._database.connection() as connection:
            if request.user_id:
                found = await profiles.find_profile(connection, viewer_id, user_id=keys.user_id(request.user_id))
            else:
                found = await profiles.find_profile(connection, viewer_id, username_key=folded(username))
        if found is None:
            raise UserNotFound(request.user_id or request.username, "user_id" if request.user_id else "username")
        is_own = found.member.user_id == viewer_id
        return people_pb2.GetProfileResponse(profile=people_messages.profile(found, is_own=is_own))

    async def BatchGetProfiles(
        self,
        request: people_pb2.BatchGetProfilesRequest,
        context: grpc.aio.ServicerContext[people_pb2.BatchGetProfilesRequest, people_pb2.BatchGetProfilesResponse],
    ) -> people_pb2.BatchGetProfilesResponse:
        """Return profiles by id, without the genres of what they made."""
        fields.count(len(request.user_ids), "user_ids", _MOST_PROFILES)
        viewer_id = keys.viewer_id()
        user_ids = [UserId(one) for one in set(request.user_ids) if is_id(one)]
        async with self._database.connection() as connection:
            found = await profiles.find_profiles(connection, viewer_id, user_ids)
        return people_pb2.BatchGetProfilesResponse(
            profiles=[people_messages.profile(one, is_own=one.member.user_id == viewer_id) for one in found]
        )

    async def ListFollowers(
        self,
        request: people_pb2.ListFollowersRequest,
        context: grpc.aio.ServicerContext[people_pb2.ListFollowersRequest, people_pb2.ListFollowersResponse],
    ) -> people_pb2.ListFollowersResponse:
        """List who follows a person."""
        user_id, viewer_id = keys.user_id(request.user_id), keys.viewer_id()
        size, scope = keys.page_size(request.page_size), f"ListFollowers {user_id}"
        after = keys.time_key(scope, request.page_token)
        async with self._database.connection() as connection:
            await check_visible(connection, viewer_id, user_id)
            found = await follows.followers(connection, user_id, viewer_id, after, size + 1)
        page = _follow_page(user_id, found, size, "ListFollowers")
        return people_pb2.ListFollowersResponse(followers=page.edges, next_page_token=page.next_page_token)

    async def ListFollowing(
        self,
        request: people_pb2.ListFollowingRequest,
        context: grpc.aio.ServicerContext[people_pb2.ListFollowingRequest, people_pb2.ListFollowingResponse],
    ) -> people_pb2.ListFollowingResponse:
        """List whom a person follows."""
        user_id, viewer_id = keys.user_id(request.user_id), keys.viewer_id()
        size, scope = keys.page_size(request.page_size), f"ListFollowing {user_id}"
        after = keys.time_key(scope, request.page_token)
        async with self._database.connection() as connection:
            await check_visible(connection, viewer_id, user_id)
            found = await follows.following(connection, user_id, viewer_id, after, size + 1)
        page = _follow_page(user_id, found, size, "ListFollowing")
        return people_pb2.ListFollowingResponse(following=page.edges, next_page_token=page.next_page_token)

    async def BatchGetFollowers(
        self,
        request: people_pb2.BatchGetFollowersRequest,
        context: grpc.aio.ServicerContext[people_pb2.BatchGetFollowersRequest, people_pb2.BatchGetFollowersResponse],
    ) -> people_pb2.BatchGetFollowersResponse:
        """Return the first followers of several people."""
        pages = await self._first_pages(request, "ListFollowers", follows.followers_of_each)
        return people_pb2.BatchGetFollowersResponse(pages=pages)

    async def BatchGetFollowing(
        self,
        request: people_pb2.BatchGetFollowingRequest,
        context: grpc.aio.ServicerContext[people_pb2.BatchGetFollowingRequest, people_pb2.BatchGetFollowingResponse],
    ) -> people_pb2.BatchGetFollowingResponse:
        """Return the first whom several people follow."""
        pages = await self._first_pages(request, "ListFollowing", follows.following_of_each)
        return people_pb2.BatchGetFollowingResponse(pages=pages)

    async def _first_pages(
        self,
        request: people_pb2.BatchGetFollowersRequest | people_pb2.BatchGetFollowingRequest,
        rpc: str,
        read: _ReadEdges,
    ) -> list[people_pb2.FollowPage]:
        """Return first pages, which go on by the tokens of the RPC for one person."""
        fields.count(len(request.user_ids), "user_ids", _MOST_PROFILES)
        size, viewer_id = keys.page_size(request.page_size), keys.viewer_id()
        user_ids = [UserId(one) for one in set(request.user_ids) if is_id(one)]
        async with self._database.connection() as connection:
            seen = await profiles.find_visible(connection, viewer_id, user_ids)
            found = await read(connection, list(seen), viewer_id, size + 1)
        return [_follow_page(user_id, found.get(user_id, []), size, rpc) for user_id in seen]

    async def Follow(
        self,
        request: people_pb2.FollowRequest,
        context: grpc.aio.ServicerContext[people_pb2.FollowRequest, people_pb2.FollowResponse],
    ) -> people_pb2.FollowResponse:
        """Follow a person; their rows are locked, so that blocks and the limit hold whoever else acts."""
        me, other = self._pair(request.user_id)
        now = self._clock()
        async with self._database.transaction() as connection:
            locked = await follows.lock_two(connection, me, other)
            between = await follows.blocks_between(connection, me, other)
            if between.by_first:
                raise UserBlocked(other)
            if locked is None or not locked["is_active"] or between.by_second:
                raise UserNotFound(other)
            before = (await follows.relations(connection, me, [other]))[other]
            if not before.is_following:
                await self._begin_to_follow(connection, me, other, now)
            after = (await follows.relations(connection, me, [other]))[other]
        return people_pb2.FollowResponse(relation=people_messages.relation(after))

    async def Unfollow(
        self,
        request: people_pb2.UnfollowRequest,
        context: grpc.aio.ServicerContext[people_pb2.UnfollowRequest, people_pb2.UnfollowResponse],
    ) -> people_pb2.UnfollowResponse:
        """Follow a person no more."""
        me, other = self._pair(request.user_id)
        now = self._clock()
        async with self._database.transaction() as connection:
            locked = await follows.lock_two(connection, me, other)
            since = await follows.delete_follow(connection, me, other)
            if since is not None:
                await follows.signal_follow(connection, me, other, since, -1)
                await outbox.add(connection, user_unfollowed(me, other, now))
            elif (
                locked is None
                or not locked["is_active"]
                or (await follows.blocks_between(connection, me, other)).by_second
            ):
                raise UserNotFound(other)
            after = (await follows.relations(connection, me, [other]))[other]
        return people_pb2.UnfollowResponse(relation=people_messages.relation(after))

    async def BlockUser(
        self,
        request: people_pb2.BlockUserRequest,
        context: grpc.aio.ServicerContext[people_pb2.BlockUserRequest, people_pb2.BlockUserResponse],
    ) -> people_pb2.BlockUserResponse:
        """Block a person, also one who blocks the caller; both stop following, and nobody is told."""
        me, other = self._pair(request.user_id)
        now = self._clock()
        async with self._database.transaction() as connection:
            locked = await follows.lock_two(connection, me, other)
            if locked is None or not locked["is_there"]:
                raise UserNotFound(other)
            if not (await follows.blocks_between(connection, me, other)).by_first:
                if await follows.count_blocked(connection, me, MOST_BLOCKED) >= MOST_BLOCKED:
                    raise BlocklistFull(MOST_BLOCKED)
                await follows.insert_block(connection, me, other, now)
            for follower, followee in ((me, other), (other, me)):
                since = await follows.delete_follow(connection, follower, followee)
                if since is not None:
                    await follows.signal_follow(connection, follower, followee, since, -1)
            after = (await follows.relations(connection, me, [other]))[other]
        return people_pb2.BlockUserResponse(relation=people_messages.relation(after))

    async def UnblockUser(
        self,
        request: people_pb2.UnblockUserRequest,
        context: grpc.aio.ServicerContext[people_pb2.UnblockUserRequest, people_pb2.UnblockUserResponse],
    ) -> people_pb2.UnblockUserResponse:
        """Block a person no more."""
        me, other = self._pair(request.user_id)
        async with self._database.transaction() as connection:
            locked = await follows.lock_two(connection, me, other)
            if locked is None or not locked["is_there"]:
                raise UserNotFound(other)
            await follows.delete_block(connection, me, other)
            after = (await follows.relations(connection, me, [other]))[other]
        return people_pb2.UnblockUserResponse(relation=people_messages.relation(after))

    async def ListBlockedUsers(
        self,
        request: people_pb2.ListBlockedUsersRequest,
        context: grpc.aio.ServicerContext[people_pb2.ListBlockedUsersRequest, people_pb2.ListBlockedUsersResponse],
    ) -> people_pb2.ListBlockedUsersResponse:
        """List whom the caller blocks."""
        user_id = UserId(require_viewer().user_id)
        size, scope = keys.page_size(request.page_size), f"ListBlockedUsers {user_id}"
        after = keys.time_key(scope, request.page_token)
        async with self._database.connection() as connection:
            found = await follows.blocked_by(connection, user_id, after, size + 1)
        page = paging.cut(found, size, scope, lambda edge: (edge.at.isoformat(), edge.member.user_id))
        return people_pb2.ListBlockedUsersResponse(
            blocked=[
                people_pb2.BlockedUser(user=people_messages.user(edge.member), blocked_at=timestamp(edge.at))
                for edge in page.items
            ],
            next_page_token=page.next_token,
        )

    async def SearchPeople(
        self,
        request: people_pb2.SearchPeopleRequest,
        context: grpc.aio.ServicerContext[people_pb2.SearchPeopleRequest, people_pb2.SearchPeopleResponse],
    ) -> people_pb2.SearchPeopleResponse:
        """Find people by how their names begin."""
        query = fields.line(request.query, "query", longest=LONGEST_SEARCH, is_required=True)
        size, scope = keys.page_size(request.page_size), f"SearchPeople {query}"
        key = paging.decode_token(scope, request.page_token, [paging.is_text])
        after = None if key is None else str(key[0])
        async with self._database.connection() as connection:
            found = await people_search.search(connection, keys.viewer_id(), query, after, size + 1)
        page = paging.cut(found, size, scope, lambda one: (folded(one.username),))
        users = [people_messages.user(one) for one in page.items]
        return people_pb2.SearchPeopleResponse(users=users, next_page_token=page.next_token)

    def _pair(self, given: str) -> tuple[UserId, UserId]:
        me, other = UserId(require_viewer().user_id), keys.user_id(given)
        if me == other:
            raise OwnAccount(other)
        return me, other

    async def _begin_to_follow(self, connection: Connection, me: UserId, other: UserId, now: datetime) -> None:
        if await follows.count_followed(connection, me, MOST_FOLLOWED) >= MOST_FOLLOWED:
            raise FollowLimitReached(MOST_FOLLOWED)
        await follows.insert_follow(connection, me, other, now)
        activity_id = await activities.record(connection, ActivityKind.FOLLOWED, me, now, user_id=other)
        await activities.notify(connection, other, NotificationKind.FOLLOWED, now, actor_id=me)
        await follows.signal_follow(connection, me, other, now, 1)
        await outbox.add(connection, user_followed(me, other, now, activity_id))


def _follow_page(user_id: UserId, found: list[Edge], size: int, rpc: str) -> people_pb2.FollowPage:
    page = paging.cut(found, size, f"{rpc} {user_id}", lambda edge: (edge.at.isoformat(), edge.member.user_id))
    return people_pb2.FollowPage(
        user_id=user_id,
        edges=[
            people_pb2.FollowEdge(user=people_messages.user(edge.member), followed_at=timestamp(edge.at))
            for edge in page.items
        ],
        next_page_token=page.next_token,
    )


async def check_visible(connection: Connection, viewer_id: UserId | None, user_id: UserId) -> None:
    """Refuse a person whom the viewer may not see.

    Raises:
        UserNotFound: Unknown, suspended, gone, or blocks the viewer.
    """
    if not await profiles.find_visible(connection, viewer_id, [user_id]):
        raise UserNotFound(user_id)
