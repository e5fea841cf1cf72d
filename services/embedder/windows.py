"""Decides which windows of a track speak for it, and with what weight; reads no file and runs no model."""

import numpy as np
from numpy.typing import NDArray

from services.embedder.artifact import Manifest

Float32Array = NDArray[np.float32]


def root_mean_square(window: Float32Array) -> float:
    """Return the level of a window, shape (samples,); full scale is 1."""
    # One pass without memory of its own, for the event loop waits; BLAS would start threads for it.
    return float(np.sqrt(np.einsum("i,i->", window, window) / len(window)))


class WindowChoice:
    """Judges the windows of one track in order, the last of which may be shorter than the others.

    A window is encoded as it is: filling a short one with zeros would change its vector. It votes with the seconds it
    stands for.

    Args:
        manifest: Of the encoder that will see them.
        min_samples: Shortest window that the encoder can see.
    """

    def __init__(self, manifest: Manifest, min_samples: int) -> None:
        self._manifest = manifest
        self._full_samples = manifest.window_samples
        part_samples = round(manifest.pooling.min_part_seconds * manifest.sample_rate_hz)
        self._min_part_samples = max(part_samples, min_samples)
        self._min_samples = min_samples
        self._has_full = False

    def votes(self, window: Float32Array) -> bool:
        """Say whether this window, shape (samples,), is encoded: neither silent nor too short a rest."""
        if len(window) == self._full_samples:
            self._has_full = True
        elif len(window) < (self._min_part_samples if self._has_full else self._min_samples):
            return False
        return root_mean_square(window) >= self._manifest.pooling.silence_rms

    def seconds(self, window: Float32Array) -> float:
        """Return the weight of a window."""
        return len(window) / self._manifest.sample_rate_hz
