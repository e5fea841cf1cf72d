"""What every source says of a track, and the bounded reading of text that strangers wrote."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import BinaryIO

from services.chassis.errors import InvalidArgument

LONGEST_LINE_BYTES = 1 << 20
LONGEST_PATH_BYTES = 4_096
LONGEST_TEXT = 500
MOST_SUB_GENRES, MOST_TAGS, LONGEST_TAG = 20, 50, 100
LAST_YEAR = 9_999
MUSICBRAINZ_IDS = ("musicbrainz_recording_id", "musicbrainz_artist_id", "musicbrainz_release_id")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_YEAR = re.compile(r"(?<!\d)([12]\d{3})(?!\d)")


class SourceError(InvalidArgument):
    """A source as a whole cannot be used: it is not what it is said to be."""

    default_reason = "SOURCE_INVALID"


class Reason(StrEnum):
    """Why a row is left out."""

    LINE_TOO_LONG = "LINE_TOO_LONG"
    NOT_UTF8 = "NOT_UTF8"
    NOT_JSON = "NOT_JSON"
    ROW_INVALID = "ROW_INVALID"
    FIELD_INVALID = "FIELD_INVALID"
    PATH_INVALID = "PATH_INVALID"
    METADATA_MISSING = "METADATA_MISSING"
    OUTSIDE_SUBSET = "OUTSIDE_SUBSET"
    DUPLICATE_ROW = "DUPLICATE_ROW"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that does not become a track; `place` says where it stands, or its path."""

    place: str
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class SourceTrack:
    """What a source says of a track; empty and 0 are not known, and then the file itself is asked.

    Attributes:
        path: Below the root, "/" between its parts.
        source: Its name, for example "fma".
        title: At most 500 characters, like artist, album, raw_genre and licence.
        artist: Empty is nobody.
        album: Name of the album.
        raw_genre: As the source says it.
        genre: One of the 16 where the source's own map knows it; else empty.
        sub_genres: At most 20 of 1 to 100 characters.
        tags: At most 50 of 1 to 100 characters.
        year: Of release.
        isrc: 12 characters without hyphens.
        musicbrainz_recording_id: A UUID, as the other two.
        licence: Name or address.
    """

    path: str
    source: str
    title: str = ""
    artist: str = ""
    album: str = ""
    raw_genre: str = ""
    genre: str = ""
    sub_genres: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    year: int = 0
    isrc: str = ""
    musicbrainz_recording_id: str = ""
    musicbrainz_artist_id: str = ""
    musicbrainz_release_id: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end; `data` is None where it is longer than the limit."""

    number: int
    data: bytes | None


def lines(stream: BinaryIO, longest: int = LONGEST_LINE_BYTES) -> Iterator[Line]:
    """Read lines, none of which takes more memory than the limit; ends are LF or CRLF, a byte order mark goes."""
    number, most = 0, longest + 2
    while data := stream.readline(most):
        number += 1
        rest = data
        while rest and not rest.endswith(b"\n") and len(rest) == most:
            rest = stream.readline(most)
        text = data.removeprefix(b"\xef\xbb\xbf") if number == 1 else data
        text = text.removesuffix(b"\n").removesuffix(b"\r")
        yield Line(number, text if len(text) <= longest else None)


def checked(track: SourceTrack, place: str) -> SourceTrack | LeftOut:
    """Return the track, or say what is wrong with it: nothing of it may be beyond what the library takes."""
    if fault := path_fault(track.path):
        return LeftOut(place, Reason.PATH_INVALID, fault)
    for name in ("title", "artist", "album", "raw_genre", "licence"):
        if (length := len(getattr(track, name))) > LONGEST_TEXT:
            return _field(place, f"{name} has {length} characters, limit is {LONGEST_TEXT}")
    for name, most in (("sub_genres", MOST_SUB_GENRES), ("tags", MOST_TAGS)):
        given = getattr(track, name)
        if len(given) > most:
            return _field(place, f"{name} has {len(given)} items, limit is {most}")
        if any(not 1 <= len(tag) <= LONGEST_TAG for tag in given):
            return _field(place, f"each of {name} has 1 to {LONGEST_TAG} characters")
    if not 0 <= track.year <= LAST_YEAR:
        return _field(place, f"year is {str(track.year)[:20]}, limit is {LAST_YEAR}")
    if track.isrc and not _ISRC.fullmatch(track.isrc):
        return _field(place, f"isrc is {track.isrc[:40]!r}: 12 characters like KRA301900001 are expected")
    for name in MUSICBRAINZ_IDS:
        if (given := getattr(track, name)) and not _UUID.fullmatch(given):
            return _field(place, f"{name} is {given[:40]!r}: a UUID is expected")
    if not all(_is_encodable(getattr(track, field.name)) for field in fields(track)):
        return _field(place, "a text holds half of a surrogate pair")
    return track


def path_fault(path: str) -> str:
    """Say what is wrong with a path below a root; empty where nothing is."""
    if not path:
        return "path is empty"
    if not _is_encodable(path):
        return "path holds half of a surrogate pair"
    if (length := len(path.encode())) > LONGEST_PATH_BYTES:
        return f"path is {length} bytes, limit is {LONGEST_PATH_BYTES}"
    if "\0" in path or path.startswith("/") or {"", ".", ".."} & set(path.split("/")):
        return f"path is {shown(path)!r}: a plain path below the folder of audio is expected, without .."
    return ""


def cleaned(text: str) -> str:
    """Return one line of text without control characters and without space around it."""
    return _CONTROL.sub(" ", text).strip()


def short_tags(given: Iterator[str] | list[str], most: int = MOST_TAGS) -> tuple[str, ...]:
    """Return the tags that the library takes, each once, in their order; what is too long or too many goes."""
    found = dict.fromkeys(cleaned(tag) for tag in given)
    return tuple(tag for tag in found if 1 <= len(tag) <= LONGEST_TAG)[:most]


def year_of(date: str) -> int:
    """Return the year in a date of any form, 0 where there is none."""
    found = _YEAR.search(date[:100])
    return int(found[1]) if found else 0


def shown(text: str, longest: int = 80) -> str:
    """Return text fit to stand in a message."""
    return cleaned(text.encode("utf-8", "replace").decode())[:longest]


def _field(place: str, message: str) -> LeftOut:
    return LeftOut(place, Reason.FIELD_INVALID, message)


def _is_encodable(value: object) -> bool:
    texts = value if isinstance(value, tuple) else (value,)
    return not any("\ud800" <= letter <= "\udfff" for text in texts if isinstance(text, str) for letter in text)
