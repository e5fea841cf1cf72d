"""Tempo of clicks that are counted, and of what has no pulse."""

import numpy as np
import pytest

from services.embedder.descriptors import Describer
from tests.unit.embedder.descriptors.sounds import RATE, Float32Array, chord, clicks, noise, sine


def tempo(sound: Float32Array, rate: int = RATE) -> float | None:
    describer = Describer(rate)
    describer.hear(sound)
    return describer.describe().tempo_bpm


@pytest.mark.parametrize("bpm", [60, 66, 72, 80, 88, 97, 104, 111, 120, 128, 133, 140, 150, 161, 172, 180])
def test_clicks_are_counted(bpm: float) -> None:
    assert tempo(clicks(bpm)) == pytest.approx(bpm, rel=0.01)


@pytest.mark.parametrize("rate", [16_000, 24_000])
@pytest.mark.parametrize("bpm", [40, 95, 200, 238])
def test_clicks_are_counted_at_every_rate_up_to_the_ends_of_the_range(bpm: float, rate: int) -> None:
    assert tempo(clicks(bpm, rate=rate), rate) == pytest.approx(bpm, rel=0.01)


def test_clicks_within_noise_are_counted() -> None:
    assert tempo(clicks(104) + noise(30, 0.02)) == pytest.approx(104, rel=0.01)


def test_chords_are_counted_as_clicks_are() -> None:
    assert tempo(np.concatenate([chord([45, 57, 61, 64], 60 / 90)] * 30)) == pytest.approx(90, rel=0.02)


def test_few_seconds_are_enough() -> None:
    assert tempo(clicks(120, seconds=4)) == pytest.approx(120, rel=0.01)


@pytest.mark.parametrize("gain_db", [-30.0, 6.0])
def test_gain_does_not_matter(gain_db: float) -> None:
    sound = clicks(97) + noise(30, 0.01)
    assert tempo(sound * np.float32(10 ** (gain_db / 20))) == tempo(sound)


def test_short_noise_has_no_pulse_by_chance() -> None:
    assert [tempo(noise(3.5, seed=seed)) for seed in range(12)] == [None] * 12


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(0, np.float32),
        clicks(120, seconds=2.5),
        np.zeros(30 * RATE, np.float32),
        np.full(30 * RATE, 0.5, np.float32),
        sine(440, 30, -6),
        sine(110, 30, -20) + sine(165, 30, -20),
        noise(4),
        noise(30),
    ],
    ids=["nothing", "two beats", "silence", "offset", "tone", "drone", "short noise", "noise"],
)
def test_what_has_no_pulse_says_so(sound: Float32Array) -> None:
    assert tempo(sound) is None
