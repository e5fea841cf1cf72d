"""The tracks of artists and albums, page by page; the first pages of many come together."""

from collections.abc import Sequence

from museed.social.v1 import catalog_pb2, library_pb2
from services.gateway.context import RequestContext
from services.gateway.schema.paging import Connection, PageRequest, connection_from_page, page_request
from services.gateway.schema.track import Track


async def tracks_of_artist(context: RequestContext, artist_id: str, first: int, after: str | None) -> Connection[Track]:
    """List an artist's tracks by title."""
    page = page_request(first, after)
    if not page.token:
        return await _first_page(context, page, await context.loaders.tracks_of_artists.load((artist_id, page.size)))
    request = library_pb2.ListTracksOfArtistRequest(artist_id=artist_id, page_size=page.size, page_token=page.token)
    answer = await context.call(context.parts.upstream.library.ListTracksOfArtist, request)
    return _page(page, answer.tracks, answer.next_page_token)


async def tracks_of_album(context: RequestContext, album_id: str, first: int, after: str | None) -> Connection[Track]:
    """List an album's tracks in the order of its files."""
    page = page_request(first, after)
    if not page.token:
        return await _first_page(context, page, await context.loaders.tracks_of_albums.load((album_id, page.size)))
    request = library_pb2.ListTracksOfAlbumRequest(album_id=album_id, page_size=page.size, page_token=page.token)
    answer = await context.call(context.parts.upstream.library.ListTracksOfAlbum, request)
    return _page(page, answer.tracks, answer.next_page_token)


async def _first_page(
    context: RequestContext, page: PageRequest, listed: library_pb2.ArtistTracks | library_pb2.AlbumTracks | None
) -> Connection[Track]:
    if listed is None:
        return connection_from_page(page, [], "")
    found = await context.loaders.tracks.load_many(list(listed.track_ids))
    return _page(page, [message for message in found if message is not None], listed.next_page_token)


def _page(page: PageRequest, found: Sequence[catalog_pb2.Track], token: str) -> Connection[Track]:
    return connection_from_page(page, [Track.from_message(each) for each in found], token)
