"""Batches what documents ask about people: one call a field, whatever the length of the list that they stand in."""

# Else the types of functions that are made for each operation are put together for each operation.
from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from typing import NamedTuple, TypeVar

from strawberry.dataloader import DataLoader

from museed.social.v1 import badges_pb2, listening_pb2, people_pb2
from services.chassis.errors import DomainError, NotFound, ResourceExhausted
from services.gateway.clients import Call, Upstream

# As social takes them.
_MAX_PROFILES, _MAX_PAGES, _MAX_BADGES, _MAX_AVATARS = 100, 100, 100, 50
MAX_LISTENING = 20

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class PageOf(NamedTuple):
    """A page of a list of one person's."""

    user_id: str
    token: str
    size: int


class ListeningOf(NamedTuple):
    """What one person hears, how far back, with so many of the best."""

    user_id: str
    range: listening_pb2.ListeningRange.ValueType
    top_count: int


class UserLoaders:
    """What is known of people by id; None for those whom the caller may not see, or not ask about.

    One person is asked for by the RPC for one, which knows the newest; several by one that takes many.

    Args:
        upstream: Where it comes from.
        call: How to ask.
    """

    def __init__(self, upstream: Upstream, call: Call) -> None:
        people, badge = upstream.people, upstream.badges

        async def profile(user_id: str) -> people_pb2.Profile:
            return (await call(people.GetProfile, people_pb2.GetProfileRequest(user_id=user_id))).profile

        async def profiles(ids: list[str]) -> dict[str, people_pb2.Profile]:
            answer = await call(people.BatchGetProfiles, people_pb2.BatchGetProfilesRequest(user_ids=ids))
            return {found.user.user_id: found for found in answer.profiles}

        async def followers(page: PageOf) -> people_pb2.FollowPage:
            request = people_pb2.ListFollowersRequest(user_id=page.user_id, page_size=page.size, page_token=page.token)
            answer = await call(people.ListFollowers, request)
            return people_pb2.FollowPage(edges=answer.followers, next_page_token=answer.next_page_token)

        async def followers_of_each(pages: list[PageOf]) -> dict[PageOf, people_pb2.FollowPage]:
            request = people_pb2.BatchGetFollowersRequest(
                user_ids=[page.user_id for page in pages], page_size=pages[0].size
            )
            answer = await call(people.BatchGetFollowers, request)
            return {PageOf(found.user_id, "", pages[0].size): found for found in answer.pages}

        async def following(page: PageOf) -> people_pb2.FollowPage:
            request = people_pb2.ListFollowingRequest(user_id=page.user_id, page_size=page.size, page_token=page.token)
            answer = await call(people.ListFollowing, request)
            return people_pb2.FollowPage(edges=answer.following, next_page_token=answer.next_page_token)

        async def following_of_each(pages: list[PageOf]) -> dict[PageOf, people_pb2.FollowPage]:
            request = people_pb2.BatchGetFollowingRequest(
                user_ids=[page.user_id for page in pages], page_size=pages[0].size
            )
            answer = await call(people.BatchGetFollowing, request)
            return {PageOf(found.user_id, "", pages[0].size): found for found in answer.pages}

        async def badges_of(user_id: str) -> badges_pb2.BadgesOfUser:
            answer = await call(badge.ListBadges, badges_pb2.ListBadgesRequest(user_id=user_id))
            return badges_pb2.BadgesOfUser(user_id=user_id, badges=answer.badges)

        async def badges_of_each(ids: list[str]) -> dict[str, badges_pb2.BadgesOfUser]:
            answer = await call(badge.BatchGetBadges, badges_pb2.BatchGetBadgesRequest(user_ids=ids))
            return {found.user_id: found for found in answer.users}

        async def avatar(user_id: str) -> badges_pb2.Avatar:
            answer = await call(badge.GetAvatar, badges_pb2.GetAvatarRequest(user_id=user_id))
            return badges_pb2.Avatar(user_id=user_id, svg=answer.svg, etag=answer.etag)

        async def avatars(ids: list[str]) -> dict[str, badges_pb2.Avatar]:
            answer = await call(badge.BatchGetAvatars, badges_pb2.BatchGetAvatarsRequest(user_ids=ids))
            return {found.user_id: found for found in answer.avatars}

        async def listening(of: ListeningOf) -> listening_pb2.GetListeningResponse:
            request = listening_pb2.GetListeningRequest(user_id=of.user_id, range=of.range, top_count=of.top_count)
            return await call(upstream.listening.GetListening, request)

        async def listening_of_each(keys: list[ListeningOf]) -> dict[ListeningOf, listening_pb2.GetListeningResponse]:
            if len(keys) > MAX_LISTENING:
                raise ResourceExhausted(
                    f"listening is asked of {len(keys)} people, at most {MAX_LISTENING} can be asked together",
                    reason="TOO_MANY_PEOPLE",
                    field="listening",
                    value=len(keys),
                    limit=MAX_LISTENING,
                )
            first = keys[0]
            request = listening_pb2.BatchGetListeningRequest(
                user_ids=[key.user_id for key in keys], range=first.range, top_count=first.top_count
            )
            answer = await call(upstream.listening.BatchGetListening, request)
            return {ListeningOf(found.user_id, first.range, first.top_count): found.listening for found in answer.users}

        self.profiles = DataLoader(load_fn=_by_number(profile, profiles, _alike), max_batch_size=_MAX_PROFILES)
        self.followers = DataLoader(
            load_fn=_by_number(followers, followers_of_each, _page_alike), max_batch_size=_MAX_PAGES
        )
        self.following = DataLoader(
            load_fn=_by_number(following, following_of_each, _page_alike), max_batch_size=_MAX_PAGES
        )
        self.badges = DataLoader(load_fn=_by_number(badges_of, badges_of_each, _alike), max_batch_size=_MAX_BADGES)
        self.avatars = DataLoader(load_fn=_by_number(avatar, avatars, _alike), max_batch_size=_MAX_AVATARS)
        self.listening = DataLoader(load_fn=_by_number(listening, listening_of_each, _listening_alike))


def _alike(key: str) -> Hashable:
    return ""


def _page_alike(page: PageOf) -> Hashable:
    # Only first pages can be had of several: a token belongs to one person.
    return page if page.token else page.size


def _listening_alike(of: ListeningOf) -> Hashable:
    return of.range, of.top_count


def _by_number(
    one: Callable[[K], Awaitable[V]],
    many: Callable[[list[K]], Awaitable[dict[K, V]]],
    alike: Callable[[K], Hashable],
) -> Callable[[list[K]], Awaitable[list[V | BaseException | None]]]:
    """Return what loads keys: those that are alike together, a single one by the call for one."""

    async def of_group(keys: list[K]) -> dict[K, V | BaseException]:
        try:
            return {keys[0]: await one(keys[0])} if len(keys) == 1 else dict(await many(keys))
        except NotFound:
            return {}
        except DomainError as error:  # of this group alone
            return dict.fromkeys(keys, error)

    async def load(keys: list[K]) -> list[V | BaseException | None]:
        groups: defaultdict[Hashable, list[K]] = defaultdict(list)
        for key in keys:
            groups[alike(key)].append(key)
        found: dict[K, V | BaseException] = {}
        for answer in await asyncio.gather(*(of_group(group) for group in groups.values())):
            found |= answer
        return [found.get(key) for key in keys]

    return load
