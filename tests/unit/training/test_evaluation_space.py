"""Hubs, probes, clusters and maps: numbers worked out by hand, and folds that tear no group apart."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.evaluation import probes
from training.evaluation.hubness import measure_hubness
from training.evaluation.picture import draw_maps, project
from training.evaluation.probes import ProbeScores, knn_probe, linear_probe, silhouette

Float32Array = NDArray[np.float32]


def clouds(count: int, seed: int, spread: float = 0.1) -> tuple[Float32Array, list[str], list[str]]:
    """Return vectors in three clouds, their labels, and groups of three tracks of one label."""
    random = np.random.default_rng(seed)
    labels = [f"label {number % 3}" for number in range(count)]
    groups = [f"group {number % 3} {number // 9}" for number in range(count)]
    vectors = np.eye(3)[[number % 3 for number in range(count)]] + spread * random.standard_normal((count, 3))
    return vectors.astype(np.float32), labels, groups


def test_a_hub_is_seen() -> None:
    # Eleven spokes at right angles to each other, all leaning to one hub: everybody names it.
    spokes = np.eye(12, dtype=np.float32)[:11] + 0.5 * np.eye(12, dtype=np.float32)[11]
    vectors = np.concatenate([spokes, np.eye(12, dtype=np.float32)[11:]])
    found = measure_hubness(vectors, k=1)
    # The hub names the first spoke, since all are as near: N_1 is 11, 1, and ten times 0.
    named = np.array([11, 1] + [0] * 10)
    wanted = np.mean((named - 1) ** 3) / np.mean((named - 1) ** 2) ** 1.5
    assert found.skewness == pytest.approx(wanted)
    assert found.largest_hub == 1.0
    assert found.never_named == pytest.approx(10 / 12)


def test_a_ring_has_no_hubs() -> None:
    angles = 2 * np.pi * np.arange(24) / 24
    found = measure_hubness(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32), k=2)
    assert (found.skewness, found.never_named) == (0.0, 0.0)
    assert found.largest_hub == pytest.approx(2 / 23)


def test_too_few_vectors_have_no_hubs() -> None:
    with pytest.raises(ValueError, match="3 vectors cannot have 10 neighbours"):
        measure_hubness(np.eye(3, dtype=np.float32))


@pytest.mark.parametrize("probe", [knn_probe, linear_probe])
def test_probes_tell_clouds_apart(probe: Callable[[Float32Array, list[str], list[str]], ProbeScores]) -> None:
    scores = probe(*clouds(90, seed=1))
    assert (scores.accuracy, scores.macro_f1) == (1.0, 1.0)
    assert scores.f1 == {"label 0": 1.0, "label 1": 1.0, "label 2": 1.0}


def test_probes_find_nothing_where_only_the_group_is_heard() -> None:
    # Every group has a place of its own; labels have none. Torn groups would give the labels away.
    random = np.random.default_rng(2)
    groups = [f"group {number // 4}" for number in range(120)]
    labels = [f"label {number // 4 % 2}" for number in range(120)]
    vectors = np.repeat(random.standard_normal((30, 40)), 4, axis=0) + 0.01 * random.standard_normal((120, 40))
    scores = knn_probe(vectors.astype(np.float32), labels, groups)
    assert scores.accuracy < 0.75
    assert linear_probe(vectors.astype(np.float32), labels, groups).accuracy < 0.75


def test_folds_tear_no_group_apart() -> None:
    _, labels, groups = clouds(90, seed=3)
    folds = probes._folds(np.asarray(labels), groups)
    assert len(folds) == 5
    assert sorted(track for _, test in folds for track in test) == list(range(90))
    for train, test in folds:
        assert not {groups[at] for at in train} & {groups[at] for at in test}


def test_folds_are_as_few_as_the_rarest_label_has_groups() -> None:
    assert probes.fold_count(["a"] * 9 + ["b"] * 9, [str(number % 9) for number in range(18)]) == 5
    assert probes.fold_count(["a"] * 9 + ["b"] * 4, [str(number) for number in range(11)] + ["10", "10"]) == 2


def test_a_tie_of_votes_goes_to_the_nearer_label() -> None:
    labels = np.array(["far", "far", "near", "near", "other"])
    similarity = np.array([0.1, 0.2, 0.9, 0.8, 0.99], np.float32)
    assert probes._vote(labels, similarity) == "near"


def test_silhouette_equals_a_slow_reference() -> None:
    vectors, labels, _ = clouds(30, seed=4, spread=0.5)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distance = 1 - units @ units.T
    of_label = np.asarray(labels)
    values = []
    for at in range(30):
        own = (of_label == of_label[at]) & (np.arange(30) != at)
        inner = distance[at][own].mean()
        outer = min(distance[at][of_label == other].mean() for other in set(labels) - {labels[at]})
        values.append((outer - inner) / max(inner, outer))
    assert silhouette(vectors, labels) == pytest.approx(np.mean(values), abs=1e-5)


def test_maps_are_the_same_each_time_and_keep_clouds_together(tmp_path: Path) -> None:
    vectors, labels, _ = clouds(45, seed=5)
    places = project(vectors)
    np.testing.assert_array_equal(places, project(vectors))
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert all(labels[int(nearest)] == labels[at] for at, nearest in enumerate(distance.argmin(axis=1)))
    draw_maps(tmp_path / "maps.png", {"one": vectors, "two": vectors}, labels)
    assert (tmp_path / "maps.png").read_bytes().startswith(b"\x89PNG")
