"""Plays log-mel frames a little faster or slower, higher or lower, by interpolation: a new take for nothing.

Within a semitone and a twelfth of the tempo the teachers' opinion of the take still holds; no crop is twice the same.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

MOST_TEMPO = 1.08
MOST_PITCH = 2 ** (1 / 12)

_NYQUIST_HZ = 12_000.0


def warp(mel_db: Float32Array, *, tempo: float, pitch: float) -> Float32Array:
    """Change tempo and pitch of frames; what lies beyond their edges is the edge.

    Args:
        mel_db: Decibels of bands that are evenly spaced in mel from 0 to 12 kHz, shape (frames, bands).
        tempo: 1.05 plays a twentieth faster; the middle frame stays where it is.
        pitch: 1.05 multiplies every frequency by so much.

    Returns:
        Decibels of the same shape.
    """
    frames, bands = mel_db.shape
    middle = (frames - 1) / 2
    at = middle + (np.arange(frames) - middle) * tempo
    lower, share = _between(at, frames)
    paced = mel_db[lower] * (1 - share)[:, None] + mel_db[lower + 1] * share[:, None]
    lower, share = _between(_bands_of(_hz(bands) / pitch, bands), bands)
    return np.asarray(paced[:, lower] * (1 - share) + paced[:, lower + 1] * share, np.float32)


def draw_warp(generator: np.random.Generator) -> dict[str, float]:
    """Draw tempo and pitch, even on a logarithmic scale up to their most, as arguments of `warp`."""
    tempo, pitch = (math.log(most) * generator.uniform(-1, 1) for most in (MOST_TEMPO, MOST_PITCH))
    return {"tempo": math.exp(tempo), "pitch": math.exp(pitch)}


def _between(at: NDArray[np.float64], count: int) -> tuple[NDArray[np.int64], Float32Array]:
    """Return the row below each position, and how far it is to the next, both within `count` rows."""
    inside = np.clip(at, 0, count - 1)
    lower = np.minimum(inside.astype(np.int64), count - 2)
    return lower, (inside - lower).astype(np.float32)


@cache
def _hz(bands: int) -> NDArray[np.float64]:
    """Centres of the bands; mel as of O'Shaughnessy (1987), 2595 log10(1 + f / 700), as MuQ's front end has it."""
    mel = np.linspace(0, _mel(np.asarray(_NYQUIST_HZ)), bands + 2)[1:-1]
    return np.asarray(700 * (10 ** (mel / 2595) - 1))


def _bands_of(hz: NDArray[np.float64], bands: int) -> NDArray[np.float64]:
    return _mel(hz) / _mel(np.asarray(_NYQUIST_HZ)) * (bands + 1) - 1


def _mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(2595 * np.log10(1 + hz / 700))
