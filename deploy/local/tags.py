"""Reads the tags of an audio file with mutagen, as hostile input: bounded reading, cleaned text, one error.

It decodes no audio: the duration is what the file's header says.
"""

import math
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import mutagen
from mutagen.apev2 import APEv2
from mutagen.asf import ASFTags
from mutagen.id3 import ID3
from mutagen.mp4 import MP4Tags
from mutagen.smf import SMF

from services.gateway.covers.embedded import shown_pictures

MAX_TEXT_LENGTH = 500
# Covers of 20 MB exist. Whatever needs more is refused before it is in memory.
MAX_TAG_BYTES = 64 << 20

# Field: key. Several keys separated by "|": the first that is there.
_VORBIS = {
    "title": "title",
    "artist": "artist",
    "album": "album",
    "genre": "genre",
    "date": "date|year",
    "track": "tracknumber",
    "isrc": "isrc",
    "musicbrainz": "musicbrainz_trackid",
    "musicbrainz_artist": "musicbrainz_artistid",
    "musicbrainz_release": "musicbrainz_albumid",
}
_ID3 = {
    "title": "TIT2",
    "artist": "TPE1",
    "album": "TALB",
    "genre": "TCON",
    "date": "TDRC|TDRL|TDOR",
    "track": "TRCK",
    "isrc": "TSRC",
    "musicbrainz": "UFID:http://musicbrainz.org",
    "musicbrainz_artist": "TXXX:MusicBrainz Artist Id",
    "musicbrainz_release": "TXXX:MusicBrainz Album Id",
}
_MP4 = {
    "title": "©nam",
    "artist": "©ART",
    "album": "©alb",
    "genre": "©gen",
    "date": "©day",
    "track": "trkn",
    "isrc": "----:com.apple.iTunes:ISRC",
    "musicbrainz": "----:com.apple.iTunes:MusicBrainz Track Id",
    "musicbrainz_artist": "----:com.apple.iTunes:MusicBrainz Artist Id",
    "musicbrainz_release": "----:com.apple.iTunes:MusicBrainz Album Id",
}
_APE = _VORBIS | {"date": "year|date", "track": "track"}
_ASF = {
    "title": "Title",
    "artist": "Author",
    "album": "WM/AlbumTitle",
    "genre": "WM/Genre",
    "date": "WM/Year",
    "track": "WM/TrackNumber",
    "isrc": "WM/ISRC",
    "musicbrainz": "MusicBrainz/Track Id",
    "musicbrainz_artist": "MusicBrainz/Artist Id",
    "musicbrainz_release": "MusicBrainz/Album Id",
}

_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_YEAR = re.compile(r"(?<!\d)[12]\d{3}(?!\d)")
# Overrides of the writing direction: they make a list of titles read otherwise than it is.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class TagsError(Exception):
    """The file cannot be read as audio; the message says why."""


class TagsTooLargeError(TagsError):
    """Reading the tags takes more than 64 MiB."""


@dataclass(frozen=True, slots=True)
class Tags:
    """What a file says of itself; text is NFC, without control characters, at most 500 characters.

    Attributes:
        title: None if missing, like every text.
        artist: Several artists are joined with ", ".
        album: Name of the album.
        genre: As the file writes it; ID3v1 numbers are resolved.
        year: Of release, 1000 to 2999.
        track_number: On its disc, 1 to 9,999.
        duration_s: By the header; 0 if it does not say.
        isrc: International Standard Recording Code without hyphens.
        musicbrainz_recording_id: UUID of the recording.
        musicbrainz_artist_id: UUID of the artist; None where there are several.
        musicbrainz_release_id: UUID of the release.
        has_picture: Whether there is a picture in it that browsers show.
    """

    title: str | None
    artist: str | None
    album: str | None
    genre: str | None
    year: int | None
    track_number: int | None
    duration_s: float
    isrc: str | None
    musicbrainz_recording_id: str | None
    musicbrainz_artist_id: str | None
    musicbrainz_release_id: str | None
    has_picture: bool


