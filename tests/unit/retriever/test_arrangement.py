from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.playlist.arrangement import (
    RepetitionCounter,
    by_energy,
    by_flow,
    by_similarity,
    cosine_distances,
)
from services.retriever.playlist.spacing import repetitions
from services.retriever.playlist.two_opt import Float64Array, length
from services.retriever.similarity import Float32Array

ARTISTS = st.lists(st.sampled_from("ABC"), max_size=7)
PREVIOUS = st.sampled_from([None, "A", "B"])


def arrange(artists: Sequence[str], previous: str | None = None) -> list[int]:
    return by_similarity(artists, previous=[previous] if previous else [])


def count_repetitions(artists: Sequence[str], previous: str | None = None) -> int:
    return repetitions(artists, previous=[previous] if previous else [])


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
    fewest = min(count_repetitions(each, previous) for each in permutations(artists))
    assert count_repetitions([artists[position] for position in order], previous) == fewest


@settings(deadline=None)
@given(st.lists(st.sampled_from("ABC"), max_size=6), PREVIOUS)
def test_of_the_orders_without_repetition_the_one_with_better_tracks_earlier_is_taken(
    artists: list[str], previous: str | None
) -> None:
    without = [
        list(each)
        for each in permutations(range(len(artists)))
        if count_repetitions([artists[position] for position in each], previous) == 0
    ]
    if without:
        assert arrange(artists, previous) == min(without)


def at_angles(*degrees: float) -> Float32Array:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def random_vectors(seed: int, count: int) -> Float32Array:
    vectors = np.random.default_rng(seed).standard_normal((count, 8))
    unit: Float32Array = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def test_flow_goes_from_each_track_to_one_near_it_and_begins_at_the_best() -> None:
    # By similarity to 0 degrees: 5, −10, 15, −20, 25. Steps of 20, 10, 25, 10 are smoother than 10, 10, 35, 10, because
    # 1 − cosine grows with the square of a small angle.
    assert by_flow(at_angles(5, -10, 15, -20, 25), "ABCDE") == [0, 4, 2, 1, 3]


def test_flow_stays_with_what_it_is_like_before_it_leaves_it() -> None:
    # Like 0 degrees. From 1 degree it is as far to one side as to the other, where the nearest one is the further away.
    vectors = at_angles(1, 15, 17, -14, -60, -62)
    similarities = [float(np.cos(np.deg2rad(degrees))) for degrees in (1, 15, 17, -14, -60, -62)]
    ways = {
        name: by_flow(vectors, "ABCDEF", similarities=each) for name, each in (("idle", None), ("hasty", similarities))
    }
    assert ways["hasty"][:4] in ([0, 1, 2, 3], [0, 2, 1, 3])
    assert ways["hasty"][4:] == [4, 5]
    assert ways["idle"] == by_flow(vectors, "ABCDEF")


def test_flow_falls_in_similarity_and_is_hardly_longer() -> None:
    steps, drifts = {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}
    for seed in range(40):
        vectors = random_vectors(seed, 25)
        target = random_vectors(seed + 1000, 1)[0]
        vectors = vectors[np.argsort(-(vectors @ target))]
        similarities = vectors @ target
        for hurries in (True, False):
            order = by_flow(vectors, range(25), similarities=similarities.tolist() if hurries else None)
            steps[hurries] += length(order, cosine_distances(vectors))
            drifts[hurries] += float(np.corrcoef(range(25), similarities[order])[0, 1]) / 40
    assert steps[True] <= 1.06 * steps[False]
    assert drifts[True] < drifts[False] - 0.2


def test_flow_begins_near_what_is_played_before() -> None:
    assert by_flow(at_angles(5, -10, 15), "ABC", before=at_angles(-20)[0]) == [1, 0, 2]


def test_flow_keeps_artists_apart_though_that_is_longer() -> None:
    assert by_flow(at_angles(0, 1, 50), "AAB") == [0, 2, 1]
    assert by_flow(at_angles(0, 50, 60), "ABC", previous=["A"]) == [1, 2, 0]


