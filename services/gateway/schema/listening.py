"""What a person listens to: genres, tracks and artists, by how far back one looks."""

from enum import Enum
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import listening_pb2
from services.chassis.errors import InvalidArgument
from services.gateway.context import Info
from services.gateway.schema.artist import Artist, load_artist
from services.gateway.schema.fields import member, resolver
from services.gateway.schema.scalars import BigInt
from services.gateway.schema.track import Track, load_track

MAX_TOP_COUNT = 50


@strawberry.enum(description="How far back, in days and months of UTC.")
class ListeningRange(Enum):
    """Social's values."""

    WEEK = member(listening_pb2.LISTENING_RANGE_WEEK, "The last 7 days.")
    MONTH = member(listening_pb2.LISTENING_RANGE_MONTH, "The last 30 days.")
    YEAR = member(listening_pb2.LISTENING_RANGE_YEAR, "This month and the 11 before.")
    ALL = member(listening_pb2.LISTENING_RANGE_ALL, "Since the first play.")


Range = Annotated[ListeningRange, strawberry.argument(description="How far back.")]
TopCount = Annotated[int, strawberry.argument(description="Tracks and artists wanted, 1 to 50.")]


@strawberry.type(description="A genre in a whole.")
class GenreShare:
    """A slice of a pie."""

    genre: str = field(description="One of the 16 top-level genres.")
    count: BigInt = field(description="Plays or tracks.")
    share: float = field(description="Its part of the whole, above 0 and at most 1; all parts together are 1.")

    @classmethod
    def from_message(cls, message: listening_pb2.GenreShare) -> Self:
        """Translate social's message."""
        return cls(genre=message.genre, count=BigInt(message.count), share=message.share)


@strawberry.type(description="A track that is heard.")
class TrackPlays:
    """A track and how often."""

    track_id: strawberry.ID = field(description="UUID of the track.")
    play_count: BigInt = field(description="Plays that count.")

    @resolver("The track; null when it was deleted.")
    async def track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return await load_track(info.context, self.track_id)


@strawberry.type(description="An artist who is heard.")
class ArtistPlays:
    """An artist and how often."""

    artist_id: strawberry.ID = field(description="UUID of the artist.")
    name: str = field(description="Name as the files say it.")
    play_count: BigInt = field(description="Plays that count.")

    @resolver("The artist; null when none of their tracks is left.")
    async def artist(self, info: Info) -> Artist | None:
        """Load them together with all others of the document."""
        return await load_artist(info.context, self.artist_id)


@strawberry.type(description="What somebody listens to.")
class Listening:
    """Figures of a range."""

    play_count: BigInt = field(description="Plays that count.")
    heard_seconds: float = field(description="Seconds heard in them.")
    top_genre: str | None = field(description="What is heard most; null before the first play.")
    listened: list[GenreShare] = field(description="Genres of the plays, most first.")
    made: list[GenreShare] = field(
        description="Genres of the tracks of the newest 100 playlists that they made, most first, whatever the range; "
        "to others of public ones."
    )
    top_tracks: list[TrackPlays] = field(description="Tracks heard most, most first.")
    top_artists: list[ArtistPlays] = field(description="Artists heard most, most first.")

    @classmethod
    def from_message(cls, message: listening_pb2.GetListeningResponse) -> Self:
        """Translate social's message."""
        return cls(
            play_count=BigInt(message.play_count),
            heard_seconds=message.heard_seconds,
            top_genre=message.top_genre or None,
            listened=[GenreShare.from_message(share) for share in message.listened],
            made=[GenreShare.from_message(share) for share in message.made],
            top_tracks=[
                TrackPlays(track_id=strawberry.ID(one.track_id), play_count=BigInt(one.play_count))
                for one in message.top_tracks
            ],
            top_artists=[
                ArtistPlays(artist_id=strawberry.ID(one.artist_id), name=one.name, play_count=BigInt(one.play_count))
                for one in message.top_artists
            ],
        )


def check_top_count(top_count: int) -> None:
    """Refuse other counts than 1 to 50: upstream's 0 is "left out".

    Raises:
        InvalidArgument: OUT_OF_RANGE.
    """
    if not 1 <= top_count <= MAX_TOP_COUNT:
        raise InvalidArgument(
            f"topCount is {top_count}, it must be 1 to {MAX_TOP_COUNT}",
            reason="OUT_OF_RANGE",
            field="topCount",
            value=top_count,
            limit=MAX_TOP_COUNT,
        )