class _BoundedFile:
    """Gives mutagen the file to read, up to a sum of bytes."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self.left = MAX_TAG_BYTES
        self.failure: OSError | None = None
        self._file = file

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._file.read(self.left + 1 if size < 0 else min(size, self.left + 1))
        except OSError as error:
            self.failure = error
            raise
        self.left -= len(data)
        if self.left < 0:
            raise TagsTooLargeError(f"tags take more than {MAX_TAG_BYTES} bytes to read")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def read_tags(file: BinaryIO, name: str) -> Tags:
    """Read a file's tags and duration. Blocks on the disk.

    Args:
        file: Open for reading and seeking; the position is moved.
        name: Name of the file: it decides only where the content leaves it open.

    Raises:
        TagsError: If mutagen knows no such file, or fails in any way.
        TagsTooLargeError: If the tags, art included, take more than 64 MiB.
        OSError: If the disk fails.
    """
    bounded = _BoundedFile(file, name)
    try:
        return _read(bounded)
    except TagsError:
        raise
    except Exception as error:
        # Tags are hostile: besides MutagenError, parsers of some twenty formats raise whatever their bugs raise,
        # OSError for a file that ends early among it, and MemoryError for a compressed frame that does not fit.
        if bounded.left < 0:
            raise TagsTooLargeError(f"tags take more than {MAX_TAG_BYTES} bytes to read") from error
        if bounded.failure is not None:
            raise bounded.failure from None
        raise TagsError(clean_text(str(error)) or type(error).__name__) from error


def _recognised(file: _BoundedFile) -> Any:  # mutagen has no types
    """Have mutagen recognise the content alone, and ask the name only where that says nothing."""
    for name in ("", file.name):
        file.name = name
        file.seek(0)
        if (found := mutagen.File(file)) is not None:
            return found
    return None


def _read(file: _BoundedFile) -> Tags:
    found = _recognised(file)
    if found is None or isinstance(found, SMF):
        raise TagsError("no audio format is recognised")
    fields = _fields(found.tags) or _fields(_ape_of(file))
    length = float(getattr(found.info, "length", 0) or 0)
    return Tags(
        title=fields.get("title"),
        artist=fields.get("artist"),
        album=fields.get("album"),
        genre=fields.get("genre"),
        year=_year(fields.get("date", "")),
        track_number=_track_number(fields.get("track", "")),
        duration_s=length if math.isfinite(length) and length > 0 else 0.0,
        isrc=_matching(_ISRC, fields.get("isrc", "").replace("-", "").upper()),
        musicbrainz_recording_id=_matching(_UUID, fields.get("musicbrainz", "").lower()),
        musicbrainz_artist_id=_matching(_UUID, fields.get("musicbrainz_artist", "").lower()),
        musicbrainz_release_id=_matching(_UUID, fields.get("musicbrainz_release", "").lower()),
        has_picture=_has_picture(found),
    )


def _has_picture(found: Any) -> bool:
    """Look as the gateway does, for which a picture that cannot be read is none."""
    try:
        return next(shown_pictures(found), None) is not None
    except Exception:  # hostile, and no reason to leave the file out
        return False


def _ape_of(file: _BoundedFile) -> Any:
    # mutagen looks for ID3 only in an MP3; players write APEv2 there too.
    read: Callable[[_BoundedFile], Any] = APEv2
    try:
        return read(file)
    except mutagen.MutagenError:
        return None


def _fields(tags: Any) -> dict[str, str]:
    """Take the fields that are there and not empty, as clean text."""
    if tags is None:
        return {}
    keys = _keys(tags)
    # Several artists are one name, and no id.
    texts = {field: _text(tags, key.split("|"), ", " if "artist" in field else None) for field, key in keys.items()}
    return {field: text for field, text in texts.items() if text}


def _keys(tags: Any) -> dict[str, str]:
    for kind, keys in ((ID3, _ID3), (MP4Tags, _MP4), (APEv2, _APE), (ASFTags, _ASF)):
        if isinstance(tags, kind):
            return keys
    return _VORBIS


def _text(tags: Any, keys: list[str], joined_by: str | None) -> str:
    for key in keys:
        texts = [text for value in _values(tags.get(key)) if (text := clean_text(_as_text(value)))]
        if texts:
            return clean_text(joined_by.join(texts)) if joined_by else texts[0]
    return ""


def _values(value: Any) -> list[Any]:
    """Take the values of a tag, whatever the format wraps them in; at most 20."""
    if value is None:
        return []
    if hasattr(value, "genres"):
        return list(value.genres)[:20]
    inner = getattr(value, "text", None) or getattr(value, "data", None) or value
    if isinstance(inner, str | bytes) or not hasattr(inner, "__iter__"):
        return [inner]
    return list(inner)[:20]


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value[: 4 * MAX_TEXT_LENGTH].decode("utf-8", "replace")
    # MP4 gives a track as (number, total).
    return str(value[0] if isinstance(value, tuple) and value else value)


def clean_text(text: str) -> str:
    """Make text fit to show and compare: NFC, no control characters, single spaces, at most 500 characters."""
    # Cut first: normalising a million combining marks takes time that grows with their square.
    kept = (" " if char.isspace() else char for char in text[: 4 * MAX_TEXT_LENGTH] if _is_shown(char))
    return unicodedata.normalize("NFC", " ".join("".join(kept).split()))[:MAX_TEXT_LENGTH].rstrip()


def _is_shown(char: str) -> bool:
    return char.isspace() or (unicodedata.category(char) not in {"Cc", "Cs"} and char not in _BIDI_CONTROLS)


def _year(text: str) -> int | None:
    found = _YEAR.search(text)
    return int(found[0]) if found else None


def _track_number(text: str) -> int | None:
    found = re.match(r"0*([1-9][0-9]{0,3})(?![0-9])", text)
    return int(found[1]) if found else None


def _matching(pattern: re.Pattern[str], text: str) -> str | None:
    return text if pattern.fullmatch(text) else None
