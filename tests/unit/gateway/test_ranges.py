"""Ranges against a slow oracle that writes the bytes down one by one."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway.ranges import (
    MAX_RANGES,
    Span,
    UnsatisfiableRangeError,
    is_not_modified,
    parse_ranges,
    plan,
    range_applies,
)

WHOLE = "whole"
UNSATISFIABLE = "unsatisfiable"


def oracle(first: int | None, last: int | None, size: int) -> list[int] | str:
    """RFC 9110, 14.1.2, byte by byte."""
    if first is None and last is None:
        return WHOLE
    if first is None:
        assert last is not None
        wanted = [position for position in range(size) if position >= size - last]
    elif last is not None and last < first:
        return WHOLE
    else:
        wanted = [position for position in range(size) if position >= first and (last is None or position <= last)]
    return wanted or UNSATISFIABLE


def parsed(header: str, size: int) -> list[int] | str:
    try:
        spans = parse_ranges(header, size)
    except UnsatisfiableRangeError:
        return UNSATISFIABLE
    return WHOLE if spans is None else [position for span in spans for position in range(span.start, span.end)]


positions = st.none() | st.integers(0, 60)


@given(positions, positions, st.integers(0, 50))
@example(None, 0, 10)
@example(0, None, 0)
@example(0, 0, 1)
@example(9, 9, 10)
@example(10, 10, 10)
@example(None, 11, 10)
def test_one_range_is_what_the_standard_says(first: int | None, last: int | None, size: int) -> None:
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    assert parsed(header, size) == oracle(first, last, size)


@given(st.text(alphabet="bytes=-0123456789, \t", max_size=20), st.integers(0, 20))
def test_any_text_is_a_span_within_the_file_or_the_whole(header: str, size: int) -> None:
    found = parsed(header, size)
    if isinstance(found, list):
        assert found
        assert re.fullmatch(r"bytes=([ \t]*(\d+-\d*|-\d+)?[ \t]*,?)+", header)
        assert set(found) <= set(range(size))
        assert len(found) == len(set(found))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5",
        "bytes=5-3",
        "bytes=a-b",
        "bytes=0-1,x",
        "bytes=0-1,5-3",
        "bytes=,",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=٣-٤",
        "items=0-1",
        "bytes =0-1",
        "bytes=0-1;x",
    ],
)
def test_what_is_no_range_means_the_whole(header: str | None) -> None:
    assert parse_ranges(header, 10) is None


def test_numbers_of_thousands_of_digits_are_behind_the_end() -> None:
    nines = "9" * 5000
    assert parse_ranges(f"bytes=3-{nines}", 10) == [Span(3, 10)]
    assert parse_ranges(f"bytes=-{nines}", 10) == [Span(0, 10)]
    assert parse_ranges(f"bytes={'0' * 5000}2-3", 10) == [Span(2, 4)]
    with pytest.raises(UnsatisfiableRangeError):
        parse_ranges(f"bytes={nines}-", 10)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-9,500-509", [Span(0, 10), Span(500, 510)]),
        ("bytes=500-509, 0-9", [Span(500, 510), Span(0, 10)]),
        ("bytes=,0-9,,-10,", [Span(0, 10), Span(990, 1000)]),
        ("bytes=0-99,50-149", [Span(0, 150)]),
        ("bytes=300-399,0-9,350-449", [Span(300, 450), Span(0, 10)]),
        ("bytes=0-9,138-139", [Span(0, 140)]),
        ("bytes=0-9,139-140", [Span(0, 10), Span(139, 141)]),
        ("bytes=0-9,2000-", [Span(0, 10)]),
        ("bytes=0-,0-,0-,0-", [Span(0, 1000)]),
    ],
)
def test_several_ranges_keep_their_order_and_send_nothing_twice(header: str, wanted: list[Span]) -> None:
    assert parse_ranges(header, 1000) == wanted


def test_who_asks_for_too_many_ranges_gets_the_whole() -> None:
    ranges = [f"{1000 * number}-{1000 * number}" for number in range(MAX_RANGES + 1)]
    found = parse_ranges(f"bytes={','.join(ranges[:-1])}", 10**6)
    assert found is not None
    assert len(found) == MAX_RANGES
    assert parse_ranges(f"bytes={','.join(ranges)}", 10**6) is None
    assert parse_ranges(f"bytes=0-1{',' * 100_000}", 10**6) is None
    with pytest.raises(UnsatisfiableRangeError):
        parse_ranges("bytes=1000-,2000-", 1000)


def test_several_ranges_are_planned_as_the_parts_of_one_body() -> None:
    found = plan("GET", {"range": "bytes=0-1,-2"}, 5000, '"e"', "audio/ogg", boundary="b0")
    assert (found.status, found.headers) == (
        206,
        {"Content-Type": "multipart/byteranges; boundary=b0", "Content-Length": "150"},
    )
    assert found.parts == [
        b"--b0\r\nContent-Type: audio/ogg\r\nContent-Range: bytes 0-1/5000\r\n\r\n",
        Span(0, 2),
        b"\r\n--b0\r\nContent-Type: audio/ogg\r\nContent-Range: bytes 4998-4999/5000\r\n\r\n",
        Span(4998, 5000),
        b"\r\n--b0--\r\n",
    ]
    sizes = [part.length if isinstance(part, Span) else len(part) for part in found.parts]
    assert str(sum(sizes)) == found.headers["Content-Length"]


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, False),
        ('"abc"', True),
        ('W/"abc"', True),
        ("*", True),
        (' "x", "abc" ', True),
        ('"ab"', False),
        ("abc", False),
        ('"x""y"', False),
        ("", False),
    ],
)
def test_if_none_match_compares_weakly(header: str | None, wanted: bool) -> None:
    assert is_not_modified(header, '"abc"') is wanted


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, True),
        ('"abc"', True),
        ('W/"abc"', False),
        ('"x"', False),
        ("Sat, 21 Nov 2026 04:00:00 GMT", False),
        ("", False),
    ],
)
def test_if_range_compares_strongly_and_knows_no_dates(header: str | None, wanted: bool) -> None:
    assert range_applies(header, '"abc"') is wanted
