"""What stands in a playlist's file, whatever its format."""

import math
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from services.social.domain.fields import MOST_COMPOSED
from services.social.errors import OutOfRange

MOST_BYTES = 5_000_000
MOST_ROWS = 1_000
LONGEST_NAME = 500
_LONGEST_SECONDS = 30 * 24 * 3_600.0

# Control characters, halves of surrogate pairs and the two numbers that are no character: no format can hold them all.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
_RECORDING = re.compile(r"musicbrainz\.org/recording/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE)
# ISO 3901: country, registrant, year, designation; hyphens are for reading.
_ISRC = re.compile(r"\bisrc[:/]\s*([a-z]{2}-?[a-z0-9]{3}-?[0-9]{2}-?[0-9]{5})\b", re.IGNORECASE)


class Format(StrEnum):
    """Format of a file."""

    M3U8 = "M3U8"
    JSPF = "JSPF"
    XSPF = "XSPF"


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row that was read.

    Attributes:
        title: Cleaned, at most 500 characters; empty where the file says none.
        artist: Likewise.
        album: Likewise.
        seconds: 0 where the file does not say it.
        recording_id: Of MusicBrainz, a UUID.
        isrc: Without hyphens, in capitals.
        readings: Pairs of title and artist that the row may mean, the likeliest first.
    """

    title: str
    artist: str
    album: str
    seconds: float
    recording_id: str | None
    isrc: str | None
    readings: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PlaylistFile:
    """A file that was read; the title is empty where it says none."""

    title: str
    rows: list[FileRow]


@dataclass(frozen=True, slots=True)
class TrackRow:
    """A row to write.

    Attributes:
        title: Of the track.
        artist: Empty for nobody.
        album: Empty for none.
        seconds: Its length.
        recording_id: Of MusicBrainz.
        isrc: Without hyphens.
        path: Below the root of the library, the file system's own bytes.
        address: With a stream token; takes the place of the path.
    """

    title: str
    artist: str
    album: str
    seconds: float
    recording_id: str | None
    isrc: str | None
    path: bytes
    address: str | None = None


@dataclass(frozen=True, slots=True)
class WrittenPlaylist:
    """A playlist to write."""

    title: str
    description: str
    rows: list[TrackRow]


def row_of(title: object, artist: object, album: object, seconds: float, identifiers: list[object]) -> FileRow:
    """Return a row of what a file says; what is not text says nothing.

    Args:
        title: As it stands there.
        artist: As it stands there.
        album: As it stands there.
        seconds: As it stands there; what cannot be a length counts as not said.
        identifiers: Addresses that may name a recording.
    """
    names = cleaned(title), cleaned(artist)
    said = [one for one in identifiers if isinstance(one, str)]
    recordings = [found[1].lower() for one in said if (found := _RECORDING.search(one))]
    isrcs = [found[1].replace("-", "").upper() for one in said if (found := _ISRC.search(one))]
    return FileRow(
        *names,
        cleaned(album),
        length(seconds),
        recordings[0] if recordings else None,
        isrcs[0] if isrcs else None,
        (names,),
    )


def cleaned(text: object) -> str:
    """Return one line of text, NFC, without control characters and lone surrogates, at most 500 characters."""
    if not isinstance(text, str):
        return ""
    said = _UNFIT.sub(" ", text).strip()[: MOST_COMPOSED * LONGEST_NAME]
    return unicodedata.normalize("NFC", said)[:LONGEST_NAME].strip()


def length(seconds: float) -> float:
    """Return a length in seconds, 0 for what cannot be one."""
    return seconds if math.isfinite(seconds) and 0 < seconds <= _LONGEST_SECONDS else 0.0


def check_size(content: bytes, field: str = "content") -> None:
    """Check how large a file is; `field` is what makes it so.

    Raises:
        OutOfRange: More than 5,000,000 bytes.
    """
    if len(content) > MOST_BYTES:
        raise OutOfRange(field, len(content), MOST_BYTES, "bytes")


def check_rows(count: int) -> None:
    """Check how many rows a file has.

    Raises:
        OutOfRange: More than 1,000.
    """
    if count > MOST_ROWS:
        raise OutOfRange("content", count, MOST_ROWS, "rows")
