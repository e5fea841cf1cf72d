"""Batches what a document asks for item by item. One set per operation: nothing is kept between requests."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from strawberry.dataloader import DataLoader

from museed.social.v1 import accounts_pb2, catalog_pb2, editing_pb2, playlists_pb2
from services.gateway.clients import Call, Upstream
from services.gateway.user_loaders import UserLoaders

# As social takes them.
_MAX_TRACKS = 600
_MAX_USERS = 500
_MAX_PLAYLISTS = 100

T = TypeVar("T")


class Loaders:
    """Things by id; what does not exist, or is not the caller's to see, is None.

    Args:
        upstream: Where they come from.
        call: How to ask.
    """

    def __init__(self, upstream: Upstream, call: Call) -> None:
        async def tracks(ids: list[str]) -> dict[str, catalog_pb2.Track]:
            answer = await call(upstream.catalog.BatchGetTracks, catalog_pb2.BatchGetTracksRequest(track_ids=ids))
            return {track.track_id: track for track in answer.tracks}

        async def users(ids: list[str]) -> dict[str, accounts_pb2.User]:
            answer = await call(upstream.accounts.BatchGetUsers, accounts_pb2.BatchGetUsersRequest(user_ids=ids))
            return {user.user_id: user for user in answer.users}

        async def playlists(ids: list[str]) -> dict[str, playlists_pb2.Playlist]:
            request = editing_pb2.BatchGetPlaylistsRequest(playlist_ids=ids)
            answer = await call(upstream.editing.BatchGetPlaylists, request)
            return {playlist.playlist_id: playlist for playlist in answer.playlists}

        async def whole_playlist(playlist_id: str) -> playlists_pb2.GetPlaylistResponse:
            request = playlists_pb2.GetPlaylistRequest(playlist_id=playlist_id)
            return await call(upstream.playlists.GetPlaylist, request)

        self.people = UserLoaders(upstream, call)
        self.tracks = DataLoader(load_fn=_in_order(tracks), max_batch_size=_MAX_TRACKS)
        self.users = DataLoader(load_fn=_in_order(users), max_batch_size=_MAX_USERS)
        # Without entries.
        self.playlists = DataLoader(load_fn=_in_order(playlists), max_batch_size=_MAX_PLAYLISTS)
        # With entries, which social tells of one playlist at a time, within the operation's budget.
        self.whole_playlists = DataLoader(load_fn=_one_by_one(whole_playlist), max_batch_size=1)


def _in_order(
    fetch: Callable[[list[str]], Awaitable[dict[str, T]]],
) -> Callable[[list[str]], Awaitable[list[T | None]]]:
    async def load(ids: list[str]) -> list[T | None]:
        found = await fetch(ids)
        return [found.get(id_) for id_ in ids]

    return load


def _one_by_one(fetch: Callable[[str], Awaitable[T]]) -> Callable[[list[str]], Awaitable[list[T]]]:
    async def load(ids: list[str]) -> list[T]:
        return [await fetch(id_) for id_ in ids]

    return load
