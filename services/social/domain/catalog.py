"""Tracks of the library: what a registration must look like, and what it changes."""

import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.chassis.errors import DomainError
from services.social.domain import fields, particulars
from services.social.domain.ids import TrackId
from services.social.domain.search_names import track_names
from services.social.errors import Malformed, Missing

LONGEST_NAME = 500
LONGEST_CONTENT_TYPE = 100
LONGEST_LOCATION = 4_096
MOST_REGISTRATIONS = 500
MOST_TRACKS_READ = 600
_LAST_YEAR = 9_999
_LONGEST_SECONDS = 30 * 24 * 3_600.0

# "03 - Song", "1-03. Song", "03 Song"; but neither "1979" nor "24-7" nor "99 Luftballons".
_LEADING_NUMBER = re.compile(r"^(?:\d{1,2}-)?(?:\d{1,3} ?[-.)\]]+(?!\d)|0\d )\s*")


class EmbeddingState(StrEnum):
    """Where a track stands on its way to the index."""

    PENDING = "PENDING"
    EMBEDDED = "EMBEDDED"
    INDEXED = "INDEXED"
    FAILED = "FAILED"

    @property
    def is_usable(self) -> bool:
        """Whether a playlist can grow from the track, now or in a moment."""
        return self in (EmbeddingState.EMBEDDED, EmbeddingState.INDEXED)


class Outcome(StrEnum):
    """What a registration did."""

    CREATED = "CREATED"
    UNCHANGED = "UNCHANGED"
    RETAGGED = "RETAGGED"
    REPLACED = "REPLACED"
    MOVED = "MOVED"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class ReadPoint:
    """A point of the VECTORS log."""

    stream_created_at: datetime
    sequence: int


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Measures of a sound as the embedder defines them, in this revision of its definitions; None is not known."""

    revision: int
    loudness_lufs: float | None
    peak_dbfs: float | None
    tempo_bpm: float | None
    key: str | None
    key_confidence: float | None
    energy: float | None


@dataclass(frozen=True, slots=True)
class Track:
    """A recording of the library as everybody may see it. Tags are (name, score), best first."""

    track_id: TrackId
    title: str
    artist: str
    album: str
    genre: str
    raw_genre: str
    year: int
    duration_seconds: float
    tags: list[tuple[str, float]]
    state: EmbeddingState
    failure_reason: str
    failure_message: str
    created_at: datetime
    audio_hash: bytes
    read_point: ReadPoint | None
    descriptors: Descriptors | None
    has_cover: bool | None


@dataclass(frozen=True, slots=True)
class Media:
    """Where a track's audio lies, and what it was when it was registered."""

    root_location: str
    relative_path: bytes
    file_hash: bytes
    size_bytes: int
    content_type: str
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class Registration:
    """What an ingest client says of a file, unchecked.

    `previous_path` says where the same file lay before, empty where it was not moved.
    """

    relative_path: bytes
    file_hash: bytes
    audio_hash: bytes
    size_bytes: int
    content_type: str
    title: str
    artist: str
    album: str
    raw_genre: str
    year: int
    duration_seconds: float
    genre: str = ""
    sub_genres: Sequence[str] = ()
    tags: Sequence[str] = ()
    isrc: str = ""
    musicbrainz_recording_id: str = ""
    licence: str = ""
    source: str = ""
    mtime_ns: int = 0
    previous_path: bytes = b""
    musicbrainz_artist_id: str = ""
    musicbrainz_release_id: str = ""
    has_cover: bool | None = None


@dataclass(frozen=True, slots=True)
class TrackFile:
    """What social keeps of a registered file: checked, cleaned, with everything that follows from it.

    Two are equal where their files say the same of the same bytes at the same place, whenever they were written.
    """

    relative_path: bytes
    file_hash: bytes
    audio_hash: bytes
    size_bytes: int
    content_type: str
    title: str
    artist: str
    album: str
    raw_genre: str
    genre: str
    is_genre_known: bool
    year: int
    header_seconds: float
    sub_genres: list[str]
    source_tags: list[str]
    isrc: str | None
    musicbrainz_recording_id: str | None
    musicbrainz_artist_id: str | None
    musicbrainz_release_id: str | None
    licence: str
    source: str
    mtime_ns: int | None = field(compare=False)
    # A picture may come and go beside a file that stays as it is; None where nobody has looked.
    has_cover: bool | None = field(compare=False)
    # These follow from the names; None where another release wrote them.
    artist_key: str | None = field(compare=False)
    search_title: str = field(compare=False)
    search_text: str = field(compare=False)
    search_jamo: str | None = field(compare=False)
    search_initials: str | None = field(compare=False)


def check_location(location: str) -> str:
    """Return the location of a media root without doubled or trailing slashes.

    Raises:
        Missing, Malformed, OutOfRange: Empty, not absolute, with "..", or too long.
    """
    if not location:
        raise Missing("location")
    fields.number(len(location), "location", 1, LONGEST_LOCATION)
    if not location.startswith("/") or ".." in location.split("/") or "\0" in location:
        raise Malformed("location", location, "an absolute path without ..")
    return "/" + posixpath.normpath(location).lstrip("/")


