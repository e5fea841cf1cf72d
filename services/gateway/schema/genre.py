"""The genres of the library."""

from typing import Self

import strawberry
from strawberry import field

from museed.social.v1 import library_pb2
from services.gateway.context import Info
from services.gateway.schema.fields import resolver


@strawberry.type(description="One of the 16 top-level genres. Its tracks are `searchTracks(genre:)`.")
class Genre:
    """A genre with its counts."""

    name: str = field(description='For example "Rock".')
    track_count: int = field(description="Tracks under it.")
    unknown_count: int = field(description="Tracks of these whose files name no genre, or none that is known.")

    @classmethod
    def from_message(cls, message: library_pb2.Genre) -> Self:
        """Translate social's message."""
        return cls(name=message.name, track_count=message.track_count, unknown_count=message.unknown_count)


@strawberry.type
class GenreQuery:
    """Queries about genres."""

    @resolver("All 16 genres, most tracks first.")
    async def genres(self, info: Info) -> list[Genre] | None:
        """Ask social."""
        method = info.context.parts.upstream.library.ListGenres
        answer = await info.context.call(method, library_pb2.ListGenresRequest())
        return [Genre.from_message(each) for each in answer.genres]
