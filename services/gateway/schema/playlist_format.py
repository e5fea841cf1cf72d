"""Formats of playlists' files, and where such a file is had."""

from enum import Enum
from urllib.parse import urlencode

import strawberry

from museed.social.v1 import exchange_pb2
from services.gateway.context import RequestContext
from services.gateway.schema.fields import member


@strawberry.enum(description="Format of a playlist's file.")
class PlaylistFormat(Enum):
    """Social's values."""

    M3U8 = member(exchange_pb2.PLAYLIST_FORMAT_M3U8, "Extended M3U in UTF-8.")
    JSPF = member(exchange_pb2.PLAYLIST_FORMAT_JSPF, "JSON Shareable Playlist Format.")
    XSPF = member(exchange_pb2.PLAYLIST_FORMAT_XSPF, "XML Shareable Playlist Format.")


def export_url(context: RequestContext, playlist_id: str, format: PlaylistFormat, secret: str = "") -> str:
    """Return the address of a playlist's file, with a stream token's secret where its rows shall play."""
    query = f"?{urlencode({'token': secret})}" if secret else ""
    return f"{context.parts.settings.public_url}/playlists/{playlist_id}/export.{format.name.lower()}{query}"
