"""Playlists of everybody: what is popular now, and what is new."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import field, relay

from museed.social.v1 import feed_pb2
from services.gateway.context import Info
from services.gateway.schema.fields import resolver
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_of, page_request
from services.gateway.schema.playlist import Playlist
from services.gateway.schema.values import to_datetime

TitleWords = Annotated[
    str, strawberry.argument(description="What to look for; whatever has no letter and no digit finds nothing.")
]


@strawberry.type(description="A place in the ranking.")
class TrendingPlaylistEdge:
    """A rank."""

    cursor: str = field(description="Give it as `after` to go on behind this place.")
    node: Playlist = field(description="The playlist.")
    rank: int = field(description="From 1; places whose playlist is not public any more are left out.")


@strawberry.type(description="A part of the ranking of public playlists.")
class TrendingPlaylistConnection:
    """Best first."""

    page_info: relay.PageInfo = field(description="Whether and where it goes on.")
    edges: list[TrendingPlaylistEdge] = field(description="The places with their cursors.")
    nodes: list[Playlist] = field(description="The playlists alone.")
    made_at: datetime | None = field(description="When the ranking was made; null before the first one.")


@strawberry.type
class ChartQuery:
    """Queries that guests begin with."""

    @resolver(
        "The playlists that are liked, saved, commented and played most by others, of late, at most 500. Pages belong "
        "to one ranking; after 30 minutes they are PAGE_EXPIRED: start again."
    )
    async def trending_playlists(
        self, info: Info, first: First = 20, after: After = None
    ) -> TrendingPlaylistConnection | None:
        """List them."""
        page = page_request(first, after)
        request = feed_pb2.ListTrendingRequest(page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.feed.ListTrending, request)
        shown, page_info = page_of(page, answer.playlists, answer.next_page_token)
        edges = [
            TrendingPlaylistEdge(cursor=at, node=Playlist.from_message(each.playlist), rank=each.rank)
            for at, each in shown
        ]
        return TrendingPlaylistConnection(
            page_info=page_info,
            edges=edges,
            nodes=[edge.node for edge in edges],
            made_at=to_datetime(answer.made_at) if answer.HasField("made_at") else None,
        )

    @resolver(
        "Public playlists by words of their titles and of the names of who owns them, best first, at most some "
        "hundreds. Case and accents do not matter, and where little is found, words may be misspelt; of equal ones "
        "those made public last come first."
    )
    async def search_playlists(
        self, info: Info, query: TitleWords, first: First = 20, after: After = None
    ) -> Connection[Playlist] | None:
        """Search."""
        page = page_request(first, after)
        request = feed_pb2.SearchPlaylistsRequest(query=query, page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.feed.SearchPlaylists, request)
        nodes = [Playlist.from_message(each) for each in answer.playlists]
        return connection_from_page(page, nodes, answer.next_page_token)

    @resolver("Public playlists, those made public last first.")
    async def latest_playlists(self, info: Info, first: First = 20, after: After = None) -> Connection[Playlist] | None:
        """List them."""
        page = page_request(first, after)
        request = feed_pb2.ListLatestRequest(page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.feed.ListLatest, request)
        nodes = [Playlist.from_message(each) for each in answer.playlists]
        return connection_from_page(page, nodes, answer.next_page_token)
