from collections import Counter
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.playlist.spacing import IntArray, Room, repetitions, space

ARTISTS = st.lists(st.sampled_from("ABC"), max_size=7)
PREVIOUS = st.lists(st.sampled_from("ABX"), max_size=3)


def first(allowed: IntArray, order: list[int]) -> int:
    return int(allowed[0])


@pytest.mark.parametrize(
    ("artists", "window", "previous", "count"),
    [
        ("ABAB", 2, "", 0),
        ("AAB", 2, "", 1),
        ("ABA", 3, "", 1),
        ("AAA", 1, "A", 0),
        ("AB", 2, "BA", 1),
        ("AB", 3, "BA", 1),
        ("BA", 3, "BA", 2),
    ],
)
def test_repetitions_are_places_whose_artist_came_within_the_window(
    artists: str, window: int, previous: str, count: int
) -> None:
    assert repetitions(artists, window, list(previous)) == count


@pytest.mark.parametrize(
    ("artists", "window", "previous", "order"),
    [
        ("AABBCC", 3, "", "ABCABC"),
        ("BCAA", 3, "", "ABCA"),
        ("AABC", 3, "A", "BCAA"),  # not to be kept apart
        ("ABC", 3, "BA", "CBA"),
        ("AAB", 1, "A", "AAB"),
        ("AABB", 50, "", "ABAB"),
    ],
)
def test_order_within_a_wider_window(artists: str, window: int, previous: str, order: str) -> None:
    found = space(artists, window, list(previous), first)
    assert "".join(artists[position] for position in found) == order


@settings(deadline=None)
@given(ARTISTS, st.integers(1, 4), PREVIOUS)
def test_every_track_is_played_once(artists: list[str], window: int, previous: list[str]) -> None:
    assert sorted(space(artists, window, previous, first)) == list(range(len(artists)))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from("ABCDE"), max_size=7), st.integers(1, 5), PREVIOUS, st.integers(0, 9))
def test_artists_that_can_be_kept_apart_are(artists: list[str], window: int, previous: list[str], whim: int) -> None:
    can_be = any(repetitions(each, window, previous) == 0 for each in permutations(artists))
    order = space(artists, window, previous, lambda allowed, order: int(allowed[(whim + len(order)) % len(allowed)]))
    if can_be:
        assert repetitions([artists[position] for position in order], window, previous) == 0


@pytest.mark.parametrize("window", [1, 2, 3, 4])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6])
def test_there_is_room_for_exactly_what_can_be_kept_apart(length: int, window: int) -> None:
    for counts in product(range(length + 1), repeat=3):
        if sum(counts) > length:
            continue
        # The rest are tracks of somebody else each.
        artists = [*("A" * counts[0]), *("B" * counts[1]), *("C" * counts[2]), *range(length - sum(counts))]
        room = Room(length, window)
        fits = all(_takes(room, artist) for artist in artists)
        order = space(artists, window, [], first)
        assert fits == (repetitions([artists[position] for position in order], window) == 0), Counter(artists)


def _takes(room: Room, artist: object) -> bool:
    if not room.has(artist):
        return False
    room.take(artist)
    return True


def test_who_was_just_played_has_fewer_places() -> None:
    for previous, places in [([], 3), (["A"], 2), (["A", "B"], 3)]:
        room = Room(5, 2, previous)
        assert sum(_takes(room, "A") for _ in range(5)) == places
    for following, places in [([], 3), (["A"], 2), (["B", "A"], 3)]:
        room = Room(5, 2, [], following)
        assert sum(_takes(room, "A") for _ in range(5)) == places
    room = Room(5, 2, ["A"], ["A"])
    assert sum(_takes(room, "A") for _ in range(5)) == 2  # at the second place and at the fourth
    assert not Room(1, 2, ["A"], ["A"]).has("A")
    room = Room(4, 3, ["A", "B"])
    assert sum(_takes(room, "A") for _ in range(4)) == 1  # at the second place, and then at the fifth
    assert sum(_takes(room, "B") for _ in range(4)) == 1  # at the third
