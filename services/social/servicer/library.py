"""gRPC in: artists, albums and genres of the library, and what is known of tracks beside their sound."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import grpc

from museed.social.v1 import catalog_pb2, library_pb2, library_pb2_grpc
from services.social.actions.library_stats import LibraryStats
from services.social.domain import fields, paging, terms
from services.social.domain.folding import LONGEST_QUERY, folded
from services.social.domain.ids import AlbumId, ArtistId, TrackId, is_id
from services.social.errors.library import AlbumNotFound, ArtistNotFound
from services.social.servicer import catalog_messages
from services.social.servicer import library_messages as to
from services.social.store import artists, catalog, search
from services.social.store.database import Connection, Database
from services.social.store.search import ALBUMS, ARTISTS, Shelf

_DEFAULT_PAGE, _LARGEST_PAGE = 20, 100
_MOST_READ = 500
_MOST_LISTS = 100

T = TypeVar("T")


class LibraryServicer(library_pb2_grpc.LibraryServiceServicer):
    """Serves LibraryService.

    Args:
        database: The truth.
        stats: Counts of the library.
    """

    def __init__(self, database: Database, stats: LibraryStats) -> None:
        self._database = database
        self._stats = stats

    async def SearchArtists(
        self,
        request: library_pb2.SearchArtistsRequest,
        context: grpc.aio.ServicerContext[library_pb2.SearchArtistsRequest, library_pb2.SearchArtistsResponse],
    ) -> library_pb2.SearchArtistsResponse:
        """Find artists, best first."""
        page_of = _Asked(request.query, request.page_size, request.page_token)
        async with self._database.reading() as connection:
            page = await page_of.find(connection, ARTISTS, "SearchArtists", None)
            found = await artists.find_artists(connection, [ArtistId(each) for each in page.items])
        return library_pb2.SearchArtistsResponse(
            artists=_in_order(page.items, {each.artist_id: to.artist(each) for each in found}),
            next_page_token=page.next_token,
        )

    async def SearchAlbums(
        self,
        request: library_pb2.SearchAlbumsRequest,
        context: grpc.aio.ServicerContext[library_pb2.SearchAlbumsRequest, library_pb2.SearchAlbumsResponse],
    ) -> library_pb2.SearchAlbumsResponse:
        """Find albums, best first."""
        artist_id = request.artist_id or None
        if artist_id is not None and not is_id(artist_id):
            raise ArtistNotFound(artist_id)
        page_of = _Asked(request.query, request.page_size, request.page_token)
        async with self._database.reading() as connection:
            page = await page_of.find(connection, ALBUMS, "SearchAlbums", artist_id)
            found = await artists.find_albums(connection, [AlbumId(each) for each in page.items])
        return library_pb2.SearchAlbumsResponse(
            albums=_in_order(page.items, {each.album_id: to.album(each) for each in found}),
            next_page_token=page.next_token,
        )

    async def BatchGetArtists(
        self,
        request: library_pb2.BatchGetArtistsRequest,
        context: grpc.aio.ServicerContext[library_pb2.BatchGetArtistsRequest, library_pb2.BatchGetArtistsResponse],
    ) -> library_pb2.BatchGetArtistsResponse:
        """Return artists by id."""
        fields.count(len(request.artist_ids), "artist_ids", _MOST_READ)
        wanted = [ArtistId(each) for each in request.artist_ids if is_id(each)]
        async with self._database.reading() as connection:
            found = await artists.find_artists(connection, wanted)
        return library_pb2.BatchGetArtistsResponse(artists=[to.artist(each) for each in found])

    async def BatchGetAlbums(
        self,
        request: library_pb2.BatchGetAlbumsRequest,
        context: grpc.aio.ServicerContext[library_pb2.BatchGetAlbumsRequest, library_pb2.BatchGetAlbumsResponse],
    ) -> library_pb2.BatchGetAlbumsResponse:
        """Return albums by id."""
        fields.count(len(request.album_ids), "album_ids", _MOST_READ)
        wanted = [AlbumId(each) for each in request.album_ids if is_id(each)]
        async with self._database.reading() as connection:
            found = await artists.find_albums(connection, wanted)
        return library_pb2.BatchGetAlbumsResponse(albums=[to.album(each) for each in found])

    async def BatchGetTrackDetails(
        self,
        request: library_pb2.BatchGetTrackDetailsRequest,
        context: grpc.aio.ServicerContext[
            library_pb2.BatchGetTrackDetailsRequest, library_pb2.BatchGetTrackDetailsResponse
        ],
    ) -> library_pb2.BatchGetTrackDetailsResponse:
        """Return what is known of tracks."""
        fields.count(len(request.track_ids), "track_ids", _MOST_READ)
        wanted = [TrackId(each) for each in request.track_ids if is_id(each)]
        async with self._database.reading() as connection:
            found = await artists.find_details(connection, wanted)
        return library_pb2.BatchGetTrackDetailsResponse(tracks=[to.details(each) for each in found])

    async def ListTracksOfArtist(
        self,
        request: library_pb2.ListTracksOfArtistRequest,
        context: grpc.aio.ServicerContext[
            library_pb2.ListTracksOfArtistRequest, library_pb2.ListTracksOfArtistResponse
        ],
    ) -> library_pb2.ListTracksOfArtistResponse:
        """List an artist's tracks by title."""
        if not is_id(request.artist_id):
            raise ArtistNotFound(request.artist_id)
        artist_id = ArtistId(request.artist_id)
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        scope = _of_artist(artist_id)
        key = paging.decode_token(scope, request.page_token, [paging.is_text, is_id])
        after = None if key is None else (str(key[0]), TrackId(str(key[1])))
        async with self._database.reading() as connection:
            if not await artists.artist_exists(connection, artist_id):
                raise ArtistNotFound(artist_id)
            found = await artists.tracks_of_artist(connection, artist_id, after, size + 1)
            page = paging.cut(found, size, scope, lambda one: one)
            tracks = await _tracks(connection, [track_id for _, track_id in page.items])
        return library_pb2.ListTracksOfArtistResponse(tracks=tracks, next_page_token=page.next_token)

    async def ListTracksOfAlbum(
        self,
        request: library_pb2.ListTracksOfAlbumRequest,
        context: grpc.aio.ServicerContext[library_pb2.ListTracksOfAlbumRequest, library_pb2.ListTracksOfAlbumResponse],
    ) -> library_pb2.ListTracksOfAlbumResponse:
        """List an album's tracks by path."""
        if not is_id(request.album_id):
            raise AlbumNotFound(request.album_id)
        album_id = AlbumId(request.album_id)
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        scope = _of_album(album_id)
        key = paging.decode_token(scope, request.page_token, [is_id])
        after = None if key is None else TrackId(str(key[0]))
        async with self._database.reading() as connection:
            if not await artists.album_exists(connection, album_id):
                raise AlbumNotFound(album_id)
            found = await artists.tracks_of_album(connection, album_id, after, size + 1)
            page = paging.cut(found, size, scope, lambda one: [one])
            tracks = await _tracks(connection, page.items)
        return library_pb2.ListTracksOfAlbumResponse(tracks=tracks, next_page_token=page.next_token)

    async def BatchListTracksOfArtists(
        self,
        request: library_pb2.BatchListTracksOfArtistsRequest,
        context: grpc.aio.ServicerContext[
            library_pb2.BatchListTracksOfArtistsRequest, library_pb2.BatchListTracksOfArtistsResponse
        ],
    ) -> library_pb2.BatchListTracksOfArtistsResponse:
        """List the first tracks of artists."""
        fields.count(len(request.artist_ids), "artist_ids", _MOST_LISTS)
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        artist_ids = [ArtistId(each) for each in request.artist_ids if is_id(each)]
        async with self._database.reading() as connection:
            found = await artists.first_tracks_of_artists(connection, artist_ids, size + 1)
        answer = library_pb2.BatchListTracksOfArtistsResponse()
        for artist_id in artist_ids:
            page = paging.cut(found.get(artist_id, []), size, _of_artist(artist_id), lambda one: one)
            track_ids = [track_id for _, track_id in page.items]
            answer.lists.add(artist_id=artist_id, track_ids=track_ids, next_page_token=page.next_token)
        return answer

    async def BatchListTracksOfAlbums(
        self,
        request: library_pb2.BatchListTracksOfAlbumsRequest,
        context: grpc.aio.ServicerContext[
            library_pb2.BatchListTracksOfAlbumsRequest, library_pb2.BatchListTracksOfAlbumsResponse
        ],
    ) -> library_pb2.BatchListTracksOfAlbumsResponse:
        """List the first tracks of albums."""
        fields.count(len(request.album_ids), "album_ids", _MOST_LISTS)
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        album_ids = [AlbumId(each) for each in request.album_ids if is_id(each)]
        async with self._database.reading() as connection:
            found = await artists.first_tracks_of_albums(connection, album_ids, size + 1)
        answer = library_pb2.BatchListTracksOfAlbumsResponse()
        for album_id in album_ids:
            page = paging.cut(found.get(album_id, []), size, _of_album(album_id), lambda one: [one])
            answer.lists.add(album_id=album_id, track_ids=page.items, next_page_token=page.next_token)
        return answer

    async def BatchListAlbums(
        self,
        request: library_pb2.BatchListAlbumsRequest,
        context: grpc.aio.ServicerContext[library_pb2.BatchListAlbumsRequest, library_pb2.BatchListAlbumsResponse],
    ) -> library_pb2.BatchListAlbumsResponse:
        """List the first albums of artists."""
        fields.count(len(request.artist_ids), "artist_ids", _MOST_LISTS)
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        artist_ids = [ArtistId(each) for each in request.artist_ids if is_id(each)]
        async with self._database.reading() as connection:
            found = await artists.first_albums_of_artists(connection, artist_ids, size + 1)
        answer = library_pb2.BatchListAlbumsResponse()
        for artist_id in artist_ids:
            scope = _names_scope("SearchAlbums", artist_id, "")
            page = paging.cut(found.get(artist_id, []), size, scope, lambda one: (0.0, one[0], one[1].album_id))
            albums = [to.album(album) for _, album in page.items]
            answer.lists.add(artist_id=artist_id, albums=albums, next_page_token=page.next_token)
        return answer

    async def ListGenres(
        self,
        request: library_pb2.ListGenresRequest,
        context: grpc.aio.ServicerContext[library_pb2.ListGenresRequest, library_pb2.ListGenresResponse],
    ) -> library_pb2.ListGenresResponse:
        """List the 16 genres, most tracks first."""
        genres = (await self._stats.read()).genres
        return library_pb2.ListGenresResponse(
            genres=[
                library_pb2.Genre(name=each.name, track_count=each.tracks, unknown_count=each.unknown)
                for each in genres
            ]
        )


