"""Artists of the library: one, found by name, and what is theirs."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import strawberry
from strawberry import field, relay

from museed.social.v1 import library_pb2
from services.chassis.errors import NotFound
from services.gateway.context import Info, RequestContext
from services.gateway.ids import decode_id
from services.gateway.schema.fields import AnyId, resolver
from services.gateway.schema.owned_tracks import tracks_of_artist
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request

if TYPE_CHECKING:
    from services.gateway.schema.album import Album
    from services.gateway.schema.track import Track

LazyTrack = Annotated["Track", strawberry.lazy("services.gateway.schema.track")]
LazyAlbum = Annotated["Album", strawberry.lazy("services.gateway.schema.album")]
Name = Annotated[str, strawberry.argument(description="At most 200 characters.")]


@strawberry.type(description="An artist of the library: everybody of one name is one.")
class Artist(relay.Node):
    """An artist as social knows it."""

    _id_attr: ClassVar[str | None] = "artist_id"

    artist_id: strawberry.ID = field(description="Its UUID.")
    name: str = field(description="Name as the files say it.")
    musicbrainz_artist_id: str | None = field(description="MusicBrainz id of the artist, a UUID.")
    track_count: int = field(description="Tracks of the library.")

    @resolver("The artist's tracks by title; null with an error while they cannot be had.")
    async def tracks(self, info: Info, first: First = 20, after: After = None) -> Connection[LazyTrack] | None:
        """List them; the first pages of many artists come together."""
        return await tracks_of_artist(info.context, self.artist_id, first, after)

    @resolver("The artist's albums by title; null with an error while they cannot be had.")
    async def albums(self, info: Info, first: First = 20, after: After = None) -> Connection[LazyAlbum] | None:
        """List them; the first pages of many artists come together."""
        from services.gateway.schema.album import albums_of_artist

        return await albums_of_artist(info.context, self.artist_id, first, after)

    @classmethod
    def from_message(cls, message: library_pb2.Artist) -> Self:
        """Translate social's message."""
        return cls(
            artist_id=strawberry.ID(message.artist_id),
            name=message.name,
            musicbrainz_artist_id=message.musicbrainz_artist_id or None,
            track_count=message.track_count,
        )


async def load_artist(context: RequestContext, artist_id: str) -> Artist | None:
    """Return an artist through the loader, None when there is none."""
    message = await context.loaders.artists.load(artist_id)
    return None if message is None else Artist.from_message(message)


async def require_artist(context: RequestContext, artist_id: str, field: str) -> Artist:
    """Return an artist through the loader.

    Raises:
        NotFound: ARTIST_NOT_FOUND.
    """
    artist = await load_artist(context, artist_id)
    if artist is None:
        raise NotFound("there is no such artist", reason="ARTIST_NOT_FOUND", field=field, value=artist_id)
    return artist


@strawberry.type
class ArtistQuery:
    """Queries about artists."""

    @resolver("An artist by id.")
    async def artist(self, info: Info, id: AnyId) -> Artist | None:
        """Load it; an unknown one is a coded error."""
        return await require_artist(info.context, decode_id(id, "Artist", "id"), "id")

    @resolver(
        "Artists by name, best first; accents, case and small typos do not matter, Korean initials do. "
        "Empty text lists by name."
    )
    async def search_artists(
        self, info: Info, query: Name = "", first: First = 20, after: After = None
    ) -> Connection[Artist] | None:
        """Search in social's library."""
        page = page_request(first, after)
        request = library_pb2.SearchArtistsRequest(query=query, page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.library.SearchArtists, request)
        nodes = [Artist.from_message(each) for each in answer.artists]
        return connection_from_page(page, nodes, answer.next_page_token)
