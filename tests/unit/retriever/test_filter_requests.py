"""Every bad filter is refused by name, with its value and its limit."""

import math
from typing import Any

import pytest

from museed.retriever.v1 import retriever_pb2
from services.chassis.errors import InvalidArgument
from services.retriever.filters import Interval, TrackFilter
from services.retriever.servicer.requests import track_filter

Range = retriever_pb2.Range


def test_a_filter_that_asks_nothing_is_none() -> None:
    assert track_filter(retriever_pb2.Filter(), "filter") is None
    assert track_filter(retriever_pb2.SearchRequest().filter, "filter") is None


def test_every_field_arrives_folded() -> None:
    every_field = retriever_pb2.Filter(
        genres=["Rock", "ROCK"],
        artists=["Beyonce\u0301"],
        blocked_artists=[" Bob "],
        blocked_track_ids=["B"],
        track_ids=["A"],
        tags=["Piano"],
        blocked_tags=["Loud"],
        duration_seconds=Range(min=60),
        year=Range(max=1999),
        tempo_bpm=Range(min=100, max=100),
        energy=Range(min=0.0, max=1.0),
        loudness_lufs=Range(),
        keys=["C major"],
    )
    assert track_filter(every_field, "filter") == TrackFilter(
        genres=frozenset({"rock"}),
        artists=frozenset({"beyoncé"}),
        blocked_artists=frozenset({"bob"}),
        blocked_track_ids=frozenset({"B"}),
        track_ids=frozenset({"A"}),
        tags=frozenset({"piano"}),
        blocked_tags=frozenset({"loud"}),
        duration_s=Interval(60, math.inf),
        year=Interval(-math.inf, 1999),
        tempo_bpm=Interval(100, 100),
        energy=Interval(0, 1),
        loudness_lufs=Interval(),
        keys=frozenset({"c major"}),
    )


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("genres", 100),
        ("artists", 1000),
        ("blocked_artists", 10_000),
        ("blocked_track_ids", 10_000),
        ("track_ids", 10_000),
        ("tags", 20),
        ("blocked_tags", 20),
        ("keys", 24),
    ],
)
def test_lists_have_limits(name: str, limit: int) -> None:
    assert track_filter(message({name: ["x"] * limit}), "filter") is not None
    assert refusal({name: ["x"] * (limit + 1)}) == ("OUT_OF_RANGE", f"filter.{name}", str(limit + 1), str(limit))
    assert refusal({name: ["x", " \t"]}) == ("MISSING_INPUT", f"filter.{name}[1]", "0", "1")
    assert refusal({name: [""]}) == ("MISSING_INPUT", f"filter.{name}[0]", "0", "1")
    longest = 100 if "_ids" in name else 1000
    assert refusal({name: ["x" * (longest + 1)]}) == (
        "OUT_OF_RANGE",
        f"filter.{name}[0]",
        str(longest + 1),
        str(longest),
    )


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("duration_seconds", 0, 1_000_000),
        ("year", 0, 9999),
        ("tempo_bpm", 0, 1000),
        ("energy", 0, 1),
        ("loudness_lufs", -200, 100),
    ],
)
def test_ranges_have_limits(name: str, lowest: int, highest: int) -> None:
    assert track_filter(message({name: Range(min=lowest, max=highest)}), "filter") is not None
    for end in ("min", "max"):
        field = f"filter.{name}.{end}"
        for value, shown, limit in (
            (lowest - 1.0, str(lowest - 1), lowest),
            (highest * 2.0, str(highest * 2), highest),
            (math.nan, "nan", highest),
            (math.inf, "inf", highest),
            (-math.inf, "-inf", lowest),
        ):
            assert refusal({name: Range(**{end: value})}) == ("OUT_OF_RANGE", field, shown, str(limit))
    assert refusal({name: Range(min=highest, max=lowest)}) == (
        "RANGE_REVERSED",
        f"filter.{name}.min",
        str(highest),
        str(lowest),
    )


def test_a_path_of_another_request_is_named() -> None:
    with pytest.raises(InvalidArgument) as refused:
        track_filter(retriever_pb2.Filter(genres=[""]), "options.filter")
    assert refused.value.field == "options.filter.genres[0]"
    assert refused.value.message == "options.filter.genres[0] is blank: give 1 to 1000 characters"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"genres": ["x"] * 101}, "filter.genres has 101 entries, at most 100 are allowed"),
        ({"genres": ["   "]}, "filter.genres[0] is blank: give 1 to 1000 characters"),
        (
            {"duration_seconds": Range(max=1_000_000.0000001)},
            "filter.duration_seconds.max is 1000000.0000001, 0 to 1000000 is allowed",
        ),
        (
            {"energy": Range(min=0.30000000000000004, max=0.3)},
            "filter.energy.min is 0.30000000000000004, above filter.energy.max, which is 0.3",
        ),
    ],
)
def test_texts_show_what_breaks_the_limit(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        track_filter(message(fields), "filter")
    assert refused.value.message == text


def message(fields: dict[str, Any]) -> retriever_pb2.Filter:
    return retriever_pb2.Filter(**fields)


def refusal(fields: dict[str, Any]) -> tuple[str, str | None, str | None, str | None]:
    with pytest.raises(InvalidArgument) as refused:
        track_filter(message(fields), "filter")
    return refused.value.reason, refused.value.field, refused.value.value, refused.value.limit
