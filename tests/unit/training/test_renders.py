import hashlib
import subprocess
import sys

import numpy as np
import pytest

from training.renders import SAMPLE_RATE_HZ, STYLES, render, style_of

_SECONDS = 2.5


def _digest(seed: int) -> str:
    return hashlib.sha256(render(seed, _SECONDS).tobytes()).hexdigest()


@pytest.mark.parametrize("style", STYLES)
def test_every_style_gives_sound_of_the_length_asked_for_within_full_scale(style: str) -> None:
    samples = render(3, _SECONDS, style)

    peak = float(np.abs(samples).max())
    assert samples.shape == (80_000,)
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    assert 0.299 < peak < 0.991
    # No second is silent: below -50 dB of the peak.
    seconds = np.square(samples[: 2 * SAMPLE_RATE_HZ].reshape(2, SAMPLE_RATE_HZ)).mean(axis=1)
    assert np.sqrt(seconds).min() > 0.003 * peak


def test_a_length_that_is_no_whole_number_of_samples_is_rounded() -> None:
    assert len(render(1, 1.00004, "chiptune")) == 32_001


def test_one_seed_gives_the_same_samples_in_another_process() -> None:
    # Hashes of strings, and so orders of sets, differ between processes.
    code = "from tests.unit.training.test_renders import _digest; print(*map(_digest, range(4)))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()

    assert found == [_digest(seed) for seed in range(4)]


def test_seeds_differ_within_a_style() -> None:
    pieces = [render(seed, _SECONDS, "techno") for seed in range(4)]

    for number, piece in enumerate(pieces):
        for other in pieces[:number]:
            assert abs(float(np.corrcoef(piece, other)[0, 1])) < 0.5


def test_every_style_is_drawn_by_some_seed_and_no_other_is() -> None:
    assert {style_of(seed) for seed in range(400)} == set(STYLES)
