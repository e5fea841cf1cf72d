"""Extended M3U in UTF-8: a line for each file, its length and name in a comment before it."""

import re
from urllib.parse import quote, unquote_to_bytes

from services.social.domain.catalog import title_of
from services.social.errors.exchange import PlaylistFileUnreadable
from services.social.exchange.rows import (
    FileRow,
    PlaylistFile,
    TrackRow,
    WrittenPlaylist,
    check_rows,
    cleaned,
    length,
)

_SEPARATOR = " - "
_MOST_READINGS = 4
# Of 1,000 rows with a hundred comments each; 5 MB may have millions.
_MOST_LINES = 100_000
_LINE_END = re.compile(b"\r\n|\n|\r")
_LENGTH = re.compile(r"\s*(-?\d{1,9}(?:\.\d{1,9})?)")
# What would end a line, or not survive in one.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def read(content: bytes) -> PlaylistFile:
    """Read a file; rows without a name are named after their file.

    Raises:
        PlaylistFileUnreadable: Not text in UTF-8, or with more than 100,000 lines.
        OutOfRange: Too many rows.
    """
    title, rows, said = "", list[FileRow](), _Said()
    lines = _LINE_END.split(content.removeprefix(b"\xef\xbb\xbf"), maxsplit=_MOST_LINES)
    if len(lines) > _MOST_LINES and lines.pop():
        raise PlaylistFileUnreadable(_MOST_LINES + 1, "too many lines")
    for number, line in enumerate(lines, start=1):
        text = _text(line, number)
        if text.startswith("#"):
            title = cleaned(text.removeprefix("#PLAYLIST:")) if text.startswith("#PLAYLIST:") else title
            said.hear(text)
        elif text:
            rows.append(said.row(text))
            said = _Said()
            check_rows(len(rows))
    return PlaylistFile(title, rows)


def write(playlist: WrittenPlaylist) -> bytes:
    """Write a file."""
    lines = ["#EXTM3U", f"#PLAYLIST:{cleaned(playlist.title)}"]
    for row in playlist.rows:
        name = _SEPARATOR.join(filter(None, (cleaned(row.artist), cleaned(row.title))))
        lines += [f"#EXTINF:{round(row.seconds)},{name}", row.address or _path(row)]
    return ("\n".join(lines) + "\n").encode("utf-8")


class _Said:
    """What comments said of the file that comes next."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.name = ""
        self.artist = ""
        self.album = ""

    def hear(self, line: str) -> None:
        if line.startswith("#EXTINF:"):
            before, _, name = line.removeprefix("#EXTINF:").partition(",")
            found = _LENGTH.match(before)
            self.seconds, self.name = length(float(found[1])) if found else 0.0, cleaned(name)
        elif line.startswith("#EXTART:"):
            self.artist = cleaned(line.removeprefix("#EXTART:"))
        elif line.startswith("#EXTALB:"):
            self.album = cleaned(line.removeprefix("#EXTALB:"))

    def row(self, location: str) -> FileRow:
        name = self.name or cleaned(title_of(_bytes_of(location) or b"Untitled"))
        if self.artist:
            readings = [(name.removeprefix(self.artist + _SEPARATOR), self.artist)]
        else:
            readings = _readings(name)
        return FileRow(*readings[0], self.album, self.seconds, None, None, tuple(readings))


def _readings(name: str) -> list[tuple[str, str]]:
    """Return what "A - B - C" may mean: who can say where the artist ends?"""
    parts = name.split(_SEPARATOR)
    places = range(1, min(len(parts), _MOST_READINGS + 1))
    readings = [(_SEPARATOR.join(parts[at:]).strip(), _SEPARATOR.join(parts[:at]).strip()) for at in places]
    return [(title, artist) for title, artist in readings if title and artist] or [(name, "")]


def _text(line: bytes, number: int) -> str:
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise PlaylistFileUnreadable(number, "not UTF-8") from error
    if "\0" in text:
        raise PlaylistFileUnreadable(number, "not text")
    return text


def _bytes_of(location: str) -> bytes:
    path = location.replace("\\", "/").split("?")[0] if "://" in location else location.replace("\\", "/")
    return (unquote_to_bytes(path) if "://" in location else path.encode()).replace(b"\0", b"").rstrip(b"/")


def _path(row: TrackRow) -> str:
    """Return a path as it is, or percent-encoded where a line of text cannot hold it."""
    try:
        path = row.path.decode("utf-8")
    except UnicodeDecodeError:
        return quote(row.path)
    if _UNFIT.search(path) or path != path.strip():
        return quote(row.path)
    return f"./{path}" if path.startswith("#") else path
