"""XSPF version 1 (xspf.org/spec): playlists in XML, read without DTD and entities, within bounds."""

import io
import re
import xml.etree.ElementTree as Tree

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError, iterparse

from services.social.errors.exchange import PlaylistFileUnreadable
from services.social.exchange.links import identifiers, location
from services.social.exchange.rows import FileRow, PlaylistFile, WrittenPlaylist, check_rows, cleaned, row_of

NAMESPACE = "http://xspf.org/ns/0/"
_DEEPEST = 16
_MOST_ELEMENTS = 100_000
# expat before 2.6 begins a tag that is not whole again with each piece: one of 5 MB in pieces of 16 KiB took 1.5 s.
_PIECE_BYTES = 256 * 1024
_TRACK = ["playlist", "trackList", "track"]
_NUMBER = re.compile(r"\s*([0-9]{1,12})\s*")
# What XML 1.0 cannot hold, but for line breaks.
_UNFIT = re.compile("[^\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read(content: bytes) -> PlaylistFile:
    """Read a file.

    Raises:
        PlaylistFileUnreadable: Not XML, with a DTD, deeper than 16, with more than 100,000 elements, or no playlist.
        OutOfRange: Too many rows.
    """
    parser = DefusedXMLParser(forbid_dtd=True)
    try:
        return _read(content, parser)
    except ParseError as error:
        raise PlaylistFileUnreadable(error.position[0], "not XML") from error
    except DefusedXmlException as error:
        raise PlaylistFileUnreadable(parser.parser.CurrentLineNumber, "a DTD or an entity") from error
    except (LookupError, ValueError) as error:
        raise PlaylistFileUnreadable(1, "an encoding that is not known") from error


def write(playlist: WrittenPlaylist) -> bytes:
    """Write a file; lengths are in milliseconds."""
    root = Tree.Element("playlist", {"version": "1", "xmlns": NAMESPACE})
    _add(root, "title", cleaned(playlist.title))
    _add(root, "annotation", _UNFIT.sub(" ", playlist.description))
    tracks = Tree.SubElement(root, "trackList")
    for row in playlist.rows:
        track = Tree.SubElement(tracks, "track")
        _add(track, "location", location(row))
        for identifier in identifiers(row):
            _add(track, "identifier", identifier)
        _add(track, "title", cleaned(row.title))
        _add(track, "creator", cleaned(row.artist))
        _add(track, "album", cleaned(row.album))
        _add(track, "duration", str(round(row.seconds * 1000)) if row.seconds else "")
    Tree.indent(root)
    written: bytes = Tree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


class _Pieces(io.BytesIO):
    """A file that is read in larger pieces than are asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(_PIECE_BYTES if size else size)


def _read(content: bytes, parser: DefusedXMLParser) -> PlaylistFile:
    title, rows, path, count = "", list[FileRow](), list[str](), 0
    for event, element in iterparse(_Pieces(content), events=("start", "end"), parser=parser):
        line = parser.parser.CurrentLineNumber
        if event == "start":
            path.append(_name(element))
            count += 1
            if path[0] != "playlist":
                raise PlaylistFileUnreadable(line, "no playlist")
            if len(path) > _DEEPEST or count > _MOST_ELEMENTS:
                raise PlaylistFileUnreadable(line, "too deep or too many elements")
            continue
        if path == _TRACK:
            rows.append(_row(element))
            check_rows(len(rows))
            element.clear()
        elif path == ["playlist", "title"]:
            title = cleaned(element.text)
        path.pop()
    return PlaylistFile(title, rows)


def _row(track: Tree.Element) -> FileRow:
    said = {_name(child): child.text for child in track}
    found = _NUMBER.fullmatch(said.get("duration") or "")
    named: list[object] = [child.text for child in track if _name(child) == "identifier"]
    seconds = int(found[1]) / 1000 if found else 0.0
    return row_of(said.get("title"), said.get("creator"), said.get("album"), seconds, named)


def _name(element: Tree.Element) -> str:
    return element.tag.rsplit("}", 1)[-1]


def _add(parent: Tree.Element, name: str, text: str) -> None:
    if text:
        Tree.SubElement(parent, name).text = text
