"""Pages of every list together are what was there when the first was read, whatever is added while they are turned."""

import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta

from museed.social.v1 import feed_pb2, notifications_pb2, people_pb2
from services.social.domain.ids import UserId
from services.social.store.database import Database
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql
from tests.integration.social.people_steps import (
    NOW,
    feeds,
    follow_in_tables,
    like,
    make_person,
    notes,
    people,
    show,
)
from tests.integration.social.test_notifications import tell

Page = tuple[list[str], str]


class Lists:
    """Reads a page of each list after a token, and adds one to each at its front."""

    def __init__(self, client: Client, me: Person, sql: Sql, database: Database) -> None:
        self._client, self._me, self._sql, self._database = client, me, sql, database
        self._numbers = itertools.count(1)

    async def followers(self, token: str) -> Page:
        request = people_pb2.ListFollowersRequest(user_id=self._me.user_id, page_size=2, page_token=token)
        answer = await people(self._client).ListFollowers(request, timeout=TIMEOUT_S)
        return [edge.user.user_id for edge in answer.followers], answer.next_page_token

    async def following(self, token: str) -> Page:
        request = people_pb2.ListFollowingRequest(user_id=self._me.user_id, page_size=2, page_token=token)
        answer = await people(self._client).ListFollowing(request, timeout=TIMEOUT_S)
        return [edge.user.user_id for edge in answer.following], answer.next_page_token

    async def blocked(self, token: str) -> Page:
        request = people_pb2.ListBlockedUsersRequest(page_size=2, page_token=token)
        answer = await people(self._client).ListBlockedUsers(request, timeout=TIMEOUT_S, metadata=self._me.metadata)
        return [each.user.user_id for each in answer.blocked], answer.next_page_token

    async def latest(self, token: str) -> Page:
        request = feed_pb2.ListLatestRequest(page_size=2, page_token=token)
        answer = await feeds(self._client).ListLatest(request, timeout=TIMEOUT_S)
        return [one.playlist_id for one in answer.playlists], answer.next_page_token

    async def of_person(self, token: str) -> Page:
        request = feed_pb2.ListPlaylistsOfUserRequest(user_id=self._me.user_id, page_size=2, page_token=token)
        answer = await feeds(self._client).ListPlaylistsOfUser(request, timeout=TIMEOUT_S)
        return [one.playlist_id for one in answer.playlists], answer.next_page_token

    async def liked(self, token: str) -> Page:
        request = feed_pb2.ListLikedPlaylistsRequest(user_id=self._me.user_id, page_size=2, page_token=token)
        answer = await feeds(self._client).ListLikedPlaylists(request, timeout=TIMEOUT_S)
        return [one.playlist.playlist_id for one in answer.playlists], answer.next_page_token

    async def notifications(self, token: str) -> Page:
        request = notifications_pb2.ListNotificationsRequest(page_size=2, page_token=token)
        answer = await notes(self._client).ListNotifications(request, timeout=TIMEOUT_S, metadata=self._me.metadata)
        return [one.notification_id for one in answer.notifications], answer.next_page_token

    async def add(self) -> None:
        number, me = next(self._numbers), self._me.user_id
        # Two of each moment: the id decides.
        at = NOW + timedelta(minutes=number // 2)
        fan, star, foe = [await make_person(self._sql, f"{name}{number}") for name in ("fan", "star", "foe")]
        await follow_in_tables(self._sql, fan, me, at)
        await follow_in_tables(self._sql, me, star, at)
        await self._sql.execute("INSERT INTO user_blocks (blocker_id, blocked_id, at) VALUES ($1, $2, $3)", me, foe, at)
        await like(self._sql, me, await show(self._sql, star, number // 2), at)
        await show(self._sql, me, number // 2)
        await tell(self._database, UserId(me))


async def test_pages_hold_what_was_there_once_and_in_order(social: Client, sql: Sql, database: Database) -> None:
    lists = Lists(social, await social.sign_up("ann"), sql, database)
    for _ in range(5):
        await lists.add()
    for read in (
        lists.followers,
        lists.following,
        lists.blocked,
        lists.latest,
        lists.of_person,
        lists.liked,
        lists.notifications,
    ):
        before = await _walk(read)
        assert len(set(before)) == len(before) >= 5
        assert await _walk(_adding(read, lists)) == before
        after = await _walk(read)
        assert len(after) > len(before)
        assert after[-len(before) :] == before


def _adding(read: Callable[[str], Awaitable[Page]], lists: Lists) -> Callable[[str], Awaitable[Page]]:
    async def run(token: str) -> Page:
        page = await read(token)
        if not token:
            for _ in range(2):  # of one moment
                await lists.add()
        return page

    return run


async def _walk(read: Callable[[str], Awaitable[Page]]) -> list[str]:
    found, token = await read("")
    while token:
        more, token = await read(token)
        found += more
    return found
