"""Sounds whose measures are known, made on the spot; all shape (samples,), float32, mono."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

RATE = 16_000


def sine(hz: float, seconds: float, level_dbfs: float, rate: int = RATE) -> Float32Array:
    """Return a sine with this peak level."""
    time = np.arange(round(seconds * rate)) / rate
    return (10 ** (level_dbfs / 20) * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def noise(seconds: float, level: float = 0.1, seed: int = 0, rate: int = RATE) -> Float32Array:
    """Return white noise with this root mean square."""
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def clicks(bpm: float, seconds: float = 30, rate: int = RATE) -> Float32Array:
    """Return beeps of 20 ms at 1 kHz, one a beat."""
    sound = np.zeros(round(seconds * rate), np.float32)
    beep = sine(1000, 0.02, -6, rate) * np.hanning(round(0.02 * rate)).astype(np.float32)
    for second in np.arange(0.1, seconds - 0.1, 60 / bpm):
        start = round(second * rate)
        sound[start : start + len(beep)] += beep
    return sound


def chord(pitches: Sequence[int], seconds: float, tuning_hz: float = 440.0, rate: int = RATE) -> Float32Array:
    """Return tones of MIDI pitches with six falling partials each, that fade over their length."""
    time = np.arange(round(seconds * rate)) / rate
    sound = np.zeros(len(time))
    for pitch in pitches:
        hz = tuning_hz * 2 ** ((pitch - 69) / 12)
        sound += sum(np.sin(2 * np.pi * hz * number * time) / number**1.5 for number in range(1, 7))
    return (0.05 * sound * np.exp(-1.5 * time / seconds)).astype(np.float32)


def cadence(tonic: int, mode: str, beat_seconds: float = 0.5, tuning_hz: float = 440.0) -> Float32Array:
    """Return I IV I V I in a key, or i iv i V i, four beats of each with the root below; tonic 0 is C."""
    third = 4 if mode == "major" else 3
    triads = {0: (0, third, 7), 5: (5, 5 + third, 12), 7: (7, 11, 14)}
    bars = [
        chord([36 + tonic + degree, *(60 + tonic + note for note in triads[degree])], beat_seconds, tuning_hz)
        for degree in (0, 5, 0, 7, 0)
        for _ in range(4)
    ]
    return np.concatenate(bars)


def song(seconds: float = 24, rate: int = RATE) -> Float32Array:
    """Return something with a key, a tempo of 120 BPM and noise, at a full rate so that it can be resampled."""
    bars = [chord([45, 57, 60, 64], 0.5, rate=rate), chord([50, 57, 62, 65], 0.5, rate=rate)]
    beat = np.concatenate([bars[0]] * 4 + [bars[1]] * 4)
    sound = np.tile(beat, int(seconds / 4) + 1)[: round(seconds * rate)]
    time = np.arange(len(sound)) / rate
    hiss = noise(seconds, 0.03, seed=4, rate=rate) * np.exp(-20 * (time % 0.5))
    return (sound + hiss).astype(np.float32)
