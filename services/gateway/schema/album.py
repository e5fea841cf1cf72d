"""Albums of the library: one, found by title, and what is on them."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import strawberry
from strawberry import field, relay

from museed.social.v1 import library_pb2
from services.chassis.errors import NotFound
from services.gateway.context import Info, RequestContext
from services.gateway.covers.addresses import may_have_cover
from services.gateway.ids import decode_id
from services.gateway.schema.artist import Artist, Name, load_artist
from services.gateway.schema.fields import AnyId, resolver
from services.gateway.schema.owned_tracks import tracks_of_album
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request

if TYPE_CHECKING:
    from services.gateway.schema.track import Track

LazyTrack = Annotated["Track", strawberry.lazy("services.gateway.schema.track")]
OnlyArtist = Annotated[strawberry.ID | None, strawberry.argument(description="Only albums of this artist; else all.")]


@strawberry.type(description="An album: one title by one artist, or of one folder where nobody is named.")
class Album(relay.Node):
    """An album as social knows it."""

    _id_attr: ClassVar[str | None] = "album_id"

    album_id: strawberry.ID = field(description="Its UUID.")
    title: str = field(description="Title as the files say it.")
    artist_id: strawberry.ID | None = field(description="UUID of its artist; null where nobody is named.")
    year: int | None = field(description="Year of release, where it is known.")
    musicbrainz_release_id: str | None = field(description="MusicBrainz id of the release, a UUID.")
    may_have_cover: strawberry.Private[bool]

    @resolver("Its artist; null where nobody is named.")
    async def artist(self, info: Info) -> Artist | None:
        """Load the artist together with all others of the document."""
        return None if self.artist_id is None else await load_artist(info.context, self.artist_id)

    @resolver("The album's tracks in the order of its files; null with an error while they cannot be had.")
    async def tracks(self, info: Info, first: First = 20, after: After = None) -> Connection[LazyTrack] | None:
        """List them; the first pages of many albums come together."""
        return await tracks_of_album(info.context, self.album_id, first, after)

    @resolver(
        "Address of the first picture of its first 12 tracks; null where these were registered with none, 404 where it "
        "is gone."
    )
    def cover_url(self, info: Info) -> str | None:
        """The disk is asked by whoever follows it."""
        return f"{info.context.parts.settings.public_url}/albums/{self.album_id}/cover" if self.may_have_cover else None

    @classmethod
    def from_message(cls, message: library_pb2.Album) -> Self:
        """Translate social's message."""
        return cls(
            album_id=strawberry.ID(message.album_id),
            title=message.title,
            artist_id=strawberry.ID(message.artist_id) if message.artist_id else None,
            year=message.year or None,
            musicbrainz_release_id=message.musicbrainz_release_id or None,
            may_have_cover=may_have_cover(message),
        )


async def load_album(context: RequestContext, album_id: str) -> Album | None:
    """Return an album through the loader, None when there is none."""
    message = await context.loaders.albums.load(album_id)
    return None if message is None else Album.from_message(message)


async def require_album(context: RequestContext, album_id: str, field: str) -> Album:
    """Return an album through the loader.

    Raises:
        NotFound: ALBUM_NOT_FOUND.
    """
    album = await load_album(context, album_id)
    if album is None:
        raise NotFound("there is no such album", reason="ALBUM_NOT_FOUND", field=field, value=album_id)
    return album


async def albums_of_artist(context: RequestContext, artist_id: str, first: int, after: str | None) -> Connection[Album]:
    """List an artist's albums by title."""
    page = page_request(first, after)
    if page.token:
        request = library_pb2.SearchAlbumsRequest(artist_id=artist_id, page_size=page.size, page_token=page.token)
        answer = await context.call(context.parts.upstream.library.SearchAlbums, request)
        found, token = list(answer.albums), answer.next_page_token
    else:
        listed = await context.loaders.albums_of_artists.load((artist_id, page.size))
        found, token = (list(listed.albums), listed.next_page_token) if listed is not None else ([], "")
    return connection_from_page(page, [Album.from_message(each) for each in found], token)


@strawberry.type
class AlbumQuery:
    """Queries about albums."""

    @resolver("An album by id.")
    async def album(self, info: Info, id: AnyId) -> Album | None:
        """Load it; an unknown one is a coded error."""
        return await require_album(info.context, decode_id(id, "Album", "id"), "id")

    @resolver(
        "Albums by title, best first; accents, case and small typos do not matter, Korean initials do. "
        "Empty text lists by title."
    )
    async def search_albums(
        self,
        info: Info,
        query: Name = "",
        artist_id: OnlyArtist = None,
        first: First = 20,
        after: After = None,
    ) -> Connection[Album] | None:
        """Search in social's library."""
        page = page_request(first, after)
        request = library_pb2.SearchAlbumsRequest(
            query=query,
            artist_id=decode_id(artist_id, "Artist", "artistId") if artist_id is not None else "",
            page_size=page.size,
            page_token=page.token,
        )
        answer = await info.context.call(info.context.parts.upstream.library.SearchAlbums, request)
        nodes = [Album.from_message(each) for each in answer.albums]
        return connection_from_page(page, nodes, answer.next_page_token)
