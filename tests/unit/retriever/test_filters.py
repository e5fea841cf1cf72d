"""What each part of a filter takes, and that what is not known is true of nothing."""

from dataclasses import replace
from typing import Any

import pytest

from services.retriever.filters import Interval, TrackFilter, filter_of
from services.retriever.tracks import Track

OPEN = Interval()
TRACK = Track(
    "a",
    1,
    artist="Beyonce\u0301",
    genre="R&B",
    year=2003,
    duration_s=236.0,
    tags=("Soul", "loud"),
    tempo_bpm=99.0,
    key="D minor",
    energy=0.7,
    loudness_lufs=-8.0,
)
UNKNOWN = Track("b", 1)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, True),
        ({"genres": {"r&b", "jazz"}}, True),
        ({"genres": {"jazz"}}, False),
        ({"artists": {"beyoncé"}}, True),
        ({"artists": {"beyonce"}}, False),
        ({"blocked_artists": {"beyoncé"}}, False),
        ({"blocked_artists": {"bob"}}, True),
        ({"track_ids": {"a", "z"}}, True),
        ({"track_ids": {"z"}}, False),
        ({"blocked_track_ids": {"a"}}, False),
        ({"blocked_track_ids": {"z"}}, True),
        ({"tags": {"soul", "loud"}}, True),
        ({"tags": {"soul", "slow"}}, False),
        ({"blocked_tags": {"slow"}}, True),
        ({"blocked_tags": {"slow", "loud"}}, False),
        ({"keys": {"d minor"}}, True),
        ({"keys": {"d major"}}, False),
        ({"year": Interval(2003, 2003)}, True),
        ({"year": Interval(2004)}, False),
        ({"year": Interval(highest=2002)}, False),
        ({"duration_s": Interval(236.0, 236.0)}, True),
        ({"duration_s": Interval(236.1)}, False),
        ({"tempo_bpm": Interval(99, 120)}, True),
        ({"tempo_bpm": Interval(100, 120)}, False),
        ({"energy": Interval(0.7, 0.7)}, True),
        ({"energy": Interval(0.0, 0.6)}, False),
        ({"loudness_lufs": Interval(-9, -7)}, True),
        ({"loudness_lufs": Interval(-7, 0)}, False),
        ({"genres": {"r&b"}, "year": Interval(1990, 1999)}, False),
    ],
)
def test_a_track_is_taken_if_everything_is_true_of_it(asked: dict[str, Any], expected: bool) -> None:
    assert TrackFilter(**asked).takes(TRACK) is expected
    assert TrackFilter(**asked)(TRACK) is expected


@pytest.mark.parametrize(
    "asked",
    [
        {"genres": {"jazz"}},
        {"artists": {"bob"}},
        {"tags": {"slow"}},
        {"keys": {"d minor"}},
        {"year": OPEN},
        {"duration_s": OPEN},
        {"tempo_bpm": OPEN},
        {"energy": OPEN},
        {"loudness_lufs": OPEN},
    ],
)
def test_what_is_not_known_is_true_of_nothing(asked: dict[str, Any]) -> None:
    assert TrackFilter(**asked).takes(UNKNOWN) is False


def test_what_is_not_known_is_not_blocked() -> None:
    assert TrackFilter(blocked_artists=frozenset({"bob"}), blocked_tags=frozenset({"slow"})).takes(UNKNOWN)


def test_zero_is_a_known_measure() -> None:
    silent = replace(UNKNOWN, energy=0.0, loudness_lufs=0.0, tempo_bpm=0.0)
    assert TrackFilter(energy=OPEN, loudness_lufs=OPEN, tempo_bpm=OPEN).takes(silent)


def test_without_blocks_more_and_keeps_the_rest() -> None:
    asked = TrackFilter(genres=frozenset({"jazz"}), blocked_track_ids=frozenset({"a"}))
    assert asked.without(["b"]) == replace(asked, blocked_track_ids=frozenset({"a", "b"}))


def test_a_filter_is_known_by_itself_and_by_its_method() -> None:
    asked = TrackFilter(genres=frozenset({"jazz"}))
    assert filter_of(asked) is asked
    assert filter_of(asked.takes) is asked
    assert filter_of(lambda track: True) is None
    assert filter_of([].append) is None
