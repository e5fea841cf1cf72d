"""A manifest: any catalogue as JSON Lines, one track a line, after an optional first line with its own genre map.

    {"manifest": 1, "source": "melon", "root": "/srv/music", "genres": {"Ballad": "Pop", "Trot": "International"}}
    {"path": "a/b.flac", "title": "…", "artist": "…", "album": "…", "genre": "Ballad", "year": 2019, "isrc": "…"}

Only `path` is needed; what a line does not say is read from the file. Keys that are not known are passed over.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from services.social.sources.genre_maps import key_of, own_map
from services.social.sources.rows import (
    LONGEST_LINE_BYTES,
    MUSICBRAINZ_IDS,
    LeftOut,
    Line,
    Reason,
    SourceError,
    SourceTrack,
    checked,
    cleaned,
    lines,
    shown,
    year_of,
)

_DEFAULT_SOURCE = "manifest"
_LONGEST_SOURCE = 50


@dataclass(frozen=True, slots=True)
class Head:
    """What the first line says of all others; `root` is empty where it does not say where the files are."""

    source: str = _DEFAULT_SOURCE
    root: str = ""
    genres: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that is being read."""

    head: Head
    rows: Iterator[SourceTrack | LeftOut]


def read_manifest(stream: BinaryIO) -> Manifest:
    """Read a manifest; the rows are read as they are asked for, and never raise.

    Raises:
        SourceError: MANIFEST_INVALID or GENRE_MAP_INVALID, for its first line.
    """
    all_lines = lines(stream)
    first = next(all_lines, None)
    given = None if first is None else _parsed(first)
    if isinstance(given, dict) and "manifest" in given:
        return Manifest(head := _head(given), _rows(None, all_lines, head))
    return Manifest(Head(), _rows(first, all_lines, Head()))


def _head(given: dict[str, Any]) -> Head:
    if given["manifest"] != 1 or isinstance(given["manifest"], bool):
        raise _refused(f"manifest is {shown(str(given['manifest']))!r}; this release reads 1")
    source, root = given.get("source", _DEFAULT_SOURCE), given.get("root", "")
    if not isinstance(source, str) or not 1 <= len(cleaned(source)) <= _LONGEST_SOURCE:
        raise _refused(f"source is a name of 1 to {_LONGEST_SOURCE} characters")
    if not isinstance(root, str) or "\0" in root:
        raise _refused("root is a path")
    genres = given.get("genres", {})
    if not isinstance(genres, dict):
        raise _refused('genres is a map like {"Ballad": "Pop"}')
    return Head(cleaned(source), root, own_map(genres))


def _refused(message: str) -> SourceError:
    return SourceError(f"the first line cannot be used: {message}", reason="MANIFEST_INVALID", field="manifest")


def _rows(first: Line | None, rest: Iterator[Line], head: Head) -> Iterator[SourceTrack | LeftOut]:
    if first is not None and (first.data is None or first.data.strip()):
        yield _row(first, head)
    for line in rest:
        if line.data is None or line.data.strip():
            yield _row(line, head)


def _row(line: Line, head: Head) -> SourceTrack | LeftOut:
    place = f"line {line.number}"
    given = _parsed(line)
    if isinstance(given, Reason):
        return LeftOut(place, given, _WORDS[given])
    if not isinstance(given, dict):
        return LeftOut(place, Reason.ROW_INVALID, "not a JSON object")
    try:
        track = _track(given, head)
    except _FieldError as fault:
        return LeftOut(place, Reason.FIELD_INVALID, str(fault))
    return checked(track, place)


def _parsed(line: Line) -> object:
    """Return what a line holds, or a Reason."""
    if line.data is None:
        return Reason.LINE_TOO_LONG
    try:
        return json.loads(line.data.decode("utf-8"))
    except UnicodeDecodeError:
        return Reason.NOT_UTF8
    except (ValueError, RecursionError):
        return Reason.NOT_JSON


_WORDS = {
    Reason.LINE_TOO_LONG: f"longer than {LONGEST_LINE_BYTES} bytes",
    Reason.NOT_UTF8: "not UTF-8",
    Reason.NOT_JSON: "not JSON",
}


class _FieldError(Exception):
    pass


def _track(given: dict[str, Any], head: Head) -> SourceTrack:
    path = given.get("path", "")
    if not isinstance(path, str):
        raise _FieldError("path is not a text")
    genres = _texts(given, "genre")
    known = next((head.genres[key] for name in genres if (key := key_of(name)) in head.genres), "")
    return SourceTrack(
        path=path,
        source=head.source,
        title=_text(given, "title"),
        artist=_text(given, "artist"),
        album=_text(given, "album"),
        raw_genre="; ".join(genres),
        genre=known,
        sub_genres=_texts(given, "sub_genres"),
        tags=_texts(given, "tags"),
        year=_year(given.get("year")),
        isrc=_text(given, "isrc").replace("-", "").upper(),
        **{name: _text(given, name).lower() for name in MUSICBRAINZ_IDS},
        licence=_text(given, "licence"),
    )


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _FieldError(f"{name} is not a text")
    return cleaned(value)


def _texts(given: dict[str, Any], name: str) -> tuple[str, ...]:
    """Read a list of texts, or one text that stands for itself."""
    value = given.get(name)
    if value is None:
        return ()
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _FieldError(f"{name} is not a list of texts")
    return tuple(text for one in value if (text := cleaned(one)))


def _year(value: object) -> int:
    if value is None or value == "":
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and (year := year_of(value)):
        return year
    raise _FieldError("year is neither a year nor a date")
