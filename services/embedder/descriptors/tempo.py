"""Finds the tempo of a recording from the rises of its band loudness; holds a few seconds of them."""

import numpy as np
from numpy.typing import NDArray

from services.embedder.descriptors.frames import hann

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

SLOWEST_BPM, FASTEST_BPM = 40.0, 240.0

_WINDOW_FRAMES = 512  # 8.2 s
_HOP_FRAMES = 256
_PADDED_FRAMES = 2048
_MIN_SECONDS = 3.0
# Ellis, "Beat tracking by dynamic programming", J. New Music Research 36 (2007): tempi are heard around 120 BPM, by a
# normal distribution over octaves. His 0.9 octaves made of a quarter of our recordings more than 200 BPM.
_PREFERRED_BPM = 120.0
_PRIOR_OCTAVES = 0.5
_GRID_STEP = 1.005
_FINE_STEPS = np.linspace(0.96, 1.04, 81)
_MULTIPLES = np.arange(1, 5)
# A window whose loudness rises less than this share of itself from frame to frame has no onsets worth a correlation.
_MIN_FLUX = 0.02
# Correlation of onsets one beat apart. By chance it reaches 4 / √frames, which is 0.27 for noise of 3.5 s.
_MIN_CLARITY = 0.12
_CHANCE = 4.5


class TempoMeter:
    """Tempo in beats per minute: that of the most regular and most likely pulse of the whole recording.

    Onset strength is the half-wave rectified difference of the band loudness of neighbouring frames, summed over
    bands. Over windows of 8.2 s its autocorrelation and its spectrum are averaged, both normalised by the window's
    variance, so that loud passages count no more than quiet ones. The product of the first and the root of the second
    has a maximum at the pulse, and neither at its multiples nor at its fractions (Peeters, "Template-based estimation
    of time-varying tempo", EURASIP J. 2007); it is weighted by Ellis's prior, and the autocorrelation at the first
    four multiples of the maximum makes it precise.

    Range 40 to 240; unknown without a pulse, and for less than 3 s. A tempo that changes gives the one that lasts
    longest; half or double of what a listener taps stays possible.

    Args:
        frames_per_second: Rate of the onset strengths.
    """

    def __init__(self, frames_per_second: float) -> None:
        self._rate = frames_per_second
        self._held = np.zeros((2, _WINDOW_FRAMES))  # onset strength and loudness
        self._filled = 0
        self._windows = self._heard = 0
        self._correlation = np.zeros(_PADDED_FRAMES // 2)
        self._spectrum = np.zeros(_PADDED_FRAMES // 2 + 1)
        self._frames = 0

    def push(self, onsets: Float32Array, loudness: Float32Array) -> None:
        """Take onset strength and whole loudness of the next frames, both shape (n,)."""
        self._frames += len(onsets)
        pair = np.stack([onsets, loudness])
        while pair.shape[1]:
            count = min(pair.shape[1], _WINDOW_FRAMES - self._filled)
            self._held[:, self._filled : self._filled + count] = pair[:, :count]
            self._filled += count
            pair = pair[:, count:]
            if self._filled == _WINDOW_FRAMES:
                self._add_window()
                self._held[:, :_HOP_FRAMES] = self._held[:, _HOP_FRAMES:].copy()
                self._filled -= _HOP_FRAMES

    def bpm(self) -> float | None:
        """Return the tempo of everything so far; to be asked once, at the end."""
        if self._frames < _WINDOW_FRAMES and self._filled >= _MIN_SECONDS * self._rate:
            self._add_window()  # shorter than one window: what there is must do
        if not self._windows:
            return None
        grid = np.exp(np.arange(np.log(SLOWEST_BPM), np.log(FASTEST_BPM) + 1e-9, np.log(_GRID_STEP)))
        correlation = self._correlation_at(60.0 / grid)
        spectrum = np.interp(grid / 60.0 * _PADDED_FRAMES / self._rate, np.arange(len(self._spectrum)), self._spectrum)
        prior = np.exp(-0.5 * (np.log2(grid / _PREFERRED_BPM) / _PRIOR_OCTAVES) ** 2)
        best = grid[np.argmax(np.maximum(correlation, 0.0) * np.sqrt(spectrum) * prior)]
        near = best * _FINE_STEPS
        sums = self._correlation_at(60.0 / near[:, None] * _MULTIPLES).sum(axis=1)
        found = float(near[np.argmax(sums)])
        clarity = self._correlation_at(np.array([60.0 / found]))[0] / self._windows
        if clarity < max(_MIN_CLARITY, _CHANCE / np.sqrt(self._heard)):
            return None
        return min(max(found, SLOWEST_BPM), FASTEST_BPM)

    def _add_window(self) -> None:
        onsets, loudness = self._held[:, : self._filled]
        if onsets.sum() <= _MIN_FLUX * loudness.sum():
            return
        window = hann(len(onsets)).astype(np.float64)
        spectrum = np.fft.rfft((onsets - onsets.mean()) * window, _PADDED_FRAMES)
        power = np.square(np.abs(spectrum))
        correlation = np.fft.irfft(power)[: _PADDED_FRAMES // 2]
        if correlation[0] <= 0:
            return
        # The window makes the products of distant frames small: divided by its own correlation, they are comparable.
        own = np.fft.irfft(np.square(np.abs(np.fft.rfft(window, _PADDED_FRAMES))))[: _PADDED_FRAMES // 2]
        reach = own > 0.05 * own[0]
        self._correlation += np.where(reach, correlation / correlation[0] * own[0] / np.where(reach, own, 1.0), 0.0)
        self._spectrum += np.sqrt(power / correlation[0])
        self._windows += 1
        self._heard += _HOP_FRAMES if self._windows > 1 else self._filled

    def _correlation_at(self, lags_s: Float64Array) -> Float64Array:
        found: Float64Array = np.interp(lags_s * self._rate, np.arange(len(self._correlation)), self._correlation)
        return found


def onset_strength(bands: Float32Array) -> Float32Array:
    """Sum the rises of each band from frame to frame.

    Args:
        bands: Band loudness, shape (n + 1, bands), float32.

    Returns:
        Shape (n,), float32, not negative: of every frame but the first.
    """
    rises: Float32Array = np.maximum(np.diff(bands, axis=0), 0.0).sum(axis=1)
    return rises
