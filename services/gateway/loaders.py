"""Batches what a document asks for item by item. One set per operation: nothing is kept between requests."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import grpc
from strawberry.dataloader import DataLoader

from museed.social.v1 import accounts_pb2, catalog_pb2, editing_pb2, library_pb2, playlists_pb2
from services.gateway.clients import Upstream

# As social takes them.
_MAX_TRACKS = 600
_MAX_USERS = 500
_MAX_PLAYLISTS = 100
_MAX_OF_LIBRARY = 500
_MAX_LISTS = 100

Q = TypeVar("Q")
R = TypeVar("R")
T = TypeVar("T")


class Call(Protocol):
    """Makes an upstream call with deadline and budget of the operation at hand."""

    async def __call__(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, R], request: Q) -> R:
        """Make the call; raises DomainError."""


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

        async def details(ids: list[str]) -> dict[str, library_pb2.TrackDetails]:
            request = library_pb2.BatchGetTrackDetailsRequest(track_ids=ids)
            answer = await call(upstream.library.BatchGetTrackDetails, request)
            return {track.track_id: track for track in answer.tracks}

        async def artists(ids: list[str]) -> dict[str, library_pb2.Artist]:
            request = library_pb2.BatchGetArtistsRequest(artist_ids=ids)
            answer = await call(upstream.library.BatchGetArtists, request)
            return {artist.artist_id: artist for artist in answer.artists}

        async def albums(ids: list[str]) -> dict[str, library_pb2.Album]:
            answer = await call(upstream.library.BatchGetAlbums, library_pb2.BatchGetAlbumsRequest(album_ids=ids))
            return {album.album_id: album for album in answer.albums}

        async def tracks_of_artists(ids: list[str], size: int) -> dict[str, library_pb2.ArtistTracks]:
            request = library_pb2.BatchListTracksOfArtistsRequest(artist_ids=ids, page_size=size)
            answer = await call(upstream.library.BatchListTracksOfArtists, request)
            return {listed.artist_id: listed for listed in answer.lists}

        async def tracks_of_albums(ids: list[str], size: int) -> dict[str, library_pb2.AlbumTracks]:
            request = library_pb2.BatchListTracksOfAlbumsRequest(album_ids=ids, page_size=size)
            answer = await call(upstream.library.BatchListTracksOfAlbums, request)
            return {listed.album_id: listed for listed in answer.lists}

        async def albums_of_artists(ids: list[str], size: int) -> dict[str, library_pb2.AlbumList]:
            request = library_pb2.BatchListAlbumsRequest(artist_ids=ids, page_size=size)
            answer = await call(upstream.library.BatchListAlbums, request)
            return {listed.artist_id: listed for listed in answer.lists}

        self.details = DataLoader(load_fn=_in_order(details), max_batch_size=_MAX_OF_LIBRARY)
        self.artists = DataLoader(load_fn=_in_order(artists), max_batch_size=_MAX_OF_LIBRARY)
        self.albums = DataLoader(load_fn=_in_order(albums), max_batch_size=_MAX_OF_LIBRARY)
        # First pages, by owner and size.
        self.tracks_of_artists = DataLoader(load_fn=_by_size(tracks_of_artists), max_batch_size=_MAX_LISTS)
        self.tracks_of_albums = DataLoader(load_fn=_by_size(tracks_of_albums), max_batch_size=_MAX_LISTS)
        self.albums_of_artists = DataLoader(load_fn=_by_size(albums_of_artists), max_batch_size=_MAX_LISTS)
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


def _by_size(
    fetch: Callable[[list[str], int], Awaitable[dict[str, T]]],
) -> Callable[[list[tuple[str, int]]], Awaitable[list[T | None]]]:
    """Return a function that makes one call for each size of page that is asked for."""

    async def load(keys: list[tuple[str, int]]) -> list[T | None]:
        found = {
            size: await fetch([id_ for id_, one in keys if one == size], size) for size in {one for _, one in keys}
        }
        return [found[size].get(id_) for id_, size in keys]

    return load


def _one_by_one(fetch: Callable[[str], Awaitable[T]]) -> Callable[[list[str]], Awaitable[list[T]]]:
    async def load(ids: list[str]) -> list[T]:
        return [await fetch(id_) for id_ in ids]

    return load
