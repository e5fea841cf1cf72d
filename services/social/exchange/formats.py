"""The formats of playlists' files side by side."""

import re
from collections.abc import Callable

from services.social.exchange import jspf, m3u8, xspf
from services.social.exchange.rows import Format, PlaylistFile, WrittenPlaylist, check_size, cleaned

_READ: dict[Format, Callable[[bytes], PlaylistFile]] = {
    Format.M3U8: m3u8.read,
    Format.JSPF: jspf.read,
    Format.XSPF: xspf.read,
}
_WRITE: dict[Format, Callable[[WrittenPlaylist], bytes]] = {
    Format.M3U8: m3u8.write,
    Format.JSPF: jspf.write,
    Format.XSPF: xspf.write,
}
CONTENT_TYPES = {
    Format.M3U8: "audio/x-mpegurl",
    Format.JSPF: "application/json",
    Format.XSPF: "application/xspf+xml",
}
_LONGEST_STEM = 80
# What one file system or another, or a header of HTTP, does not take.
_UNFIT = re.compile(r'[\\/:*?"<>|]+')


def read(format_: Format, content: bytes) -> PlaylistFile:
    """Read a file; takes up to seconds, so call it beside the event loop.

    Raises:
        PlaylistFileUnreadable: Not of this format.
        OutOfRange: More than 5,000,000 bytes or 1,000 rows.
    """
    check_size(content)
    return _READ[format_](content)


def write(format_: Format, playlist: WrittenPlaylist) -> bytes:
    """Write a file; reading it gives the same rows."""
    return _WRITE[format_](playlist)


def file_name(title: str, format_: Format) -> str:
    """Return a name that a file of this playlist can have everywhere."""
    stem = _UNFIT.sub("_", cleaned(title))[:_LONGEST_STEM].strip(" .") or "playlist"
    return f"{stem}.{format_.lower()}"
