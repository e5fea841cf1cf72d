"""Frames played faster and higher are what MuQ's front end hears of the sound played so."""

import numpy as np
import pytest

from training.network import mel_frames
from training.warp import MOST_PITCH, MOST_TEMPO, draw_warp, warp

RATE = 24_000


def chord(pitch: float = 1.0, tempo: float = 1.0) -> np.ndarray:
    """Four seconds of partials that swell four times a second."""
    at = np.arange(4 * RATE) / RATE
    swell = 1 + 0.9 * np.sin(2 * np.pi * 4 * tempo * (at - 2))
    partials = [np.sin(2 * np.pi * hz * pitch * at) * 330 / hz for hz in (330, 880, 2_100, 5_200)]
    return np.asarray(np.sum(partials, axis=0) * swell, np.float32)


def test_nothing_changes_at_one() -> None:
    mel = np.random.default_rng(1).normal(-10, 5, (400, 128)).astype(np.float32)
    np.testing.assert_allclose(warp(mel, tempo=1, pitch=1), mel, atol=1e-4)


@pytest.mark.parametrize(("pitch", "tempo"), [(1.06, 1.0), (0.95, 1.0), (1.0, 1.08), (1.0, 0.93), (1.05, 0.94)])
def test_it_is_the_mel_of_the_changed_sound(pitch: float, tempo: float) -> None:
    plain, wanted = (mel_frames(sound).astype(np.float32) for sound in (chord(), chord(pitch, tempo)))
    found = warp(plain, tempo=tempo, pitch=pitch)
    inner = slice(40, -40)  # beyond lie edges
    # Partials of a hundredth of the loudest do not count: between them the front end hears leakage.
    loud = wanted[inner] > wanted[inner].max() - 20
    assert np.abs(found[inner] - wanted[inner])[loud].mean() < 0.4 * np.abs(plain[inner] - wanted[inner])[loud].mean()
    assert found[inner].mean(axis=0).argmax() == pytest.approx(wanted[inner].mean(axis=0).argmax(), abs=1)


def test_what_is_drawn_stays_within_the_most() -> None:
    generator = np.random.default_rng(2)
    drawn = [draw_warp(generator) for _ in range(300)]
    for name, most in (("tempo", MOST_TEMPO), ("pitch", MOST_PITCH)):
        logs = np.log([one[name] for one in drawn])
        assert np.abs(logs).max() <= np.log(most)
        assert abs(logs.mean()) < np.log(most) / 10
        assert logs.std() == pytest.approx(np.log(most) / 3**0.5, rel=0.1)
