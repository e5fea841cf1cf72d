"""Means of neighbours against numpy over the whole library, and against a sample drawn anew after every change."""

import functools
import hashlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from services.retriever.index.hubs import NEIGHBOURS, HubMeans, smallest_of
from services.retriever.index.index import TrackIndex
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track
from tests.unit.retriever.libraries import unit

SAMPLE = 4


def expected_means(known: dict[str, Float32Array], sample_size: int) -> dict[str, float]:
    """Draw the sample anew and compare everything with it, one pair at a time."""
    digests = {track_id: hashlib.blake2b(track_id.encode(), digest_size=8).digest() for track_id in known}
    sample = sorted(known, key=lambda track_id: digests[track_id])[:sample_size]
    means = {}
    for track_id, vector in known.items():
        cosines = sorted((float(vector @ known[other]) for other in sample if other != track_id), reverse=True)
        nearest = cosines[:NEIGHBOURS]
        # A track of the sample has one neighbour less to choose from, and then everybody has one less.
        nearest = nearest[: min(NEIGHBOURS, len(sample) - 1)]
        means[track_id] = sum(nearest) / len(nearest) if nearest else 0.0
    return means


class HubMachine(RuleBasedStateMachine):
    """Tracks come, go and change; a sample of four has to be drawn anew often."""

    def __init__(self) -> None:
        super().__init__()
        self.hubs = HubMeans(SAMPLE)
        self.known: dict[str, Float32Array] = {}

    def vectors_of(self, some: Sequence[str]) -> Float32Array:
        return np.stack([self.known[track_id] for track_id in some])

    @rule(number=st.integers(0, 40), sound=st.integers(0, 50))
    def put(self, number: int, sound: int) -> None:
        self.known[f"t{number}"] = unit(sound)
        self.hubs.changed(f"t{number}", is_there=True)

    @rule(number=st.integers(0, 40))
    def remove(self, number: int) -> None:
        self.known.pop(f"t{number}", None)
        self.hubs.changed(f"t{number}", is_there=False)

    @rule(numbers=st.sets(st.integers(0, 40), min_size=5))
    def remove_many(self, numbers: set[int]) -> None:
        for number in numbers:
            self.remove(number)

    @rule(sounds=st.lists(st.integers(0, 50), min_size=15, max_size=41))
    def put_many(self, sounds: list[int]) -> None:
        for number, sound in enumerate(sounds):
            self.put(number, sound)

    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        if self.known:
            asked = data.draw(st.lists(st.sampled_from(sorted(self.known)), max_size=6))
            means = self.hubs.of(asked, functools.partial(smallest_of, self.known), self.vectors_of)
            expected = expected_means(self.known, SAMPLE)
            assert means.tolist() == pytest.approx([expected[track_id] for track_id in asked], abs=2e-6)


TestHubMachine = HubMachine.TestCase
TestHubMachine.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)


@pytest.mark.parametrize("seed", range(5))
def test_the_sample_is_right_while_its_tracks_go_and_others_come(seed: int) -> None:
    """Grows, then loses the sample's own tracks, the first in the order of digests, while new ones come."""
    generator = np.random.default_rng(seed)
    hubs = HubMeans(2)
    known: dict[str, Float32Array] = {}

    def check() -> None:
        smallest = functools.partial(smallest_of, known)
        means = hubs.of(list(known), smallest, lambda some: np.stack([known[track_id] for track_id in some]))
        assert means.tolist() == pytest.approx(list(expected_means(known, 2).values()), abs=2e-6)

    for number in range(150):
        if number > 30 and generator.random() < 0.6 and len(known) > 1:
            first = min(known, key=lambda track_id: hashlib.blake2b(track_id.encode(), digest_size=8).digest())
            del known[first]
            hubs.changed(first, is_there=False)
        else:
            known[f"t{number}"] = unit(number)
            hubs.changed(f"t{number}", is_there=True)
        check()


def test_a_small_library_is_its_own_sample() -> None:
    known = {f"t{number:02d}": unit(number) for number in range(30)}
    index = TrackIndex("enc")
    for track_id, vector in known.items():
        index.upsert(Track(track_id, 1), vector)
    matrix = np.stack(list(known.values()))
    cosines = matrix @ matrix.T
    np.fill_diagonal(cosines, -np.inf)
    expected = np.sort(cosines, axis=1)[:, -NEIGHBOURS:].mean(axis=1)
    assert index.neighbour_means(list(known)).tolist() == pytest.approx(expected.tolist(), abs=2e-6)


def test_a_new_neighbour_is_noticed() -> None:
    index = TrackIndex("enc")
    for number in range(5):
        index.upsert(Track(f"t{number}", 1), unit(number))
    before = index.neighbour_means(["t0"])[0]
    index.upsert(Track("t1", 2, genre="Jazz"), unit(1))
    assert index.neighbour_means(["t0"])[0] == before
    index.upsert(Track("t9", 1), unit(0))
    assert index.neighbour_means(["t0"])[0] > before
    index.remove("t9")
    assert index.neighbour_means(["t0"])[0] == before
    index.clear()
    for track_id in ("t0", "t9"):
        index.upsert(Track(track_id, 1), unit(0))
    assert index.neighbour_means(["t0"])[0] == 1.0


def test_a_lone_track_has_no_neighbours() -> None:
    index = TrackIndex("enc")
    index.upsert(Track("a", 1), unit(1))
    assert index.neighbour_means(["a"]).tolist() == [0.0]


def test_an_unknown_track_has_no_mean() -> None:
    index = TrackIndex("enc")
    index.upsert(Track("a", 1), unit(1))
    with pytest.raises(KeyError):
        index.neighbour_means(["b"])
