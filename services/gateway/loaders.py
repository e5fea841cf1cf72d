"""Batches what a document asks for item by item. One set per operation: nothing is kept between requests."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from strawberry.dataloader import DataLoader

from museed.social.v1 import (
    accounts_pb2,
    catalog_pb2,
    editing_pb2,
    engagement_pb2,
    jobs_pb2,
    jobwork_pb2,
    library_pb2,
    playlists_pb2,
)
from services.gateway.clients import Call, Upstream
from services.gateway.playlist_loaders import PlaylistLoaders
from services.gateway.user_loaders import UserLoaders

# As social takes them.
_MAX_TRACKS = 600
_MAX_USERS = 500
_MAX_PLAYLISTS = 100
_MAX_COMMENTS = 500
_MAX_JOBS = 100
_MAX_OF_LIBRARY = 500
_MAX_LISTS = 100

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

        async def unblocked_tracks(ids: list[str]) -> dict[str, catalog_pb2.Track]:
            request = catalog_pb2.BatchGetTracksRequest(track_ids=ids, leave_out_blocked=True)
            return {track.track_id: track for track in (await call(upstream.catalog.BatchGetTracks, request)).tracks}

        async def users(ids: list[str]) -> dict[str, accounts_pb2.User]:
            answer = await call(upstream.accounts.BatchGetUsers, accounts_pb2.BatchGetUsersRequest(user_ids=ids))
            return {user.user_id: user for user in answer.users}

        async def playlists(ids: list[str]) -> dict[str, playlists_pb2.Playlist]:
            request = editing_pb2.BatchGetPlaylistsRequest(playlist_ids=ids)
            answer = await call(upstream.editing.BatchGetPlaylists, request)
            return {playlist.playlist_id: playlist for playlist in answer.playlists}

        async def recipes(ids: list[str]) -> dict[str, jobwork_pb2.KeptRecipe]:
            request = jobwork_pb2.BatchGetRecipesRequest(playlist_ids=ids)
            answer = await call(upstream.playlist_jobs.BatchGetRecipes, request)
            return {recipe.playlist_id: recipe for recipe in answer.recipes}

        async def schedules(ids: list[str]) -> dict[str, jobwork_pb2.Schedule]:
            request = jobwork_pb2.BatchGetSchedulesRequest(playlist_ids=ids)
            answer = await call(upstream.playlist_jobs.BatchGetSchedules, request)
            return {schedule.playlist_id: schedule for schedule in answer.schedules}

        async def jobs(ids: list[str]) -> dict[str, jobs_pb2.Job]:
            answer = await call(upstream.playlist_jobs.BatchGetJobs, jobwork_pb2.BatchGetJobsRequest(job_ids=ids))
            return {job.job_id: job for job in answer.jobs}

        async def comments(ids: list[str]) -> dict[str, engagement_pb2.Comment]:
            request = engagement_pb2.BatchGetCommentsRequest(comment_ids=ids)
            answer = await call(upstream.engagement.BatchGetComments, request)
            return {comment.comment_id: comment for comment in answer.comments}

        async def whole_playlist(playlist_id: str) -> playlists_pb2.GetPlaylistResponse:
            request = playlists_pb2.GetPlaylistRequest(playlist_id=playlist_id)
            return await call(upstream.playlists.GetPlaylist, request)

        self.people = UserLoaders(upstream, call)

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
        # Without what the caller blocks.
        self.unblocked_tracks = DataLoader(load_fn=_in_order(unblocked_tracks), max_batch_size=_MAX_TRACKS)
        self.users = DataLoader(load_fn=_in_order(users), max_batch_size=_MAX_USERS)
        # Without entries.
        self.playlists = DataLoader(load_fn=_in_order(playlists), max_batch_size=_MAX_PLAYLISTS)
        # By playlists of the caller's own.
        self.recipes = DataLoader(load_fn=_in_order(recipes), max_batch_size=_MAX_PLAYLISTS)
        self.schedules = DataLoader(load_fn=_in_order(schedules), max_batch_size=_MAX_PLAYLISTS)
        # The caller's own.
        self.jobs = DataLoader(load_fn=_in_order(jobs), max_batch_size=_MAX_JOBS)
        self.comments = DataLoader(load_fn=_in_order(comments), max_batch_size=_MAX_COMMENTS)
        self.of_playlists = PlaylistLoaders(upstream, call)
        # With all entries, for who asks for one playlist by its id.
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