class _Asked:
    """A page of names that somebody asks for.

    Args:
        query: As typed.
        page_size: As asked for.
        page_token: Of the page before.
    """

    def __init__(self, query: str, page_size: int, page_token: str) -> None:
        self._asked = terms.asked(folded(fields.line(query, "query", longest=LONGEST_QUERY)))
        self._size = paging.page_size(page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        self._token = page_token

    async def find(self, connection: Connection, shelf: Shelf, rpc: str, only: str | None) -> paging.Page[str]:
        """Return the ids of a page."""
        scope = _names_scope(rpc, only, self._asked.query)
        after = search.decode(scope, self._token)
        async with connection.transaction(readonly=True):
            found = await search.search(connection, shelf, self._asked, after, self._size + 1, only=only)
        page = paging.cut(found, self._size, scope, search.key_of)
        return paging.Page([one.found_id for one in page.items], page.next_token)


def _of_artist(artist_id: ArtistId) -> str:
    return f"ListTracksOfArtist {artist_id}"


def _of_album(album_id: AlbumId) -> str:
    return f"ListTracksOfAlbum {album_id}"


def _names_scope(rpc: str, only: str | None, query: str) -> str:
    return f"{rpc} {only}\0{query}"


def _in_order(ids: Sequence[str], found: Mapping[str, T]) -> list[T]:
    return [found[each] for each in ids if each in found]


async def _tracks(connection: Connection, track_ids: Sequence[TrackId]) -> list[catalog_pb2.Track]:
    found: dict[str, catalog_pb2.Track] = {
        track.track_id: catalog_messages.track(track) for track in await catalog.find_tracks(connection, track_ids)
    }
    return _in_order(track_ids, found)