@pytest.mark.parametrize(("count", "order"), [(0, []), (1, [0])])
def test_flow_of_next_to_nothing(count: int, order: list[int]) -> None:
    assert by_flow(random_vectors(0, count), "A" * count) == order


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 4), st.booleans())
def test_flow_is_never_longer_than_similarity_nor_repeats_more(
    seed: int, count: int, window: int, is_after_something: bool
) -> None:
    vectors = random_vectors(seed, count + 1)
    before = vectors[-1] if is_after_something else None
    artists = np.random.default_rng(seed).integers(0, 5, count).tolist()
    previous = [0, 1] if is_after_something else []
    flow = by_flow(vectors[:count], artists, window, previous, before)
    plain = by_similarity(artists, window, previous)
    assert sorted(flow) == list(range(count))

    def repeated(order: list[int]) -> int:
        return repetitions([artists[position] for position in order], window, previous)

    def distance(order: list[int]) -> float:
        begin = [count] if is_after_something else []
        return length(begin + order, cosine_distances(vectors))

    assert repeated(flow) <= repeated(plain)
    if repeated(flow) == repeated(plain):
        assert distance(flow) <= distance(plain) + 1e-9


def test_flow_is_close_to_the_best_order() -> None:
    orders = {count: np.array([(0, *rest) for rest in permutations(range(1, count))]) for count in (2, 4, 6, 7)}
    ratios = []
    for seed in range(200):
        count = (2, 4, 6, 7)[seed % 4]
        vectors = random_vectors(seed, count)
        distances = cosine_distances(vectors)
        best = distances[orders[count][:, :-1], orders[count][:, 1:]].sum(axis=1).min()
        ratios.append(length(by_flow(vectors, range(count)), distances) / best)
    assert max(ratios) <= 1.5
    assert np.mean(ratios) <= 1.02
    assert np.mean(np.array(ratios) < 1 + 1e-9) >= 0.75  # most are the best


@pytest.mark.parametrize(
    ("energies", "arc", "order"),
    [
        ([0.1, 0.9, 0.5], (0.0, 1.0), [0, 2, 1]),
        ([0.1, 0.9, 0.5], (1.0, 0.0), [1, 2, 0]),
        ([0.1, 0.2, 0.3, 0.4, 0.5], (0.3, 0.8, 0.5), [0, 2, 4, 3, 1]),
        # A narrow library keeps the shape of the arc.
        ([0.50, 0.51, 0.52], (0.2, 1.0, 0.3), [0, 2, 1]),
        # The second sounds like the first, and counts as calm as it.
        ([0.1, None, 0.9, 0.8], (0.0, 1.0), [0, 1, 3, 2]),
    ],
)
def test_energy_follows_the_arc(energies: list[float | None], arc: tuple[float, ...], order: list[int]) -> None:
    vectors = at_angles(*[0, 1, 60, 62, 64][: len(energies)])
    assert by_energy(energies, arc, vectors, range(len(energies))) == order


def test_a_known_energy_is_kept_though_another_track_sounds_the_same() -> None:
    assert by_energy([0.9, 0.1], (0.0, 1.0), at_angles(5, 5), "AB") == [1, 0]


def test_energies_beyond_their_range_count_as_its_ends() -> None:
    assert by_energy([1e308, -1e308, 0.5], (0.0, 1.0), at_angles(0, 1, 2), "ABC") == [1, 2, 0]


def test_energy_keeps_artists_apart() -> None:
    assert by_energy([0.1, 0.2, 0.9], (0.0, 1.0), at_angles(0, 1, 2), "AAB") == [0, 2, 1]


def test_without_any_energy_the_order_is_a_flow() -> None:
    vectors = at_angles(5, -10, 15, -20, 25)
    assert by_energy([None] * 5, (0.0, 1.0), vectors, "ABCDE") == by_flow(vectors, "ABCDE")


