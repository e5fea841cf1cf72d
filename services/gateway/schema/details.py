"""What is known of a track beside its sound: whose it is, and what its source says of it."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import library_pb2
from services.gateway.context import Info
from services.gateway.schema.fields import resolver
from services.gateway.schema.values import to_datetime

if TYPE_CHECKING:
    from services.gateway.schema.album import Album
    from services.gateway.schema.artist import Artist

LazyArtist = Annotated["Artist", strawberry.lazy("services.gateway.schema.artist")]
LazyAlbum = Annotated["Album", strawberry.lazy("services.gateway.schema.album")]


@strawberry.type(description="What is known of a track beside its sound. Null is not known.")
class TrackDetails:
    """Details as social knows them."""

    artist_id: strawberry.ID | None = field(description="UUID of its artist; null also where not looked up yet.")
    album_id: strawberry.ID | None = field(description="UUID of its album; null also where not looked up yet.")
    is_genre_known: bool = field(description="False where the track's genre is only the fallback.")
    sub_genres: list[str] = field(description="Genres below the top-level one, as the source says them.")
    source_tags: list[str] = field(description="Tags as the source says them; what the model hears is in `tags`.")
    isrc: str | None = field(description="International Standard Recording Code, 12 characters.")
    musicbrainz_recording_id: str | None = field(description="MusicBrainz id of the recording, a UUID.")
    licence: str | None = field(description="Licence as the source says it, a name or an address.")
    source: str | None = field(description='Where it came from, for example "folder", "fma" or "jamendo".')
    missing_since: datetime | None = field(description="Since when its file is missing; null while it is there.")

    @resolver("Its artist.")
    async def artist(self, info: Info) -> LazyArtist | None:
        """Load the artist together with all others of the document."""
        from services.gateway.schema.artist import load_artist

        return None if self.artist_id is None else await load_artist(info.context, self.artist_id)

    @resolver("Its album.")
    async def album(self, info: Info) -> LazyAlbum | None:
        """Load the album together with all others of the document."""
        from services.gateway.schema.album import load_album

        return None if self.album_id is None else await load_album(info.context, self.album_id)

    @classmethod
    def from_message(cls, message: library_pb2.TrackDetails) -> Self:
        """Translate social's message."""
        missing = message.HasField("missing_since")
        return cls(
            artist_id=strawberry.ID(message.artist_id) if message.artist_id else None,
            album_id=strawberry.ID(message.album_id) if message.album_id else None,
            is_genre_known=message.is_genre_known,
            sub_genres=list(message.sub_genres),
            source_tags=list(message.source_tags),
            isrc=message.isrc or None,
            musicbrainz_recording_id=message.musicbrainz_recording_id or None,
            licence=message.licence or None,
            source=message.source or None,
            missing_since=to_datetime(message.missing_since) if missing else None,
        )
