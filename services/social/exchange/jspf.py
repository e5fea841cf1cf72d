"""JSPF: XSPF in JSON."""

import json
from typing import Any

from services.social.errors.exchange import PlaylistFileUnreadable
from services.social.exchange.links import identifiers, location
from services.social.exchange.rows import FileRow, PlaylistFile, WrittenPlaylist, check_rows, cleaned, row_of

# Reading holds the interpreter, and with it all other calls: 5 MB of "[]," would take it for most of a second.
_MOST_VALUES = 200_000


def read(content: bytes) -> PlaylistFile:
    """Read a file.

    Raises:
        PlaylistFileUnreadable: Not JSON in UTF-8, with more than about 200,000 values, or not a playlist.
        OutOfRange: Too many rows.
    """
    if sum(content.count(mark) for mark in (b",", b"[", b"{")) > _MOST_VALUES:
        raise PlaylistFileUnreadable(1, "too many values")
    try:
        said = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise PlaylistFileUnreadable(error.lineno, error.msg) from error
    except UnicodeDecodeError as error:
        raise PlaylistFileUnreadable(content.count(b"\n", 0, error.start) + 1, "not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise PlaylistFileUnreadable(1, "a number that is none, or too deep") from error
    playlist = said.get("playlist") if isinstance(said, dict) else None
    tracks = playlist.get("track", []) if isinstance(playlist, dict) else None
    if not isinstance(playlist, dict) or not isinstance(tracks, list):
        raise PlaylistFileUnreadable(1, "no playlist with tracks")
    check_rows(len(tracks))
    return PlaylistFile(cleaned(playlist.get("title")), [_row(track) for track in tracks])


def write(playlist: WrittenPlaylist) -> bytes:
    """Write a file; lengths are in milliseconds."""
    tracks = []
    for row in playlist.rows:
        said = {
            "location": [location(row)],
            "identifier": identifiers(row),
            "title": cleaned(row.title),
            "creator": cleaned(row.artist),
            "album": cleaned(row.album),
            "duration": round(row.seconds * 1000),
        }
        tracks.append({name: value for name, value in said.items() if value})
    whole = {"title": cleaned(playlist.title), "annotation": playlist.description, "track": tracks}
    shown = {name: value for name, value in whole.items() if value or name == "track"}
    return json.dumps({"playlist": shown}, ensure_ascii=False, indent=1).encode("utf-8", "replace")


def _row(track: object) -> FileRow:
    said: dict[str, Any] = track if isinstance(track, dict) else {}
    duration = said.get("duration")
    is_number = isinstance(duration, int | float) and not isinstance(duration, bool) and abs(duration) < 1e12
    named = said.get("identifier", [])
    return row_of(
        said.get("title"),
        said.get("creator"),
        said.get("album"),
        float(duration) / 1000 if is_number and duration is not None else 0.0,
        named if isinstance(named, list) else [named],
    )


def _refuse(constant: str) -> float:
    raise ValueError(constant)
