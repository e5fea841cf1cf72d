"""Draws a style by a seed, has it composed and played, and masters it; who listens is not its business."""

from collections.abc import Callable
from random import Random

import numpy as np

from training.renders import acoustic, arrangements, electronic, metal
from training.renders.effects import compress, distort, highpass, lowpass, peak, reverb, tilt
from training.renders.song import SAMPLE_RATE_HZ, Float32Array

_PEAK_LOW, _PEAK_HIGH = 0.3, 0.99
_FADE_S = 0.01

# Composer and weight of each style: what recordings lack weighs more.
_COMPOSERS: dict[str, tuple[Callable[[Random, float], Float32Array], float]] = {
    "metal": (metal.metal, 3),
    "rock": (metal.rock, 2),
    "techno": (electronic.techno, 1.5),
    "trance": (electronic.trance, 1.5),
    "house": (electronic.house, 1),
    "breakbeat": (electronic.breakbeat, 1),
    "synthwave": (electronic.synthwave, 1),
    "ambient": (electronic.ambient, 1.5),
    "chiptune": (electronic.chiptune, 1),
    "orchestra": (acoustic.orchestra, 3),
    "chamber": (acoustic.chamber, 1),
    "piano": (acoustic.piano, 1),
    "jazz": (acoustic.jazz, 1),
    "folk": (acoustic.folk, 1),
    "world": (acoustic.world, 0.7),
    "hip_hop": (acoustic.hip_hop, 1),
    "score": (arrangements.arrangement, 3),
}

STYLES = tuple(_COMPOSERS)


def style_of(seed: int) -> str:
    """Return the style that `render` draws for a seed."""
    weights = [weight for _, weight in _COMPOSERS.values()]
    return Random(f"style {seed}").choices(STYLES, weights)[0]


def render(seed: int, seconds: float, style: str | None = None) -> Float32Array:
    """Compose, play and master a piece.

    Blocks for about 0.03 s per second of sound on one core. The same arguments give the same samples in every process
    on the same machine; another length is another piece.

    Args:
        seed: Any integer.
        seconds: Length, at least 1.
        style: One of STYLES; None draws one by the seed.

    Returns:
        Mono, shape (round(seconds × 32,000),), float32, peak within [0.3, 0.99].
    """
    style = style or style_of(seed)
    dice = Random(f"{style} {seed}")
    composed = _COMPOSERS[style][0](dice, seconds)
    return _mastered(dice, composed)


def _mastered(dice: Random, samples: Float32Array) -> Float32Array:
    """Colour a piece as a room, a desk and a loudspeaker may, and set its loudness."""
    samples = highpass(samples, dice.uniform(20, 45))
    if dice.random() < 0.3:
        samples = reverb(samples, dice.uniform(0.2, 1.5), dice.uniform(0.03, 0.2), dice.getrandbits(32))
    if dice.random() < 0.6:
        samples = tilt(samples, dice.gauss(0, 4))
    if dice.random() < 0.3:
        samples = peak(samples, dice.uniform(150, 5000), dice.gauss(0, 4), dice.uniform(0.5, 2))
    if dice.random() < 0.1:
        samples = lowpass(samples, dice.uniform(3000, 11_000))
    if dice.random() < 0.4:
        samples = compress(samples, dice.uniform(-20, -8), dice.uniform(1.5, 4))
    if dice.random() < 0.25:
        samples = distort(samples, dice.uniform(0.8, 2.5))
    fade = min(round(_FADE_S * SAMPLE_RATE_HZ), len(samples))
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    samples[:fade] *= ramp
    samples[-fade:] *= ramp[::-1]
    highest = max(float(np.abs(samples).max()), 1e-9)
    mastered: Float32Array = samples * np.float32(dice.uniform(_PEAK_LOW, _PEAK_HIGH) / highest)
    return mastered
