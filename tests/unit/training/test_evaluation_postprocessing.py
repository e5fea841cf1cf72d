"""What is made of vectors afterwards: moments, properties, and that long tracks do not outweigh short ones."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.embedder.model import centre, unit
from training.evaluation.embedding import TrackVectors
from training.evaluation.postprocessing import (
    centring,
    fuse,
    measure,
    pooled,
    power,
    sharpening,
    standardising,
    whitening,
)

Float32Array = NDArray[np.float32]


def track(windows: Float32Array, seconds: list[float] | None = None) -> TrackVectors:
    weights = np.array(seconds or [10.0] * len(windows), np.float32)
    return TrackVectors(unit(windows), weights, np.zeros((len(windows), 0), np.float32), float(weights.sum()))


def correlated(count: int, seed: int) -> Float32Array:
    random = np.random.default_rng(seed)
    mixing = random.standard_normal((6, 6))
    return (random.standard_normal((count, 6)) @ mixing + 2).astype(np.float32)


@pytest.fixture
def tracks() -> list[TrackVectors]:
    return [track(correlated(20, seed)) for seed in range(40)]


def test_every_track_weighs_the_same_in_the_statistics() -> None:
    short, long = track(np.array([[1, 0]], np.float32)), track(np.array([[0, 1]] * 9, np.float32))
    statistics = measure([short.windows, long.windows])
    np.testing.assert_allclose(statistics.mean, [0.5, 0.5])
    np.testing.assert_allclose(statistics.covariance, [[0.25, -0.25], [-0.25, 0.25]])
    with pytest.raises(ValueError, match="no tracks"):
        measure([])


def test_centring_is_that_of_a_manifest(tracks: list[TrackVectors]) -> None:
    statistics = measure([one.windows for one in tracks])
    windows = tracks[0].windows
    wanted = centre(windows, statistics.mean.astype(np.float32))
    np.testing.assert_array_equal(centring(statistics)(windows), wanted)


def test_standardised_dimensions_weigh_the_same(tracks: list[TrackVectors]) -> None:
    statistics = measure([one.windows for one in tracks])
    windows = np.concatenate([one.windows for one in tracks])
    changed = standardising(statistics)(windows)
    scores = (windows - statistics.mean) / np.sqrt(np.diag(statistics.covariance))
    np.testing.assert_allclose(scores.std(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(changed, unit(scores.astype(np.float32)), atol=1e-5)


def test_a_dimension_that_never_changes_is_dropped() -> None:
    statistics = measure([np.array([[1, 0, 0], [-1, 0, 0]], np.float32)])
    changed = standardising(statistics)(np.array([[1, 5, 0]], np.float32))
    np.testing.assert_array_equal(changed, [[1, 0, 0]])


def test_whitened_directions_have_the_same_variance(tracks: list[TrackVectors]) -> None:
    statistics = measure([one.windows for one in tracks])
    windows = np.concatenate([one.windows for one in tracks]).astype(np.float64)
    dim = windows.shape[1]
    # Directions before they are made unit: those of a linear map that whitens the covariance.
    changed = whitening(statistics, shrinkage=0.0)(windows.astype(np.float32))
    inverse = np.linalg.inv(statistics.covariance)
    rest = windows - statistics.mean
    for first, second in ((0, 1), (3, 200), (7, 70)):
        mahalanobis = rest[first] @ inverse @ rest[second]
        norms = np.sqrt(rest[first] @ inverse @ rest[first]) * np.sqrt(rest[second] @ inverse @ rest[second])
        assert float(changed[first] @ changed[second]) == pytest.approx(mahalanobis / norms, abs=1e-3)
    assert changed.shape == (len(windows), dim)


def test_full_shrinkage_only_centres(tracks: list[TrackVectors]) -> None:
    statistics = measure([one.windows for one in tracks])
    windows = tracks[3].windows
    whitened, centred = whitening(statistics, shrinkage=1.0)(windows), centring(statistics)(windows)
    np.testing.assert_allclose(whitened @ whitened.T, centred @ centred.T, atol=1e-5)


def test_sharpening_stretches_directions_by_a_power_of_their_variance(tracks: list[TrackVectors]) -> None:
    windows = [one.windows for one in tracks]
    statistics = measure(windows)
    change = sharpening(windows, exponent=0.5)
    # Cosines are those of the bilinear form that the covariance is.
    one, other = windows[0][0].astype(np.float64), windows[7][3].astype(np.float64)
    norms = np.sqrt((one @ statistics.covariance @ one) * (other @ statistics.covariance @ other))
    wanted = one @ statistics.covariance @ other / norms
    changed = unit(np.stack([one, other]).astype(np.float32) @ change.matrix)
    assert float(changed[0] @ changed[1]) == pytest.approx(wanted, abs=1e-5)
    means = [unit(of_track @ change.matrix).mean(axis=0) for of_track in windows]
    np.testing.assert_allclose(change.mean, np.mean(means, axis=0), atol=1e-6)
    np.testing.assert_array_equal(change(windows[3]), centre(windows[3] @ change.matrix, change.mean))


def test_sharpening_by_nought_only_centres(tracks: list[TrackVectors]) -> None:
    windows = [one.windows for one in tracks]
    centred = centring(measure(windows))(windows[3])
    np.testing.assert_allclose(sharpening(windows, exponent=0.0)(windows[3]), centred, atol=1e-5)
    assert not np.allclose(sharpening(windows)(windows[3]), centred, atol=1e-2)


def test_power_keeps_signs() -> None:
    changed = power(0.5)(np.array([[4.0, -9.0]], np.float32))
    np.testing.assert_allclose(changed, [[2 / np.sqrt(13), -3 / np.sqrt(13)]], rtol=1e-6)


def test_pooling_weighs_windows_by_their_seconds_after_the_change() -> None:
    one = track(np.array([[1, 0], [0, 1]], np.float32), seconds=[3.0, 1.0])
    np.testing.assert_allclose(pooled([one]), unit(np.array([[3, 1]], np.float32)), rtol=1e-6)
    np.testing.assert_array_equal(pooled([one])[0], one.vector)
    turned = pooled([one], lambda windows: windows[:, ::-1])
    np.testing.assert_allclose(turned, unit(np.array([[1, 3]], np.float32)), rtol=1e-6)


def test_cosine_of_two_encoders_is_the_mean_of_theirs() -> None:
    random = np.random.default_rng(9)
    first, second = (unit(random.standard_normal((5, dim)).astype(np.float32)) for dim in (4, 7))
    fused = fuse(first, 3 * second, share=0.3)
    assert fused.shape == (5, 11)
    np.testing.assert_allclose(fused @ fused.T, 0.3 * first @ first.T + 0.7 * second @ second.T, atol=1e-6)
