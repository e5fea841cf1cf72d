"""Batches what belongs to playlists: parts of their entries, and the first pages of what people say of them."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

from strawberry.dataloader import DataLoader

from museed.social.v1 import editing_pb2, engagement_pb2, feed_pb2
from services.gateway.clients import Call, Upstream

# As social takes them.
_MOST_IDS = 100
_MOST_LISTED = 1_000

H = TypeVar("H", bound=Hashable)
K = TypeVar("K", bound="EntriesKey | PageKey")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageKey:
    """The first `size` items of a list that something has."""

    id: str
    size: int


@dataclass(frozen=True, slots=True)
class EntriesKey:
    """`size` entries of a playlist from a position on."""

    id: str
    offset: int
    size: int


class PlaylistLoaders:
    """Things of playlists by id; of what is not the caller's to see there is None.

    Args:
        upstream: Where they come from.
        call: How to ask.
    """

    def __init__(self, upstream: Upstream, call: Call) -> None:
        async def entries(ids: list[str], key: EntriesKey) -> dict[str, editing_pb2.EntriesOfPlaylist]:
            request = editing_pb2.BatchListEntriesRequest(playlist_ids=ids, offset=key.offset, page_size=key.size)
            answer = await call(upstream.editing.BatchListEntries, request)
            return {found.playlist_id: found for found in answer.playlists}

        async def comments(ids: list[str], key: PageKey) -> dict[str, engagement_pb2.CommentsOfPlaylist]:
            request = engagement_pb2.BatchListCommentsRequest(playlist_ids=ids, page_size=key.size)
            answer = await call(upstream.engagement.BatchListComments, request)
            return {found.playlist_id: found for found in answer.playlists}

        async def likers(ids: list[str], key: PageKey) -> dict[str, engagement_pb2.LikersOfPlaylist]:
            request = engagement_pb2.BatchListLikersRequest(playlist_ids=ids, page_size=key.size)
            answer = await call(upstream.engagement.BatchListLikers, request)
            return {found.playlist_id: found for found in answer.playlists}

        async def of_users(ids: list[str], key: PageKey) -> dict[str, feed_pb2.PlaylistsOfUser]:
            request = feed_pb2.BatchListPlaylistsOfUsersRequest(user_ids=ids, page_size=key.size)
            answer = await call(upstream.feed.BatchListPlaylistsOfUsers, request)
            return {found.user_id: found for found in answer.users}

        async def liked(ids: list[str], key: PageKey) -> dict[str, feed_pb2.LikedPlaylistsOfUser]:
            request = feed_pb2.BatchListLikedPlaylistsRequest(user_ids=ids, page_size=key.size)
            answer = await call(upstream.feed.BatchListLikedPlaylists, request)
            return {found.user_id: found for found in answer.users}

        self.entries: DataLoader[EntriesKey, editing_pb2.EntriesOfPlaylist | None] = DataLoader(
            load_fn=_alike(entries, lambda key: (key.offset, key.size), lambda key: _MOST_IDS)
        )
        self.comments: DataLoader[PageKey, engagement_pb2.CommentsOfPlaylist | None] = DataLoader(
            load_fn=_alike(comments, lambda key: key.size, _ids_at_once)
        )
        self.likers: DataLoader[PageKey, engagement_pb2.LikersOfPlaylist | None] = DataLoader(
            load_fn=_alike(likers, lambda key: key.size, lambda key: _MOST_IDS)
        )
        self.of_users: DataLoader[PageKey, feed_pb2.PlaylistsOfUser | None] = DataLoader(
            load_fn=_alike(of_users, lambda key: key.size, _ids_at_once)
        )
        self.liked_by_users: DataLoader[PageKey, feed_pb2.LikedPlaylistsOfUser | None] = DataLoader(
            load_fn=_alike(liked, lambda key: key.size, _ids_at_once)
        )


def _ids_at_once(key: PageKey) -> int:
    return min(_MOST_IDS, _MOST_LISTED // key.size)


def _alike(
    fetch: Callable[[list[str], K], Awaitable[dict[str, T]]], kind: Callable[[K], Hashable], most: Callable[[K], int]
) -> Callable[[list[K]], Awaitable[list[T | None]]]:
    """Return a function that loads keys of one kind together, at most so many in a call."""

    async def load(keys: list[K]) -> list[T | None]:
        groups: dict[Hashable, list[K]] = {}
        for key in keys:
            groups.setdefault(kind(key), []).append(key)
        parts = [
            group[start : start + most(group[0])]
            for group in groups.values()
            for start in range(0, len(group), most(group[0]))
        ]
        answers = await asyncio.gather(*(fetch([key.id for key in part], part[0]) for part in parts))
        found = {key: answer.get(key.id) for part, answer in zip(parts, answers, strict=True) for key in part}
        return [found[key] for key in keys]

    return load
