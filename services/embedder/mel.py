"""Power spectrograms on the mel scale in numpy, as librosa's `melspectrogram` computes them; knows no model."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

# Slaney's Auditory Toolbox: linear below 1 kHz, logarithmic above.
_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def frame_count(samples: int, hop: int) -> int:
    """Return how many frames a centred spectrogram of so many samples has."""
    return 1 + samples // hop


def mel_power(windows: Float32Array, sample_rate_hz: int, n_fft: int, hop: int, n_mels: int) -> Float32Array:
    """Compute power spectrograms: Hann window, frames centred with reflected edges, Slaney mel scale and norm.

    Args:
        windows: Sound, shape (batch, samples), float32, more than n_fft / 2 samples.
        sample_rate_hz: Its rate.
        n_fft: Samples in a frame.
        hop: Samples from frame to frame.
        n_mels: Bands from 0 Hz to half the rate.

    Returns:
        Shape (batch, 1 + samples // hop, n_mels), float32, not negative.
    """
    padded = np.pad(windows, ((0, 0), (n_fft // 2, n_fft // 2)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=1)[:, ::hop]  # (batch, frames, n_fft)
    spectrum = np.fft.rfft(frames * _hann(n_fft), axis=-1)  # complex64 for float32 in
    power = np.square(spectrum.real) + np.square(spectrum.imag)  # (batch, frames, n_fft / 2 + 1)
    return power @ _filters(sample_rate_hz, n_fft, n_mels)


@cache
def _hann(n_fft: int) -> Float32Array:
    """Return the periodic Hann window, as for filter design a symmetric one would not be."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


def _to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(
        mels < _BREAK_MEL,
        mels * _HZ_PER_MEL,
        _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mels, _BREAK_MEL) - _BREAK_MEL)),
    )


def _to_mel(hz: float) -> float:
    return hz / _HZ_PER_MEL if hz < _BREAK_HZ else float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)


@cache
def _filters(sample_rate_hz: int, n_fft: int, n_mels: int) -> Float32Array:
    """Return triangular filters of equal area, shape (n_fft / 2 + 1, n_mels)."""
    bins = np.linspace(0, sample_rate_hz / 2, n_fft // 2 + 1)
    edges = _to_hz(np.linspace(0, _to_mel(sample_rate_hz / 2), n_mels + 2))
    widths = np.diff(edges)
    ramps = edges[:, None] - bins[None]
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return np.ascontiguousarray(triangles.T, dtype=np.float32)
