from collections import Counter
from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.playlist import smooth_way
from services.retriever.playlist.path_pool import great_circle
from services.retriever.playlist.smooth_way import SmoothWay, Stops, first_candidates
from services.retriever.similarity import Float32Array, cosines


def unit(rng: np.random.Generator, count: int, dimension: int) -> Float32Array:
    vectors = rng.standard_normal((count, dimension))
    vectors[:, 0] += 1.0  # so that no ends are opposite
    found: Float32Array = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def random_stops(seed: int, count: int, places: int, artists: int) -> tuple[Stops, Float32Array]:
    rng = np.random.default_rng(seed)
    vectors, ends = unit(rng, count, 5), unit(rng, 2, 5)
    points = great_circle(ends[0], ends[1], places)
    return Stops(vectors, rng.integers(0, artists, count), cosines(points, vectors.T)), ends


def is_allowed(rows: list[int], stops: Stops, ends: tuple[int, int], max_per_artist: int) -> bool:
    artists = [ends[0], *stops.artists[rows].tolist(), ends[1]]
    beside = any(one == other for one, other in pairwise(artists))
    return not beside and max(Counter(artists[1:-1]).values()) <= max_per_artist and len(set(rows)) == len(rows)


def cost_of(rows: list[int], stops: Stops, ends: Float32Array) -> tuple[float, float]:
    """The search's cost of a way, and its longest step."""
    vectors = np.concatenate([ends[:1], stops.vectors[rows], ends[1:]]).astype(np.float64)
    steps = 1 - (vectors[1:] * vectors[:-1]).sum(axis=1)
    tolls = 0.3 * (1 - np.array([stops.nearness[place, row] for place, row in enumerate(rows)], np.float64))
    return float((steps**8).sum() + (tolls**8).sum()), float(steps.max())


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 8),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(0, 2),
)
def test_of_few_tracks_the_best_way_is_found(
    seed: int, count: int, places: int, artists: int, max_per_artist: int, forbidden: int
) -> None:
    stops, ends = random_stops(seed, count, places, artists)
    is_forbidden = np.arange(count) < forbidden
    found = SmoothWay(stops, ends, (0, 1), max_per_artist).find(is_forbidden)
    ways = [
        list(rows)
        for rows in permutations(range(min(forbidden, count), count), places)
        if is_allowed(list(rows), stops, (0, 1), max_per_artist)
    ]
    if not ways:
        assert found is None
    else:
        assert found is not None
        assert found.tolist() in ways
        best = min(cost_of(rows, stops, ends)[0] for rows in ways)
        assert cost_of(found.tolist(), stops, ends)[0] == pytest.approx(best, rel=1e-3, abs=1e-6)


def test_the_longest_step_is_hardly_longer_than_it_must_be() -> None:
    excess = []
    for seed in range(80):
        stops, ends = random_stops(seed, 8, 3, 8)
        stops = replace(stops, artists=np.arange(8))
        found = SmoothWay(stops, ends, (8, 9), 3).find(np.zeros(8, np.bool_))
        assert found is not None
        least = min(cost_of(list(rows), stops, ends)[1] for rows in permutations(range(8), 3))
        excess.append(cost_of(found.tolist(), stops, ends)[1] - least)
    assert min(excess) >= -1e-6
    assert np.mean(excess) <= 0.01
    assert np.mean(np.array(excess) < 1e-6) >= 0.7


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(40, 500), st.integers(5, 60), st.integers(1, 3))
def test_every_way_keeps_the_rules(seed: int, places: int, count: int, artists: int, max_per_artist: int) -> None:
    stops, ends = random_stops(seed, count, places, artists)
    forbidden = np.random.default_rng(seed).random(count) < 0.1
    search = SmoothWay(stops, ends, (0, 1), max_per_artist)
    found = search.find(forbidden)
    if found is not None:
        assert is_allowed(found.tolist(), stops, (0, 1), max_per_artist)
        assert not forbidden[found].any()
        assert len(found) == places
        again = search.find(forbidden)
        assert again is not None
        assert found.tolist() == again.tolist()


def test_a_long_way_has_tracks_enough_though_all_its_points_are_close_together() -> None:
    stops, ends = random_stops(1, 400, 100, 400)
    nearly = np.stack([ends[0], ends[0] + 0.05 * ends[1]])
    nearly[1] /= np.linalg.norm(nearly[1])
    near = Stops(stops.vectors, np.arange(400), cosines(great_circle(nearly[0], nearly[1], 100), stops.vectors.T))
    found = SmoothWay(near, nearly, (400, 401), 1).find(np.zeros(400, np.bool_))
    assert found is not None
    assert len(set(found.tolist())) == 100


def test_a_crowd_of_one_artist_does_not_hide_the_others() -> None:
    rng = np.random.default_rng(2)
    ends = unit(rng, 2, 4)
    ends[1] = ends[0] + 0.02 * ends[1]
    ends[1] /= np.linalg.norm(ends[1])
    points = great_circle(ends[0], ends[1], 5)
    crowd = points[2] + 0.01 * rng.standard_normal((2000, 4)).astype(np.float32)
    others = points[2] + 0.5 * rng.standard_normal((20, 4)).astype(np.float32)
    vectors = np.concatenate([crowd, others])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    artists = np.concatenate([np.zeros(2000, np.int64), np.arange(1, 21)])
    found = SmoothWay(Stops(vectors, artists, cosines(points, vectors.T)), ends, (21, 22), 5).find(
        np.zeros(2020, np.bool_)
    )
    assert found is not None
    assert Counter(artists[found].tolist())[0] <= 3


def test_candidates_are_bounded() -> None:
    assert [first_candidates(places) for places in (1, 3, 8, 98)] == [256, 256, 128, 48]
    stops, ends = random_stops(3, 2000, 30, 2000)
    search = SmoothWay(stops, ends, (2000, 2001), 3)
    assert max(len(layer) for layer in search._layers) <= smooth_way._FEWEST
