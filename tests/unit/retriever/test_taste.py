"""Where a taste lies among the vectors, against numpy in double precision."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retriever.index.index import TrackIndex
from services.retriever.profiles.profiles import Profile, Profiles
from services.retriever.profiles.taste import TasteVectors, taste_of
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

DIMENSION = 6
COUNT = 8


def unit(seed: int, dimension: int = DIMENSION) -> Float32Array:
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def library(count: int = COUNT) -> TrackIndex:
    index = TrackIndex("enc")
    for number in range(count):
        index.upsert(Track(f"t{number}", 1), unit(number))
    return index


def profile(weights: dict[str, float], profile_id: str = "p", version: int = 1, *, is_listed: bool = True) -> Profile:
    return Profile(profile_id, version, tuple(weights), np.array(list(weights.values()), np.float32), is_listed)


@given(
    st.dictionaries(st.integers(0, COUNT + 2), st.floats(0.0078125, 1e6, width=32), max_size=COUNT),
    st.floats(1e-3, 1e3),
)
def test_it_is_the_weighted_mean_of_the_tracks_that_are_there(weights: dict[int, float], factor: float) -> None:
    index = library()
    found = taste_of(profile({f"t{number}": weight for number, weight in weights.items()}), index)
    there = {number: weight for number, weight in weights.items() if number < COUNT}
    if not there:
        assert found is None
        return
    mean = np.sum([weight * unit(number).astype(np.float64) for number, weight in there.items()], axis=0)
    assert found is not None
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)
    scaled = taste_of(profile({f"t{number}": weight * factor for number, weight in weights.items()}), index)
    np.testing.assert_allclose(scaled, found, atol=1e-5)  # type: ignore[arg-type]  # it is there, too


def test_the_largest_weights_do_not_overflow() -> None:
    largest = float(np.finfo(np.float32).max)
    found = taste_of(profile({"t0": largest, "t1": largest, "t2": largest}), library())
    mean = unit(0) + unit(1) + unit(2)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)  # type: ignore[arg-type]  # it is there


@pytest.mark.parametrize("weights", [{}, {"t0": 0.0, "t1": 0.0}, {"gone": 1.0}, {"t0": 0.0, "gone": 2.0}])
def test_without_a_known_track_that_weighs_there_is_none(weights: dict[str, float]) -> None:
    assert taste_of(profile(weights), library()) is None


def test_opposite_tracks_have_no_middle() -> None:
    index = library()
    index.upsert(Track("opposite"), -unit(0))
    assert taste_of(profile({"t0": 1, "opposite": 1}), index) is None
    np.testing.assert_allclose(taste_of(profile({"t0": 2, "opposite": 1}), index), unit(0), atol=1e-6)  # type: ignore[arg-type]  # it is there


def test_it_is_never_stale() -> None:
    profiles, index = Profiles(), library()
    tastes = TasteVectors(profiles, index)
    assert tastes.of("p") is None
    profiles.upsert(profile({"t0": 1}))
    np.testing.assert_allclose(tastes.of("p"), unit(0), atol=1e-6)  # type: ignore[arg-type]  # it is there
    index.upsert(Track("t0", 2), unit(20))
    np.testing.assert_allclose(tastes.of("p"), unit(20), atol=1e-6)  # type: ignore[arg-type]  # it is there
    profiles.upsert(profile({"t1": 1}, version=2))
    np.testing.assert_allclose(tastes.of("p"), unit(1), atol=1e-6)  # type: ignore[arg-type]  # it is there
    index.remove("t1")
    assert tastes.of("p") is None
