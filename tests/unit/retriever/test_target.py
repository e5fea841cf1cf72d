import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.errors import SeedsCancel
from services.retriever.playlist.recipe import Seed
from services.retriever.playlist.target import agreement, blend, move, tilt
from services.retriever.similarity import Float32Array


def unit(*numbers: float) -> Float32Array:
    vector = np.array(numbers, dtype=np.float64)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def test_agreement_is_the_inverse_of_variance_plus_its_mean_with_mean_one() -> None:
    vectors = np.array([[1.0, 0.0, 0.5], [1.0, 2.0, 0.5]])  # variances 0, 1, 0, their mean 1/3
    raw = np.array([3.0, 0.75, 3.0])
    assert agreement(vectors, np.array([0.5, 0.5])) == pytest.approx(raw / raw.mean())


def test_weights_of_seeds_count_in_their_agreement() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 2.0]])  # variance of the second: 0.9 · 0.2² + 0.1 · 1.8² = 0.36
    raw = 1 / (np.array([0.0, 0.36]) + 0.18)
    assert agreement(vectors, np.array([0.9, 0.1])) == pytest.approx(raw / raw.mean())


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_no_dimension_weighs_more_than_two_and_together_they_weigh_one(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.random(count) + 0.01
    weighed = agreement(rng.standard_normal((count, 16)), weights / weights.sum())
    assert weighed.mean() == pytest.approx(1)
    assert 0 < weighed.min() <= weighed.max() <= 2


def test_what_seeds_agree_on_weighs_more() -> None:
    seeds = [Seed(unit(1, 1, 0)), Seed(unit(1, 0, 1))]  # they agree on the first dimension
    plain, weighed = blend(seeds), blend(seeds, weigh_agreement=True)
    assert weighed[0] > plain[0]
    assert np.linalg.norm(weighed) == pytest.approx(1, abs=1e-6)


def test_a_lone_seed_and_equal_seeds_are_left_alone() -> None:
    seed = Seed(unit(1, 2, 3))
    assert blend([seed], weigh_agreement=True) == pytest.approx(seed.vector)
    assert blend([seed, seed], weigh_agreement=True) == pytest.approx(seed.vector, abs=1e-6)
    assert blend([seed, Seed(unit(3, 2, 1), -1)], weigh_agreement=True) == pytest.approx(seed.vector)


def test_negative_seeds_are_no_part_of_the_target() -> None:
    assert blend([Seed(unit(1, 0)), Seed(unit(0, 1), -5)]) == pytest.approx([1, 0])


def test_a_tilt_is_a_weighted_mean() -> None:
    target, taste = unit(1, 0), unit(0, 1)
    assert tilt(target, taste, 0.2) == pytest.approx(unit(0.8, 0.2), abs=1e-6)
    assert tilt(target, taste, 1.0) == pytest.approx(taste)
    assert tilt(target, taste, 0.0) is target
    assert tilt(target, None, 0.5) is target
    with pytest.raises(SeedsCancel):
        tilt(target, unit(-1, 0), 0.5)


def test_a_playlist_moves_by_the_formula_of_rocchio() -> None:
    playlist = np.stack([unit(1, 0, 0), unit(0, 1, 0)])
    accepted, rejected = unit(0, 0, 1)[np.newaxis], np.stack([unit(1, 0, 0), unit(0, 0, 1)])
    nothing = np.empty((0, 3), np.float32)
    assert move(playlist, nothing, nothing) == pytest.approx(unit(0.5, 0.5, 0), abs=1e-6)
    assert move(playlist, accepted, nothing) == pytest.approx(unit(0.5, 0.5, 0.75), abs=1e-6)
    assert move(playlist, accepted, rejected) == pytest.approx(unit(0.5 - 0.075, 0.5, 0.75 - 0.075), abs=1e-6)
    with pytest.raises(SeedsCancel):
        move(np.stack([unit(1, 0), unit(-1, 0)]), nothing[:, :2], nothing[:, :2])
