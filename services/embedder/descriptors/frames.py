"""Cuts a stream of sound into overlapping frames and computes their spectra; knows nothing of music."""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

# Beyond any scale that a tool writes; larger numbers overflow when they are squared.
_LARGEST_SAMPLE = 1e6
_SILENCE = 1e-7


class Framer:
    """Hands on frames in batches of one size, so that results do not depend on the blocks in which the sound came.

    It holds no more than one batch of sound.

    Args:
        frame_samples: Length of a frame.
        hop_samples: Distance of the beginnings of two frames.
        batch_frames: Frames handed on at a time; the last batch may have fewer.
        take: Gets each batch, shape (frames, frame_samples), float32, valid during the call only.
    """

    def __init__(
        self, frame_samples: int, hop_samples: int, batch_frames: int, take: Callable[[Float32Array], None]
    ) -> None:
        self._frame = frame_samples
        self._hop = hop_samples
        self._take = take
        self._shift = batch_frames * hop_samples
        self._buffer = np.zeros(self._shift + frame_samples - hop_samples, np.float32)
        self._filled = 0

    def push(self, block: Float32Array) -> None:
        """Take the next samples, shape (samples,)."""
        while len(block):
            count = min(len(block), len(self._buffer) - self._filled)
            self._buffer[self._filled : self._filled + count] = block[:count]
            self._filled += count
            block = block[count:]
            if self._filled == len(self._buffer):
                self._hand_on()
                self._buffer[: -self._shift] = self._buffer[self._shift :]
                self._filled -= self._shift

    def finish(self) -> None:
        """Hand on the frames that are whole; a rest shorter than a frame is dropped."""
        if self._filled >= self._frame:
            self._hand_on()
        self._filled = 0

    def _hand_on(self) -> None:
        filled = self._buffer[: self._filled]
        self._take(np.lib.stride_tricks.sliding_window_view(filled, self._frame)[:: self._hop])


def power_spectra(frames: Float32Array, first: int, end: int) -> Float32Array:
    """Compute the power of some bins under a Hann window.

    Args:
        frames: Shape (n, samples), float32.
        first: First bin.
        end: Bin after the last, at most samples // 2 + 1.

    Returns:
        Shape (n, end - first), float32, not negative.
    """
    samples = frames.shape[1]
    # With its other norms numpy computes in float64.
    spectrum = np.fft.rfft(frames * (samples * hann(samples)), norm="forward")[:, first:end]
    return np.square(spectrum.real) + np.square(spectrum.imag)


def is_audible(power: Float32Array, frame_samples: int) -> NDArray[np.bool_]:
    """Say which frames have a root mean square of at least −70 dBFS, the gate of loudness.

    Args:
        power: Of `power_spectra`, those bins that matter, shape (n, bins).
        frame_samples: Length of the frames.
    """
    mean_squares = power.sum(axis=1) * np.float32(16 / 3 / frame_samples**2)  # 3 / 8: the window's own mean square
    audible: NDArray[np.bool_] = mean_squares > _SILENCE
    return audible


@cache
def hann(samples: int) -> Float32Array:
    """Return the periodic Hann window, shape (samples,), float32."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)).astype(np.float32)


def finite(block: Float32Array) -> Float32Array:
    """Return the block with samples that are no number made 0 and those beyond any scale cut; usually itself."""
    if not block.size or (block.min() >= -_LARGEST_SAMPLE and block.max() <= _LARGEST_SAMPLE):  # false for NaN
        return block
    numbers = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(numbers, -_LARGEST_SAMPLE, _LARGEST_SAMPLE)
