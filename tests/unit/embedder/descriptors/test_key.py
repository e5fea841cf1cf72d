"""Keys of cadences in all 24, and of what has none."""

import numpy as np
import pytest

from services.embedder.descriptors import Describer
from services.embedder.descriptors.key import MAJOR, MINOR, PITCH_CLASSES, best_key, pitch_classes, profiles
from tests.unit.embedder.descriptors.sounds import RATE, Float32Array, cadence, clicks, noise


def key(sound: Float32Array, rate: int = RATE) -> str | None:
    describer = Describer(rate)
    describer.hear(sound)
    return describer.describe().key


@pytest.mark.parametrize("mode", ["major", "minor"])
@pytest.mark.parametrize("tonic", range(12))
def test_cadence_is_in_its_key(tonic: int, mode: str) -> None:
    assert key(cadence(tonic, mode)) == f"{PITCH_CLASSES[tonic]} {mode}"


@pytest.mark.parametrize("tuning_hz", [428.0, 434.0, 446.0, 452.0])
def test_tuning_does_not_matter(tuning_hz: float) -> None:
    assert key(cadence(2, "minor", tuning_hz=tuning_hz)) == "D minor"


@pytest.mark.parametrize("gain_db", [-30.0, 6.0])
def test_gain_does_not_matter(gain_db: float) -> None:
    assert key(cadence(9, "major") * np.float32(10 ** (gain_db / 20))) == "A major"


def test_noise_beside_the_music_does_not_matter() -> None:
    sound = cadence(4, "minor")
    assert key(sound + noise(len(sound) / RATE, 0.02)) == "E minor"


@pytest.mark.parametrize("seconds", [4, 30])
def test_noise_has_no_key(seconds: int) -> None:
    assert key(noise(seconds)) is None


@pytest.mark.parametrize("sound", [np.zeros(RATE), np.full(9 * RATE, 0.5), clicks(120, 0.4)])
def test_what_has_no_pitch_says_so(sound: Float32Array) -> None:
    assert key(sound.astype(np.float32)) is None


@pytest.mark.parametrize(("profile", "name"), [(MAJOR, "F# major"), (MINOR, "F# minor")])
def test_profile_itself_is_most_certain(profile: tuple[float, ...], name: str) -> None:
    found = best_key(np.roll(np.array(profile), 6))
    assert found.name == name
    assert found.confidence == pytest.approx(1.0, abs=0.15)


def test_between_two_keys_nothing_is_certain() -> None:
    found = best_key(profiles()[0] + profiles()[7])
    assert found.confidence == pytest.approx(0.0, abs=1e-9)
    assert found.name in ("C major", "G major")


def test_confidence_falls_towards_another_key() -> None:
    certainty = [best_key(profiles()[0] + share * profiles()[21]).confidence for share in (0.0, 0.3, 0.6, 0.9)]
    assert certainty == sorted(certainty, reverse=True)
    assert certainty[0] == pytest.approx(1.0)
    assert 0 < certainty[-1] < 0.1


def test_histogram_is_folded_in_its_own_tuning() -> None:
    histogram = np.zeros(120)
    histogram[[3, 43, 73]] = (3.0, 1.0, 2.0)  # C, E and G, 30 cents too high
    assert pitch_classes(histogram).tolist() == [3, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0]
