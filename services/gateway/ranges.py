"""HTTP's ranges and validators (RFC 9110, sections 13 and 14), for one representation with a strong ETag. Pure.

One range is served; a request for several is answered with the whole, which section 14.2 allows and no player asks for.
"""

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to before `end`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start


class UnsatisfiableRangeError(Exception):
    """The range begins behind the end: 416."""


def parse_range(header: str | None, size: int) -> Span | None:
    """Read a Range header.

    Args:
        header: Its value, None when there is none.
        size: Bytes of the whole.

    Returns:
        What to send; None means the whole: no range, one that is malformed or of another unit, or several.

    Raises:
        UnsatisfiableRangeError: None of the bytes asked for exists.
    """
    found = _ONE_RANGE.fullmatch(header) if header is not None else None
    if found is None or found.groups() == ("", ""):
        return None
    first, last = (_number(text) for text in found.groups())
    if first is None:
        span = Span(max(0, size - (last or 0)), size)
    else:
        if last is not None and last < first:
            return None
        span = Span(first, size if last is None else min(last + 1, size))
    if span.length <= 0:
        raise UnsatisfiableRangeError
    return span


def _number(text: str) -> int | None:
    digits = text.lstrip("0")
    # int() refuses text of thousands of digits; a number of 19 is behind the end of every file.
    return (int(digits or 0) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS) if text else None


def is_not_modified(if_none_match: str | None, etag: str) -> bool:
    """Say whether the client has this representation already: 304. Compares weakly, as section 13.1.2 wants it."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return etag in {found.removeprefix("W/") for found in _ETAG.findall(if_none_match)}


def range_applies(if_range: str | None, etag: str) -> bool:
    """Say whether a Range header counts. Compares strongly; a date never matches, since we send none."""
    return if_range is None or if_range.strip() == etag
