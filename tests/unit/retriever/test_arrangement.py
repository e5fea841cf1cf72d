from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.arrangement import arrange, repetitions

ARTISTS = st.lists(st.sampled_from("ABC"), max_size=7)
PREVIOUS = st.sampled_from([None, "A", "B"])


def played(artists: str, previous: str | None = None) -> str:
    return "".join(artists[position] for position in arrange(artists, previous))


@pytest.mark.parametrize(
    ("artists", "previous", "order"),
    [
        ("ABCD", None, "ABCD"),
        ("AAB", None, "ABA"),
        ("ABCCC", None, "CACBC"),
        ("AB", "A", "BA"),
        ("AAAA", None, "AAAA"),
        ("BAAA", None, "ABAA"),
        ("", None, ""),
    ],
)
def test_order(artists: str, previous: str | None, order: str) -> None:
    assert played(artists, previous) == order


def test_a_better_track_of_an_artist_comes_before_a_worse_one() -> None:
    assert arrange("AABB") == [0, 2, 1, 3]


@settings(deadline=None)
@given(ARTISTS, PREVIOUS)
def test_every_track_is_played_once_and_repetitions_are_as_few_as_possible(
    artists: list[str], previous: str | None
) -> None:
    order = arrange(artists, previous)
    assert sorted(order) == list(range(len(artists)))
    fewest = min(repetitions(each, previous) for each in permutations(artists))
    assert repetitions([artists[position] for position in order], previous) == fewest


@settings(deadline=None)
@given(st.lists(st.sampled_from("ABC"), max_size=6), PREVIOUS)
def test_of_the_orders_without_repetition_the_one_with_better_tracks_earlier_is_taken(
    artists: list[str], previous: str | None
) -> None:
    without = [
        list(each)
        for each in permutations(range(len(artists)))
        if repetitions([artists[position] for position in each], previous) == 0
    ]
    if without:
        assert arrange(artists, previous) == min(without)
