"""Who likes a playlist."""

from datetime import datetime

import strawberry
from strawberry import field, relay

from museed.social.v1 import engagement_pb2
from services.gateway.context import RequestContext
from services.gateway.playlist_loaders import PageKey
from services.gateway.schema.paging import connection_from_page, page_request
from services.gateway.schema.user import User
from services.gateway.schema.values import to_datetime


@strawberry.type(description="Somebody who likes a playlist.")
class LikerEdge:
    """An edge that says since when."""

    cursor: str = field(description="Give it as `after` to go on behind this person.")
    node: User = field(description="The person.")
    liked_at: datetime = field(description="Since when they like it.")


@strawberry.type(description="People who like a playlist, newest likes first.")
class LikerConnection:
    """A page of people."""

    page_info: relay.PageInfo = field(description="Whether and where it goes on.")
    edges: list[LikerEdge] = field(description="The people, and since when.")
    nodes: list[User] = field(description="The people alone.")


async def likers_of(context: RequestContext, playlist_id: str, first: int, after: str | None) -> LikerConnection:
    """Return who likes a playlist: first pages of many in one call, further ones by themselves."""
    page = page_request(first, after)
    found: engagement_pb2.LikersOfPlaylist | engagement_pb2.ListLikersResponse | None
    if page.token:
        request = engagement_pb2.ListLikersRequest(playlist_id=playlist_id, page_size=page.size, page_token=page.token)
        found = await context.call(context.parts.upstream.engagement.ListLikers, request)
    else:
        found = await context.loaders.of_playlists.likers.load(PageKey(playlist_id, page.size))
    likers, next_token = ([], "") if found is None else (list(found.likers), found.next_page_token)
    made = connection_from_page(page, likers, next_token)
    edges = [
        LikerEdge(cursor=edge.cursor, node=User.from_message(edge.node.user), liked_at=to_datetime(edge.node.liked_at))
        for edge in made.edges
    ]
    return LikerConnection(page_info=made.page_info, edges=edges, nodes=[edge.node for edge in edges])
