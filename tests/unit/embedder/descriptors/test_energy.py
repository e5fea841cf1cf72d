"""Energy grows with what it is made of, and tells calm from intense."""

import itertools

import numpy as np
import pytest

from services.embedder.descriptors import Describer
from services.embedder.descriptors.energy import energy
from tests.unit.embedder.descriptors.sounds import RATE, Float32Array, noise, sine, song


def measured(sound: Float32Array) -> float:
    describer = Describer(RATE)
    describer.hear_source(sound[:, None], RATE)
    describer.hear(sound)
    found = describer.describe().energy
    assert found is not None
    return found


def test_ends_and_middle_of_the_scale() -> None:
    assert energy(-30, 0.04, 4.5) == 0.0
    assert energy(-6, 0.14, 9.5) == pytest.approx(1.0)
    assert energy(-18, 0.09, 7.0) == pytest.approx(0.5)
    assert energy(-70, 0, 0) == 0.0
    assert energy(10, 1, 20) == pytest.approx(1.0)


def test_each_part_weighs_as_stated() -> None:
    assert energy(-6, 0.04, 4.5) == pytest.approx(0.5)
    assert energy(-30, 0.14, 4.5) == pytest.approx(0.2)
    assert energy(-30, 0.04, 9.5) == pytest.approx(0.3)


def test_energy_never_falls_when_a_part_grows() -> None:
    for loudness, flux, bark in itertools.product((-40, -20, 0), (0.0, 0.1, 0.2), (2.0, 7.0, 12.0)):
        here = energy(loudness, flux, bark)
        assert energy(loudness + 5, flux, bark) >= here
        assert energy(loudness, flux + 0.03, bark) >= here
        assert energy(loudness, flux, bark + 1) >= here


def test_quiet_dark_tone_is_calm_and_loud_bright_bursts_are_intense() -> None:
    calm = sine(110, 20, -34)
    time = np.arange(20 * RATE) / RATE
    intense = noise(20, 0.5) * np.exp(-12 * (time % (60 / 170))).astype(np.float32)
    assert measured(calm) < 0.05
    assert measured(intense) > 0.9


def test_gain_of_6_db_adds_a_quarter_of_the_loudness_part() -> None:
    sound = song() * np.float32(0.5)
    assert measured(sound * np.float32(10 ** (6 / 20))) - measured(sound) == pytest.approx(0.125, abs=0.001)
