from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.social.domain.badges import BADGES, Metric, earned
from services.social.domain.ids import TrackId
from services.social.domain.listening import (
    MOST_PLAYS_OF_DAY,
    REST,
    HeardTrack,
    Play,
    PlayOutcome,
    is_long_enough,
    judge,
    seconds_of,
)
from services.social.domain.ranges import ListeningRange, Share, first_day, shares

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SONG, OTHER = TrackId("song"), TrackId("other")
TRACKS = {SONG: HeardTrack("Rock", None, 180.0), OTHER: HeardTrack("Jazz", None, 180.0)}


@pytest.mark.parametrize(
    ("heard", "track", "expected"),
    [
        (30.0, 180.0, True),
        (29.9, 180.0, False),
        (20.0, 40.0, True),
        (19.9, 40.0, False),
        (30.0, 60.0, True),
        (29.9, 0.0, False),
        (30.0, 0.0, True),
        (0.0, 0.0, False),
    ],
)
def test_thirty_seconds_or_half_of_the_track_are_enough(heard: float, track: float, expected: bool) -> None:
    assert is_long_enough(heard, track) is expected


def test_no_more_is_heard_than_there_is() -> None:
    play = Play("1", SONG, None, NOW, 500.0)
    assert seconds_of(play, TRACKS[SONG]) == 180.0
    assert seconds_of(play, HeardTrack("Rock", None, 0.0)) == 500.0


@given(
    st.lists(st.tuples(st.sampled_from([SONG, OTHER]), st.integers(0, 3_600)), max_size=40),
    st.lists(st.integers(0, 3_600), max_size=3),
)
def test_plays_of_a_track_that_count_are_five_minutes_apart(sent: list[tuple[TrackId, int]], before: list[int]) -> None:
    plays = [
        Play(str(number), track_id, None, NOW - timedelta(seconds=ago), 60.0)
        for number, (track_id, ago) in enumerate(sent)
    ]
    known = [(SONG, NOW - timedelta(seconds=ago)) for ago in before]
    outcomes = judge(plays, TRACKS, [], known, {}, NOW)
    for track_id in (SONG, OTHER):
        counted = [
            play.played_at
            for play, outcome in zip(plays, outcomes, strict=True)
            if play.track_id == track_id and outcome is PlayOutcome.COUNTED
        ]
        near = sorted(counted)
        assert all(later - earlier >= REST for earlier, later in pairwise(near))
        others = [at for one, at in known if one == track_id]
        # Nothing that could count was left out.
        for play, outcome in zip(plays, outcomes, strict=True):
            if play.track_id == track_id:
                is_near = any(abs(play.played_at - at) < REST for at in counted + others)
                assert outcome is PlayOutcome.COUNTED or is_near
    assert set(outcomes) <= {PlayOutcome.COUNTED, PlayOutcome.TOO_SOON}


def test_one_id_is_one_play_in_one_request_too() -> None:
    plays = [Play("1", SONG, None, NOW, 60.0), Play("1", OTHER, None, NOW, 60.0), Play("2", OTHER, None, NOW, 60.0)]
    assert judge(plays, TRACKS, ["2"], [], {}, NOW) == [
        PlayOutcome.COUNTED,
        PlayOutcome.DUPLICATE,
        PlayOutcome.DUPLICATE,
    ]


def test_a_day_has_room_for_so_many_plays() -> None:
    day_before = NOW - timedelta(days=1)
    plays = [
        Play("1", SONG, None, NOW, 60.0),
        Play("2", OTHER, None, NOW - timedelta(hours=1), 60.0),
        Play("3", OTHER, None, NOW, 1.0),
        Play("4", SONG, None, day_before, 60.0),
    ]
    told = {NOW.date(): MOST_PLAYS_OF_DAY - 2, day_before.date(): 7}
    assert judge(plays, TRACKS, [], [], told, NOW) == [
        PlayOutcome.COUNTED,
        PlayOutcome.COUNTED,
        PlayOutcome.TOO_MANY,
        PlayOutcome.COUNTED,
    ]


@pytest.mark.parametrize(
    ("span", "now", "expected"),
    [
        (ListeningRange.WEEK, NOW, date(2026, 11, 14)),
        (ListeningRange.MONTH, NOW, date(2026, 10, 22)),
        (ListeningRange.YEAR, NOW, date(2025, 12, 1)),
        (ListeningRange.YEAR, datetime(2026, 12, 31, tzinfo=UTC), date(2026, 1, 1)),
        (ListeningRange.YEAR, datetime(2026, 1, 31, tzinfo=UTC), date(2025, 2, 1)),
        (ListeningRange.ALL, NOW, None),
        (ListeningRange.WEEK, datetime(2026, 11, 20, 2, tzinfo=UTC), date(2026, 11, 14)),
    ],
)
def test_ranges_begin_at_midnight_in_utc(span: ListeningRange, now: datetime, expected: date | None) -> None:
    assert first_day(span, now) == expected


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 1_000)))
def test_parts_make_the_whole(counts: dict[str, int]) -> None:
    found = shares(counts)
    assert {one.name: one.count for one in found} == {name: count for name, count in counts.items() if count}
    assert sum(one.share for one in found) == pytest.approx(1.0 if found else 0.0)
    assert found == sorted(found, key=lambda one: (-one.count, one.name))


def test_no_plays_have_no_parts() -> None:
    assert shares({"Rock": 0}) == []
    assert shares({"Rock": 1, "Pop": 3}) == [Share("Pop", 3, 0.75), Share("Rock", 1, 0.25)]


def test_there_are_badges_enough_and_each_rises() -> None:
    assert len(BADGES) >= 12
    assert len({badge.name for badge in BADGES}) == len({badge.metric for badge in BADGES}) == len(BADGES)
    for badge in BADGES:
        assert list(badge.thresholds) == sorted(set(badge.thresholds))
        assert badge.thresholds[0] > 0
        assert badge.rule.endswith(".")


def test_a_tier_is_earned_at_its_threshold() -> None:
    assert earned({Metric.PLAYS: 99}) == [("listener", 1)]
    assert earned({Metric.PLAYS: 100}) == [("listener", 1), ("listener", 2)]
    assert earned({}) == []
