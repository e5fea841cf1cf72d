"""How much there is."""

from typing import Self

import strawberry
from strawberry import field

from museed.retriever.v1 import retriever_pb2
from museed.social.v1 import catalog_pb2
from services.gateway.context import Info
from services.gateway.schema.fields import resolver
from services.gateway.schema.scalars import BigInt


@strawberry.type(description="Tracks of a genre.")
class GenreCount:
    """A genre and its share."""

    genre: str = field(description="One of the top-level genres.")
    track_count: int = field(description="Tracks.")


@strawberry.type(description="What the index of sounds holds.")
class IndexStats:
    """As the retriever describes it."""

    encoder_id: str = field(description="Model whose vectors are served.")
    dimension: int = field(description="Numbers in a vector; 0 while it is empty.")
    track_count: int = field(description="Tracks that can be found by sound.")
    kind: str = field(description='Kind of FAISS index, for example "flat".')
    is_caught_up: bool = field(description="Whether it has applied everything that it was sent.")

    @classmethod
    def from_message(cls, message: retriever_pb2.DescribeIndexResponse) -> Self:
        """Translate the retriever's message."""
        return cls(
            encoder_id=message.encoder_id,
            dimension=message.dimension,
            track_count=message.track_count,
            kind=message.kind,
            is_caught_up=message.is_caught_up,
        )


@strawberry.type(description="How much there is.")
class Stats:
    """Counts of the whole mesh."""

    track_count: int = field(description="Tracks of the library.")
    indexed_count: int = field(description="Tracks that playlists can use.")
    user_count: int = field(description="Accounts.")
    playlist_count: int = field(description="Playlists.")
    play_count: BigInt = field(description="Plays that count, as of a moment ago.")
    genres: list[GenreCount] = field(description="Tracks of each genre, most first.")

    @resolver("What the index of sounds holds; null with an error while it is away.")
    async def index(self, info: Info) -> IndexStats | None:
        """Ask the retriever."""
        method = info.context.parts.upstream.retriever.DescribeIndex
        return IndexStats.from_message(await info.context.call(method, retriever_pb2.DescribeIndexRequest()))

    @classmethod
    def from_message(cls, message: catalog_pb2.GetStatsResponse) -> Self:
        """Translate social's message."""
        return cls(
            track_count=message.track_count,
            indexed_count=message.indexed_count,
            user_count=message.user_count,
            playlist_count=message.playlist_count,
            play_count=BigInt(message.play_count),
            genres=[GenreCount(genre=each.genre, track_count=each.track_count) for each in message.genres],
        )


@strawberry.type
class StatsQuery:
    """Queries about everything together."""

    @resolver("How much there is.")
    async def stats(self, info: Info) -> Stats | None:
        """Ask social."""
        method = info.context.parts.upstream.catalog.GetStats
        return Stats.from_message(await info.context.call(method, catalog_pb2.GetStatsRequest()))
