"""Checks of single inputs at the border: each refusal names field, value and limit."""

import math
import re
import unicodedata

from services.social.errors import Malformed, Missing, OutOfRange

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_CONTROL_BUT_NEWLINE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]+")

# NFC makes one sign of up to four (U+1F82). It takes quadratic time for marks in a row, minutes for a megabyte: nothing
# longer may be given to it than what could become short enough.
MOST_COMPOSED = 4


def line(value: str, field: str, *, longest: int, is_required: bool = False) -> str:
    """Return one line of text: NFC, no control characters, no space around it.

    Raises:
        OutOfRange: More than `longest` characters.
        Missing: Nothing is left, and it is required.
    """
    cleaned = _CONTROL.sub(" ", _composed(value, field, longest)).strip()
    return _bounded(cleaned, field, longest, is_required)


def text(value: str, field: str, *, longest: int) -> str:
    """Return text that may have several lines: NFC, no other control characters, no space around it.

    Raises:
        OutOfRange: More than `longest` characters.
    """
    cleaned = _CONTROL_BUT_NEWLINE.sub(" ", _composed(value, field, longest).replace("\r\n", "\n")).strip()
    return _bounded(cleaned, field, longest, is_required=False)


def _composed(value: str, field: str, longest: int) -> str:
    if len(value) > MOST_COMPOSED * longest:
        raise OutOfRange(field, len(value), longest, "characters")
    return unicodedata.normalize("NFC", value)


def _bounded(cleaned: str, field: str, longest: int, is_required: bool) -> str:
    if len(cleaned) > longest:
        raise OutOfRange(field, len(cleaned), longest, "characters")
    if is_required and not cleaned:
        raise Missing(field)
    return cleaned


def number(value: float, field: str, lowest: float, highest: float) -> float:
    """Return a number unchanged.

    Raises:
        OutOfRange: Outside of the bounds, which are allowed themselves.
        Malformed: Not a number.
    """
    if math.isnan(value):
        raise Malformed(field, "NaN", "a number")
    if value < lowest:
        raise OutOfRange(field, _plain(value), _plain(lowest))
    if value > highest:
        raise OutOfRange(field, _plain(value), _plain(highest))
    return value


def integer(value: int, field: str, lowest: int, highest: int) -> int:
    """Return an integer unchanged.

    Raises:
        OutOfRange: Outside of the bounds, which are allowed themselves.
    """
    number(value, field, lowest, highest)
    return value


def digest(value: bytes, field: str) -> bytes:
    """Return a SHA-256 digest unchanged.

    Raises:
        Malformed: Not 32 bytes.
    """
    if len(value) != 32:
        raise Malformed(field, f"{len(value)} bytes", "32 bytes")
    return value


def count(found: int, field: str, highest: int) -> None:
    """Check how many items a list has.

    Raises:
        OutOfRange: More than `highest`.
    """
    if found > highest:
        raise OutOfRange(field, found, highest, "items")


def _plain(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"