def test_energy_begins_near_what_is_played_before() -> None:
    before = at_angles(50)[0]
    assert by_energy([0.5, 0.5], (0.0, 1.0), at_angles(0, 40), "AB", before=before) == [1, 0]
    vectors = at_angles(5, -10, 15)
    assert by_energy([None] * 3, (0.0, 1.0), vectors, "ABC", before=before) == by_flow(vectors, "ABC", before=before)
    assert by_energy([0.1, None, 0.9], (0.0, 1.0), at_angles(0, 1, 90), "ABC", before=before) == [1, 0, 2]


def test_a_track_that_must_move_for_its_artist_moves_as_little_as_possible() -> None:
    energies = [0.5, 0.5, 0.55, 0.6, 0.65, 0.7, 0.7]
    order = by_energy(energies, (0.0, 1.0), random_vectors(3, 7), "AABCDEF")
    assert [energies[position] for position in order] == [0.5, 0.55, 0.5, 0.6, 0.65, 0.7, 0.7]


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 5), st.integers(1, 6), st.booleans())
def test_an_arc_repeats_artists_no_more_often_than_an_order_by_similarity(
    seed: int, count: int, window: int, artists: int, is_after_something: bool
) -> None:
    rng = np.random.default_rng(seed)
    whose = rng.integers(0, artists, count).tolist()
    previous = [0, 1] if is_after_something else []
    order = by_energy(
        rng.uniform(0, 1, count).tolist(), (0.3, 0.8, 0.5), random_vectors(seed, count), whose, window, previous
    )
    assert sorted(order) == list(range(count))
    plain = by_similarity(whose, window, previous)
    repeated = [repetitions([whose[position] for position in each], window, previous) for each in (order, plain)]
    if repeated[1] == 0 or window == 2:
        assert repeated[0] <= repeated[1]


def test_an_arc_is_bent_little_more_than_it_must_be() -> None:
    bent, least = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        energies = rng.uniform(0, 1, 6)
        whose = rng.permutation([0, 0, 1, 1, 2, 3]).tolist()
        meant = np.sort(energies)

        def bend(order: Sequence[int], energies: Float64Array = energies, meant: Float64Array = meant) -> float:
            return float(((energies[list(order)] - meant) ** 2).sum())

        order = by_energy(energies.tolist(), (0.0, 1.0), random_vectors(seed, 6), whose)
        bent.append(bend(order))
        least.append(min(bend(each) for each in permutations(range(6)) if not repetitions([whose[at] for at in each])))
        assert not repetitions([whose[position] for position in order])
    assert np.mean(bent) <= 1.1 * np.mean(least)
    assert np.isclose(bent, least).mean() >= 0.85


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.lists(st.floats(0, 1), min_size=2, max_size=4))
def test_no_order_is_nearer_to_the_arc(energies: list[float], arc: list[float]) -> None:
    count = len(energies)
    wanted = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(arc)), arc)
    order = by_energy(energies, arc, random_vectors(0, count), range(count))
    least = min(sum(abs(wanted[place] - energies[at]) for place, at in enumerate(each)) for each in permutations(order))
    assert sum(abs(wanted[place] - energies[at]) for place, at in enumerate(order)) == pytest.approx(least)


@settings(deadline=None)
@given(st.lists(st.sampled_from("ABC"), max_size=8), st.integers(1, 4), st.lists(st.sampled_from("AX"), max_size=4))
def test_the_counter_of_repetitions_counts_as_the_slow_one(
    artists: list[str], window: int, previous: list[str]
) -> None:
    order = list(np.random.default_rng(len(artists)).permutation(len(artists)))
    expected = repetitions([artists[position] for position in order], window, previous)
    counter = RepetitionCounter(artists, window, previous)
    assert counter(np.array(order, dtype=np.int64)) == expected
    assert counter(np.array([len(artists), *order], dtype=np.int64)) == expected  # what is played before is nobody
