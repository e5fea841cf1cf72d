"""Finds the musical key of a recording from its spectral peaks; holds a histogram of pitch classes."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from services.embedder.descriptors.frames import is_audible, power_spectra

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

FRAME_SECONDS = 0.512

PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
# Probe-tone ratings of Krumhansl and Kessler (1982), as in Krumhansl, "Cognitive foundations of musical pitch" (1990),
# p. 30, from the tonic upwards.
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)

_LOW_HZ, _HIGH_HZ = 32.703, 4186.0  # C1 to C8
# Peaks weigh by a normal distribution over octaves, so that no edge favours a pitch class, not even in white noise.
_CENTRE_HZ, _WIDTH_OCTAVES = 440.0, 1.5
_CENTS_STEPS = 10  # parts of a semitone, for recordings that are not tuned to 440 Hz
_BINS = 12 * _CENTS_STEPS
# Peaks more than 40 dB under the frame's highest are side lobes and noise.
_MIN_PEAK_POWER = 1e-4
# Standard deviation of the pitch classes by their mean.
_MIN_CONTRAST = 0.08


@dataclass(frozen=True, slots=True)
class Key:
    """A key with its confidence, 0 to 1.

    Confidence is r₁ · (r₁ − r₂) / d: the best correlation, by its lead over the second best, where d is the lead that
    the profile of a major key itself has over its nearest neighbour. Both factors are cut to 0 to 1.
    """

    name: str
    confidence: float


class KeyMeter:
    """Key by correlation of the mean pitch classes with the profiles of the 24 keys (Krumhansl 1990, ch. 4).

    Each frame of 0.5 s gives the magnitudes of its spectral peaks between C1 and C8, at interpolated frequencies, to
    the pitch classes (Gómez, "Tonal description of polyphonic audio", INFORMS J. Computing 18 (2006)); every frame that
    is not silent counts the same. The tuning is the circular mean of the peaks' distance to the scale of 440 Hz.

    A recording that changes its key gives the one that fits all of it best. Unknown without pitches. Enharmonic keys
    are written with sharps. The usual mistakes are the relative key and the dominant.

    Args:
        sample_rate_hz: Rate of the sound.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self.frame_samples = 2 * max(1, round(FRAME_SECONDS * sample_rate_hz / 2))
        hz_per_bin = sample_rate_hz / self.frame_samples
        self._first = round(_LOW_HZ / hz_per_bin)
        self._last = min(round(_HIGH_HZ / hz_per_bin), self.frame_samples // 2)
        self._hz_per_bin = hz_per_bin
        self._histogram = np.zeros(_BINS)

    def push(self, frames: Float32Array) -> None:
        """Take the next frames, shape (n, frame_samples), float32."""
        if self._last - self._first < 3:
            return
        power = power_spectra(frames, self._first - 1, self._last + 1)
        power = power[is_audible(power, self.frame_samples)]
        middle = power[:, 1:-1]
        is_peak = (middle > power[:, :-2]) & (middle >= power[:, 2:])
        is_peak &= middle > _MIN_PEAK_POWER * middle.max(axis=1, keepdims=True)
        rows, columns = np.nonzero(is_peak)
        if not len(rows):
            return
        left, top, right = (np.log(power[rows, columns + shift] + 1e-30) for shift in (0, 1, 2))
        curve = left - 2 * top + right
        shift = np.where(curve < 0, 0.5 * (left - right) / np.where(curve < 0, curve, -1), 0.0)
        hz = (self._first + columns + shift) * self._hz_per_bin
        pitch = 12 * np.log2(hz / 440.0) + 69  # MIDI numbers: 60 is C
        bins = np.round(pitch * _CENTS_STEPS).astype(int) % _BINS
        octaves = np.log2(hz / _CENTRE_HZ) / _WIDTH_OCTAVES
        magnitude = np.exp(0.5 * (top - np.square(octaves)).astype(np.float64))
        magnitude /= np.bincount(rows, magnitude, len(power))[rows]
        self._histogram += np.bincount(bins, magnitude, _BINS)

    def key(self) -> Key | None:
        """Return the key of everything so far."""
        chroma = pitch_classes(self._histogram)
        if chroma.sum() <= 0 or chroma.std() < _MIN_CONTRAST * chroma.mean():
            return None
        return best_key(chroma)


def pitch_classes(histogram: Float64Array) -> Float64Array:
    """Fold tenths of semitones, shape (120,) from C, to pitch classes, shape (12,), in the tuning that fits best."""
    steps = np.arange(_BINS)
    mean = np.sum(histogram * np.exp(2j * np.pi * steps / _CENTS_STEPS))
    tuning = float(np.angle(mean)) / (2 * np.pi) if mean else 0.0  # semitones, −0.5 to 0.5
    classes = np.round(steps / _CENTS_STEPS - tuning).astype(int) % 12
    return np.bincount(classes, histogram, 12).astype(np.float64)


def best_key(chroma: Float64Array) -> Key:
    """Name the key whose profile correlates best (Pearson) with pitch classes, shape (12,), not all equal."""
    correlations = profiles() @ _standardised(chroma)  # (24,)
    order = np.argsort(-correlations, kind="stable")
    first, second = correlations[order[0]], correlations[order[1]]
    largest_lead = 1 - np.sort(profiles() @ profiles()[0])[-2]
    confidence = max(0.0, float(first)) * min(1.0, float((first - second) / largest_lead))
    mode, tonic = divmod(int(order[0]), 12)
    return Key(f"{PITCH_CLASSES[tonic]} {('major', 'minor')[mode]}", confidence)


@cache
def profiles() -> Float64Array:
    """Return the 24 profiles, major keys first, each from C upwards, of mean 0 and norm 1, shape (24, 12)."""
    found = np.stack([np.roll(_standardised(np.array(mode)), tonic) for mode in (MAJOR, MINOR) for tonic in range(12)])
    found.setflags(write=False)
    return found


def _standardised(values: Float64Array) -> Float64Array:
    centred: Float64Array = values - values.mean()
    return centred / max(float(np.linalg.norm(centred)), 1e-12)
