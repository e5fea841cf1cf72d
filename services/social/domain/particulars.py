"""Checks what a source says of a file beside its names: genre, labels, codes, licence, place."""

import re
from collections.abc import Sequence

from services.social.domain import fields
from services.social.domain.genres import GENRES, GenreMatch, below_top_level, match_genre
from services.social.domain.ids import is_id
from services.social.errors import Malformed, Missing, OutOfRange

LONGEST_PATH_BYTES = 4_096
_MOST_SUB_GENRES = 20
_MOST_SOURCE_TAGS = 50
_LONGEST_LABEL = 100
_LONGEST_LICENCE = 500
_LONGEST_SOURCE = 50

# Country, registrant, year and number (ISO 3901).
_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")


def genre(given: str, raw_genre: str) -> GenreMatch:
    """Return the top-level genre: the source's own where it names one, else that of the raw genre.

    Raises:
        Malformed: No top-level genre is called so.
    """
    if not given:
        return match_genre(raw_genre)
    if given not in GENRES:
        raise Malformed("genre", given, f"one of {', '.join(GENRES)}")
    return GenreMatch(given, is_known=True)


def sub_genres(given: Sequence[str], raw_genre: str) -> list[str]:
    """Return genres below the top-level one, each once: those that the source names, else those of the raw genre.

    Raises:
        OutOfRange, Missing: More than 20 are given, or one that is empty or longer than 100 characters.
    """
    if given:
        return _labels(given, "sub_genres", _MOST_SUB_GENRES)
    named = dict.fromkeys(name for name in below_top_level(raw_genre) if len(name) <= _LONGEST_LABEL)
    return list(named)[:_MOST_SUB_GENRES]


def source_tags(given: Sequence[str]) -> list[str]:
    """Return tags as the source says them, each once.

    Raises:
        OutOfRange, Missing: More than 50, or one that is empty or longer than 100 characters.
    """
    return _labels(given, "tags", _MOST_SOURCE_TAGS)


def isrc(given: str) -> str | None:
    """Return an International Standard Recording Code in upper case; None where none is given.

    Raises:
        Malformed: Not of its form (12 characters, no hyphens).
    """
    code = given.upper()
    if code and _ISRC.fullmatch(code) is None:
        raise Malformed("isrc", given[:40], "two letters, three letters or digits, seven digits")
    return code or None


def musicbrainz_id(given: str, of: str) -> str | None:
    """Return a MusicBrainz id in lower case; None where none is given.

    Raises:
        Malformed: Not a UUID with its hyphens.
    """
    found = given.lower()
    if found and not is_id(found):
        raise Malformed(f"musicbrainz_{of}_id", given[:40], "a UUID")
    return found or None


def licence(given: str) -> str:
    """Return the name or the address of a licence on one line.

    Raises:
        OutOfRange: More than 500 characters.
    """
    return fields.line(given, "licence", longest=_LONGEST_LICENCE)


def source(given: str) -> str:
    """Return the name of a source on one line.

    Raises:
        OutOfRange: More than 50 characters.
    """
    return fields.line(given, "source", longest=_LONGEST_SOURCE)


def plain_path(path: bytes, field: str) -> bytes:
    """Return a path below a root unchanged.

    Raises:
        Missing, OutOfRange, Malformed: Empty, more than 4,096 bytes, absolute, or with empty parts, "." or "..".
    """
    if not path:
        raise Missing(field)
    if len(path) > LONGEST_PATH_BYTES:
        raise OutOfRange(field, len(path), LONGEST_PATH_BYTES, "bytes")
    if path.startswith(b"/") or b"\0" in path or {b"", b".", b".."} & set(path.split(b"/")):
        raise Malformed(field, path.decode("utf-8", "replace"), "a plain path below the root")
    return path


def _labels(given: Sequence[str], field: str, most: int) -> list[str]:
    fields.count(len(given), field, most)
    return list(dict.fromkeys(fields.line(one, field, longest=_LONGEST_LABEL, is_required=True) for one in given))