def check_registration(given: Registration) -> TrackFile:
    """Check and clean what an ingest client says of a file.

    Raises:
        Missing, Malformed, OutOfRange: With the field inside of the registration.
    """
    path = particulars.plain_path(given.relative_path, "relative_path")
    fields.number(given.size_bytes, "size_bytes", 1, 2**50)
    title = fields.line(given.title, "title", longest=LONGEST_NAME) or title_of(path)
    artist = fields.line(given.artist, "artist", longest=LONGEST_NAME)
    album = fields.line(given.album, "album", longest=LONGEST_NAME)
    raw_genre = fields.line(given.raw_genre, "raw_genre", longest=LONGEST_NAME)
    match = particulars.genre(given.genre, raw_genre)
    if given.previous_path:
        particulars.plain_path(given.previous_path, "previous_path")
    names = track_names(title, artist, album)
    return TrackFile(
        relative_path=path,
        file_hash=fields.digest(given.file_hash, "file_hash"),
        audio_hash=fields.digest(given.audio_hash, "audio_hash"),
        size_bytes=given.size_bytes,
        content_type=fields.line(given.content_type, "content_type", longest=LONGEST_CONTENT_TYPE, is_required=True),
        title=title,
        artist=artist,
        album=album,
        raw_genre=raw_genre,
        genre=match.genre,
        is_genre_known=match.is_known,
        year=fields.integer(given.year, "year", 0, _LAST_YEAR),
        header_seconds=fields.number(given.duration_seconds, "duration_seconds", 0, _LONGEST_SECONDS),
        sub_genres=particulars.sub_genres(given.sub_genres, raw_genre),
        source_tags=particulars.source_tags(given.tags),
        isrc=particulars.isrc(given.isrc),
        musicbrainz_recording_id=particulars.musicbrainz_id(given.musicbrainz_recording_id, "recording"),
        musicbrainz_artist_id=particulars.musicbrainz_id(given.musicbrainz_artist_id, "artist"),
        musicbrainz_release_id=particulars.musicbrainz_id(given.musicbrainz_release_id, "release"),
        licence=particulars.licence(given.licence),
        source=particulars.source(given.source),
        mtime_ns=fields.integer(given.mtime_ns, "mtime_ns", 0, 2**63 - 1) or None,
        has_cover=given.has_cover,
        artist_key=names.artist_key,
        search_title=names.search_title,
        search_text=names.search_text,
        search_jamo=names.search_jamo,
        search_initials=names.search_initials,
    )


def check_registrations(given: Sequence[Registration]) -> list[TrackFile | DomainError]:
    """Check the registrations of one call, each for itself: one that is refused spoils no other.

    Returns:
        In the order given: what to keep, or why it is refused.
    """
    found: list[TrackFile | DomainError] = []
    seen: set[bytes] = set()
    for registration in given:
        if registration.relative_path in seen:
            shown = registration.relative_path.decode("utf-8", "replace")
            found.append(Malformed("relative_path", shown, "given once in a call"))
            continue
        seen.add(registration.relative_path)
        try:
            found.append(check_registration(registration))
        except DomainError as refusal:
            found.append(refusal)
    return found


def outcome_of(file: TrackFile, before: TrackFile | None) -> Outcome:
    """Say what a registration does, given what was registered at the same place before.

    The same audio at another path is a new track, unless the client says that it was moved: this service sees no disk,
    and cannot know that the old file is gone.
    """
    if before is None:
        return Outcome.CREATED
    if before.audio_hash != file.audio_hash:
        return Outcome.REPLACED
    if before.relative_path != file.relative_path:
        return Outcome.MOVED
    return Outcome.UNCHANGED if before == file else Outcome.RETAGGED


def is_news_to_index(file: TrackFile, before: TrackFile) -> bool:
    """Say whether anything changed that indexes know of a track beside its sound."""
    return _told(file) != _told(before)


def _told(file: TrackFile) -> tuple[str, str, str, str, int, str]:
    return file.title, file.artist, file.album, file.genre, file.year, folder_of(file.relative_path)


def title_of(relative_path: bytes) -> str:
    """Return a title for a file that says none: its name without extension, number and underscores; never empty."""
    stem = posixpath.splitext(posixpath.basename(os.fsdecode(relative_path)))[0]
    readable = stem.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("_", " ")
    cleaned = " ".join(fields.line(readable[:LONGEST_NAME], "title", longest=LONGEST_NAME * 2).split())
    return (_LEADING_NUMBER.sub("", cleaned).lstrip(" -._") or cleaned or "Untitled")[:LONGEST_NAME]


def folder_of(relative_path: bytes) -> str:
    """Return the folder of a file below its root as text; empty at the top."""
    return posixpath.dirname(relative_path).decode("utf-8", "replace")
