"""HTTP's ranges and validators (RFC 9110, sections 13 and 14), for one representation with a strong ETag. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A player asks for one, a reader of an index for a handful; who asks for more gets the whole.
MAX_RANGES = 16
# What lies closer together is sent as one: the head of a part costs as much.
_GAP_BYTES = 128
_UNIT = re.compile(r"bytes=", re.IGNORECASE)
_ONE_RANGE = re.compile(r"([0-9]*)-([0-9]*)")
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


@dataclass(frozen=True, slots=True)
class Plan:
    """What to answer.

    Attributes:
        status: 200, 206 or 416.
        headers: Those that depend on the ranges.
        parts: What to send in order: spans of the representation, and between them the heads of a multipart body.
    """

    status: int
    headers: dict[str, str]
    parts: Sequence[bytes | Span]


class UnsatisfiableRangeError(Exception):
    """None of the bytes asked for exists: 416."""


def plan(method: str, headers: Mapping[str, str], size: int, etag: str, content_type: str, *, boundary: str) -> Plan:
    """Say what to answer to a request for a representation. Only GET knows ranges (RFC 9110, 14.2).

    Args:
        method: GET or HEAD.
        headers: Of the request, by lower-case names.
        size: Bytes of the whole.
        etag: Strong ETag of the whole, with its quotes.
        content_type: Of the whole.
        boundary: Stands between the parts of a multipart body, and nowhere in the representation.
    """
    has_range = method == "GET" and range_applies(headers.get("if-range"), etag)
    try:
        spans = parse_ranges(headers.get("range"), size) if has_range else None
    except UnsatisfiableRangeError:
        return Plan(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"}, ())
    if spans is None:
        sent = [Span(0, size)] if method == "GET" else []
        return Plan(200, {"Content-Type": content_type, "Content-Length": str(size)}, sent)
    if len(spans) == 1:
        told = {"Content-Range": _content_range(spans[0], size), "Content-Length": str(spans[0].length)}
        return Plan(206, {"Content-Type": content_type, **told}, spans)
    parts: list[bytes | Span] = []
    for span in spans:
        head = f"--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {_content_range(span, size)}\r\n\r\n"
        parts += [("\r\n" + head if parts else head).encode("latin-1"), span]
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    length = sum(part.length if isinstance(part, Span) else len(part) for part in parts)
    kind = f"multipart/byteranges; boundary={boundary}"
    return Plan(206, {"Content-Type": kind, "Content-Length": str(length)}, parts)


def parse_ranges(header: str | None, size: int) -> list[Span] | None:
    """Read a Range header.

    Args:
        header: Its value, None when there is none.
        size: Bytes of the whole.

    Returns:
        What to send, at least one, none of which touch, in the order in which they were asked for. None means the
        whole: no range, one that is malformed or of another unit, or too many.

    Raises:
        UnsatisfiableRangeError: None of the bytes asked for exists.
    """
    unit = _UNIT.match(header) if header is not None else None
    if header is None or unit is None or header.count(",") >= 2 * MAX_RANGES:
        return None
    texts = [text.strip(" \t") for text in header[unit.end() :].split(",")]
    found = [_ONE_RANGE.fullmatch(text) for text in texts if text]  # empty elements of a list count for nothing
    if not 1 <= len(found) <= MAX_RANGES:
        return None
    spans = []
    for one in found:
        span = None if one is None else _span(one[1], one[2], size)
        if span is None:
            return None
        if span.length > 0:
            spans.append(span)
    if not spans:
        raise UnsatisfiableRangeError
    return _joined(spans)


def _span(first_text: str, last_text: str, size: int) -> Span | None:
    """Return what exists of a range, which may be nothing; None for one that is malformed."""
    first, last = _number(first_text), _number(last_text)
    if first is None:
        return None if last is None else Span(max(0, size - last), size)
    if last is not None and last < first:
        return None
    return Span(first, size if last is None else min(last + 1, size))


def _joined(spans: list[Span]) -> list[Span]:
    """Join what overlaps or nearly touches: nothing is sent twice."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda one: one.start):
        if joined and span.start <= joined[-1].end + _GAP_BYTES:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    asked = [span.start for span in spans]
    return sorted(joined, key=lambda one: min(asked.index(start) for start in asked if one.start <= start < one.end))


def _number(text: str) -> int | None:
    digits = text.lstrip("0")
    # int() refuses text of thousands of digits; a number of 19 is behind the end of every file.
    return (int(digits or 0) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS) if text else None


def _content_range(span: Span, size: int) -> str:
    return f"bytes {span.start}-{span.end - 1}/{size}"


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
