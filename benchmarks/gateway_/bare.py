"""The same page from a Strawberry that has it in memory and knows nothing else: no limits, no tokens, no upstreams."""

import base64
from dataclasses import fields
from datetime import UTC

import strawberry
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.asgi import GraphQL

from benchmarks.gateway_.inside import page

DOCUMENT = """query Page($id: ID!) {
  playlist(id: $id) {
    id playlistId title visibility entryCount version createdAt owner { id username nickname }
    entries(first: 25) {
      pageInfo { hasNextPage endCursor }
      nodes {
        entryId position isSeed similarity
        track { id trackId title artist album genre year durationSeconds }
      }
    }
  }
}"""


@strawberry.type
class User:
    """An owner."""

    id: strawberry.ID
    username: str
    nickname: str


@strawberry.type
class Track:
    """A track."""

    id: strawberry.ID
    track_id: strawberry.ID
    title: str
    artist: str | None
    album: str | None
    genre: str
    year: int | None
    duration_seconds: float


@strawberry.type
class Entry:
    """A place."""

    entry_id: strawberry.ID
    position: int
    is_seed: bool
    similarity: float | None
    track: Track | None


@strawberry.type
class PageInfo:
    """Where it goes on."""

    has_next_page: bool
    end_cursor: str | None


@strawberry.type
class Entries:
    """A page."""

    page_info: PageInfo
    nodes: list[Entry]


@strawberry.type
class Playlist:
    """A playlist."""

    id: strawberry.ID
    playlist_id: strawberry.ID
    title: str
    visibility: str
    entry_count: int
    version: int
    created_at: str
    owner: User
    whole: strawberry.Private[Entries]

    @strawberry.field
    async def entries(self, first: int = 100) -> Entries:
        """Give the page."""
        return self.whole


def _global_id(kind: str, uuid: str) -> strawberry.ID:
    return strawberry.ID(base64.b64encode(f"{kind}:{uuid}".encode()).decode())


def _playlist() -> Playlist:
    whole, tracks, owner = page()
    copied = {field.name for field in fields(Track)} - {"id"}  # type: ignore[arg-type]  # Strawberry makes it one
    nodes = [
        Entry(
            entry_id=strawberry.ID(entry.entry_id),
            position=entry.position,
            is_seed=entry.is_seed,
            similarity=round(entry.similarity, 6),
            track=Track(
                id=_global_id("Track", entry.track_id),
                **{name: getattr(tracks[entry.track_id], name) for name in copied},
            ),
        )
        for entry in whole.entries
    ]
    end = base64.urlsafe_b64encode(f"0:{len(nodes)}".encode()).decode()
    return Playlist(
        id=_global_id("Playlist", whole.playlist.playlist_id),
        playlist_id=strawberry.ID(whole.playlist.playlist_id),
        title=whole.playlist.title,
        visibility="PUBLIC",
        entry_count=len(nodes),
        version=whole.playlist.version,
        created_at=whole.playlist.created_at.ToDatetime(tzinfo=UTC).isoformat(),
        owner=User(id=_global_id("User", owner.user_id), username=owner.username, nickname=owner.nickname),
        whole=Entries(page_info=PageInfo(has_next_page=False, end_cursor=end), nodes=nodes),
    )


def make_app() -> Starlette:
    """Return the application."""
    playlist = _playlist()

    @strawberry.type
    class Query:
        """What can be read."""

        @strawberry.field
        async def playlist(self, id: strawberry.ID) -> Playlist:
            """Give it."""
            return playlist

    return Starlette(routes=[Route("/graphql", GraphQL(strawberry.Schema(Query)))])
