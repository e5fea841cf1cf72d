"""Power spectra in numpy and the mel filters of librosa (Slaney) and of torchaudio (HTK); knows no model."""

import itertools
from functools import cache

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

# Slaney's Auditory Toolbox: linear below 1 kHz, logarithmic above.
_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0
# The HTK book: mel = 2595 · log10(1 + hz / 700).
_HTK_SCALE = 2595.0
_HTK_HZ = 700.0
# Frames are transformed in runs whose samples and spectra stay in the second-level cache: twice as quick as at once.
_RUN_SAMPLES = 1 << 17


def frame_count(samples: int, hop: int) -> int:
    """Return how many frames a centred spectrogram of so many samples has."""
    return 1 + samples // hop


def power_spectra(
    windows: Float32Array, n_fft: int, hop: int, frames: int | None = None, out: Float32Array | None = None
) -> Float32Array:
    """Compute power spectra: periodic Hann window, frames centred with reflected edges.

    The batch does not change a row's result by a single bit.

    Args:
        windows: Sound, shape (batch, samples), float32, more than n_fft / 2 samples.
        n_fft: Samples in a frame, even.
        hop: Samples from frame to frame.
        frames: How many of the first frames are wanted; None for all.
        out: Where the result goes, of its shape; None for memory of its own, whose pages the system makes anew for
            every call: that takes as long as two thirds of the work.

    Returns:
        Shape (batch, frames, n_fft / 2 + 1), float32, not negative.
    """
    padded = np.pad(windows, ((0, 0), (n_fft // 2, n_fft // 2)), mode="reflect")
    cut = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=1)[:, ::hop]  # (batch, frames, n_fft)
    cut = cut[:, :frames]
    power = np.empty((*cut.shape[:2], n_fft // 2 + 1), np.float32) if out is None else out
    run = max(1, _RUN_SAMPLES // n_fft)
    windowed = np.empty((run, n_fft), np.float32)
    spectrum = np.empty((run, n_fft // 2 + 1), np.complex64)
    for row, start in itertools.product(range(len(cut)), range(0, cut.shape[1], run)):
        target = power[row, start : start + run]
        size = len(target)
        np.multiply(cut[row, start : start + run], _scaled_hann(n_fft), out=windowed[:size])
        # numpy's stubs know only the type that float64 has; float32 makes complex64.
        np.fft.rfft(windowed[:size], norm="forward", out=spectrum[:size])  # type: ignore[arg-type]
        parts = spectrum[:size].view(np.float32)  # real and imaginary in turn
        np.square(parts, out=parts)
        np.add(parts[:, ::2], parts[:, 1::2], out=target)
    return power


def mel_power(windows: Float32Array, sample_rate_hz: int, n_fft: int, hop: int, n_mels: int) -> Float32Array:
    """Compute power spectrograms as librosa's `melspectrogram` does: Slaney's mel scale and norm.

    Args:
        windows: Sound, shape (batch, samples), float32, more than n_fft / 2 samples.
        sample_rate_hz: Its rate.
        n_fft: Samples in a frame.
        hop: Samples from frame to frame.
        n_mels: Bands from 0 Hz to half the rate.

    Returns:
        Shape (batch, 1 + samples // hop, n_mels), float32, not negative.
    """
    power = power_spectra(windows, n_fft, hop)
    mels: Float32Array = power @ slaney_filters(sample_rate_hz, n_fft, n_mels)
    return mels


@cache
def slaney_filters(sample_rate_hz: int, n_fft: int, n_mels: int) -> Float32Array:
    """Return librosa's triangular filters of equal area from 0 Hz to half the rate, shape (n_fft / 2 + 1, n_mels)."""
    edges = _slaney_to_hz(np.linspace(0, _hz_to_slaney(sample_rate_hz / 2), n_mels + 2))
    areas = 2.0 / (edges[2:] - edges[:-2])
    return np.ascontiguousarray(_triangles(edges, sample_rate_hz, n_fft) * areas, dtype=np.float32)


@cache
def htk_filters(sample_rate_hz: int, n_fft: int, n_mels: int) -> Float32Array:
    """Return torchaudio's triangular filters of height 1 from 0 Hz to half the rate, shape (n_fft / 2 + 1, n_mels)."""
    top = _HTK_SCALE * np.log10(1 + sample_rate_hz / 2 / _HTK_HZ)
    edges = _HTK_HZ * (10 ** (np.linspace(0, top, n_mels + 2) / _HTK_SCALE) - 1)
    return np.ascontiguousarray(_triangles(edges, sample_rate_hz, n_fft), dtype=np.float32)


def _triangles(edges: NDArray[np.float64], sample_rate_hz: int, n_fft: int) -> NDArray[np.float64]:
    """Return triangles of height 1 that rise and fall between neighbouring edges in Hz, shape (bins, n_mels)."""
    bins = np.linspace(0, sample_rate_hz / 2, n_fft // 2 + 1)
    widths = np.diff(edges)
    ramps = edges[:, None] - bins[None]
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    triangles: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling)).T
    return triangles


@cache
def _scaled_hann(n_fft: int) -> Float32Array:
    """Return the periodic Hann window times n_fft, by which `norm="forward"` divides.

    With its other norms numpy computes a spectrum of float32 in float64, which takes twice the time and more.
    """
    return (n_fft * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft))).astype(np.float32)


def _slaney_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(
        mels < _BREAK_MEL,
        mels * _HZ_PER_MEL,
        _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mels, _BREAK_MEL) - _BREAK_MEL)),
    )


def _hz_to_slaney(hz: float) -> float:
    return hz / _HZ_PER_MEL if hz < _BREAK_HZ else float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)
