"""Retrieval scores against numbers worked out by hand and against a slow reference."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from training.evaluation.retrieval import precision_at_k, score_families, score_soundtracks


def at_angles(*degrees: float) -> NDArray[np.float32]:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_scores_are_those_of_a_ranking_worked_out_by_hand() -> None:
    # The query stands at 0°; its candidates follow at 10°, 20°, 30°, 40°, 50° and 60°.
    vectors = at_angles(0, 10, 20, 30, 40, 50, 60)
    families = ["metal", "metal", "other", "metal", "other", "other", "metal"]
    packages = ["a", "b", "b", "b", "b", "b", "b"]
    is_query = np.array([True] + [False] * 6)
    scores = score_families(vectors, families, packages, is_query)
    np.testing.assert_allclose(scores.precision_at_1, [1.0])
    np.testing.assert_allclose(scores.precision_at_5, [2 / 5])
    np.testing.assert_allclose(scores.average_precision, [(1 / 1 + 2 / 3 + 3 / 6) / 3])
    np.testing.assert_allclose(scores.chance, [3 / 6])
    orders = list(itertools.permutations([True, True, True, False, False, False]))
    slow = np.mean([np.mean([sum(row[: at + 1]) / (at + 1) for at in range(6) if row[at]]) for row in orders])
    np.testing.assert_allclose(scores.chance_average_precision, [slow])


def test_neighbours_of_the_own_package_do_not_count() -> None:
    vectors = at_angles(0, 1, 2, 80, 90)
    families = ["metal", "metal", "metal", "other", "metal"]
    packages = ["a", "a", "a", "b", "b"]
    scores = score_families(vectors, families, packages, np.array([True, False, False, False, False]))
    assert scores.precision_at_1.tolist() == [0.0]
    assert scores.precision_at_5.tolist() == [0.5]
    assert scores.chance.tolist() == [0.5]


def test_norm_does_not_matter_and_order_of_tracks_neither() -> None:
    random = np.random.default_rng(1)
    vectors = random.standard_normal((30, 8)).astype(np.float32)
    families = [f"family {number % 3}" for number in range(30)]
    packages = [f"package {number % 4}" for number in range(30)]
    wanted = precision_at_k(vectors, families, packages, 5)
    scaled = vectors * random.uniform(0.1, 9, (30, 1)).astype(np.float32)
    np.testing.assert_array_equal(precision_at_k(scaled, families, packages, 5), wanted)
    order = random.permutation(30)
    moved = precision_at_k(vectors[order], [families[at] for at in order], [packages[at] for at in order], 5)
    np.testing.assert_array_equal(moved, wanted[order])


@pytest.mark.parametrize("k", [1, 5])
def test_precision_equals_a_slow_reference(k: int) -> None:
    random = np.random.default_rng(2)
    vectors = random.standard_normal((40, 6)).astype(np.float32)
    families = [str(random.integers(3)) for _ in range(40)]
    packages = [str(random.integers(5)) for _ in range(40)]
    wanted = []
    for query in range(40):
        others = [at for at in range(40) if packages[at] != packages[query]]
        norms = np.linalg.norm(vectors, axis=1)
        others.sort(key=lambda at: -(vectors[query] @ vectors[at]) / norms[query] / norms[at])
        wanted.append(sum(families[at] == families[query] for at in others[:k]) / k)
    np.testing.assert_allclose(precision_at_k(vectors, families, packages, k), wanted)
    scores = score_families(vectors, families, packages)
    np.testing.assert_allclose(scores.precision_at_1 if k == 1 else scores.precision_at_5, wanted)


def test_equal_vectors_keep_the_order_of_the_tracks() -> None:
    vectors = np.tile(at_angles(33), (7, 1))
    families = ["metal", "metal", "other", "other", "other", "other", "other"]
    scores = score_families(vectors, families, list("abcdefg"), np.array([True] + [False] * 6))
    assert scores.precision_at_1.tolist() == [1.0]


def test_a_query_without_candidates_scores_nothing() -> None:
    scores = score_families(at_angles(0, 10), ["metal", "metal"], ["a", "a"])
    assert scores.precision_at_5.tolist() == scores.average_precision.tolist() == scores.chance.tolist() == [0.0, 0.0]


def test_soundtracks_are_found_among_all_others_but_oneself() -> None:
    scores = score_soundtracks(at_angles(0, 5, 90, 95), ["a", "a", "b", "b"])
    assert scores.precision_at_1.tolist() == [1.0] * 4
    np.testing.assert_allclose(scores.precision_at_5, [1 / 3] * 4)
    np.testing.assert_allclose(scores.average_precision, [1.0] * 4)
