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


def file_subject(playlist_id: str, format: PlaylistFormat) -> str:
    """Return what a sealed address of a playlist's file is for."""
    return f"playlist {playlist_id} {format.name}"


def export_url(
    context: RequestContext, playlist_id: str, format: PlaylistFormat, secret: str = "", *, is_closed: bool = False
) -> str:
    """Return the address of a playlist's file.

    Args:
        context: Of the caller.
        playlist_id: UUID.
        format: Of the file.
        secret: Of a stream token, where its rows shall play.
        is_closed: The address acts for the caller: nobody opens the playlist without being somebody.
    """
    query = urlencode({"token": secret}) if secret else ""
    if is_closed:
        query = context.sealed_query(file_subject(playlist_id, format))
    address = f"{context.parts.settings.public_url}/playlists/{playlist_id}/export.{format.name.lower()}"
    return f"{address}?{query}" if query else address
