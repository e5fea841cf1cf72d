from collections import Counter
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.social.domain.ids import TrackId, UserId
from services.social.domain.recommendation import Recommended, Source, fuse, mix_of_day, natural_blend, popular

A, B, C, D = (TrackId(name) for name in "abcd")
DAY = date(2026, 11, 20)
WHO = UserId("who")


def test_ranks_are_fused_by_their_weights() -> None:
    found = fuse([(A, 0.9), (B, 0.8)], [(B, D), (C, D)], 0.25)
    assert [(one.track_id, one.source, one.similarity, one.because) for one in found] == [
        (B, Source.BOTH, 0.8, D),
        (A, Source.SOUND, 0.9, None),
        (C, Source.BEHAVIOUR, None, D),
    ]
    assert [one.score for one in found] == pytest.approx([0.75 / 62 + 0.25 / 61, 0.75 / 61, 0.25 / 62])


def test_what_weighs_nothing_recommends_nothing() -> None:
    assert [one.track_id for one in fuse([(A, 0.9)], [(B, D)], 0.0)] == [A]
    assert [one.track_id for one in fuse([(A, 0.9), (B, 0.1)], [(B, D)], 1.0)] == [B]
    assert fuse([(B, 0.1)], [(B, D)], 1.0)[0].source is Source.BEHAVIOUR


def test_equal_ranks_stand_by_id() -> None:
    assert [one.track_id for one in fuse([(B, 0.5)], [(A, D)], 0.5)] == [A, B]


def test_behaviour_rises_with_what_is_known() -> None:
    assert [natural_blend(heard) for heard in (0, 5, 10, 150)] == [0.0, pytest.approx(1 / 3), 0.5, 0.5]


@given(st.integers(0, 260), st.integers(1, 30), st.integers(0, 10))
def test_a_mix_is_the_same_all_day_and_no_artist_has_more_than_three(count: int, artists: int, days: int) -> None:
    found = popular([TrackId(f"track {number:03}") for number in range(count)])
    of_artist = {one.track_id: f"artist {number % artists}" for number, one in enumerate(found)}
    day = DAY + timedelta(days=days)
    mix = mix_of_day(found, of_artist, WHO, day)
    assert mix == mix_of_day(found, of_artist, WHO, day)
    assert len(mix) == min(50, sum(min(3, size) for size in Counter(list(of_artist.values())[:200]).values()))
    assert len({one.track_id for one in mix}) == len(mix)
    assert max(Counter(of_artist[one.track_id] for one in mix).values(), default=0) <= 3


def test_mixes_differ_from_day_to_day_and_better_ones_come_more_often() -> None:
    found = [Recommended(TrackId(f"{n:03}"), Source.SOUND, 0.5, None, 1.0 if n < 60 else 0.1) for n in range(200)]
    mixes = [mix_of_day(found, {}, WHO, DAY + timedelta(days=n)) for n in range(20)]
    assert len({tuple(one.track_id for one in mix) for mix in mixes}) == 20
    better = sum(one.score == 1.0 for mix in mixes for one in mix)
    assert better / 1_000 > 60 / 200 * 2


def test_one_artist_twice_in_a_row_comes_only_where_no_other_is_left() -> None:
    found = popular([TrackId(name) for name in ("a1", "a2", "a3", "b1", "b2", "b3", "c1", "c2", "c3")])
    artists = {one.track_id: one.track_id[0] for one in found}
    for days in range(30):
        order = [artists[one.track_id] for one in mix_of_day(found, artists, WHO, DAY + timedelta(days=days))]
        for place, (before, after) in enumerate(pairwise(order)):
            assert before != after or set(order[place + 1 :]) == {before}
