"""Turns short frames of sound into what the ear gets of them: loudness in critical bands. Judges nothing."""

import numpy as np
from numpy.typing import NDArray

from services.embedder.descriptors.frames import is_audible, power_spectra

Float32Array = NDArray[np.float32]

FRAME_SECONDS = 0.032
HOP_SECONDS = 0.016
# Zwicker, "Subdivision of the audible frequency range into critical bands", JASA 33 (1961). The last ones are left
# out, because an encoder at 16 kHz does not hear them: so the measures agree between encoders.
BARK_EDGES_HZ = (
    20, 100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700, 4400, 5300, 6400,
)  # fmt: skip
# Stevens, "The measurement of loudness", JASA 27 (1955): loudness grows with intensity to the power of 0.3. A power
# law instead of a logarithm makes every ratio of band loudnesses independent of the gain.
_EXPONENT = 0.3
# A constant offset leaks into bins 0 and 1 of a Hann window.
_FIRST_BIN = 2


class CriticalBands:
    """Loudness of the critical bands that a rate has, frame by frame.

    Args:
        sample_rate_hz: Rate of the sound.

    Attributes:
        frame_samples: Length of a frame of about 32 ms.
        hop_samples: Distance of frames, half of that.
        frames_per_second: Exact for this rate, about 62.5.
        count: Bands below half the rate, at most 20.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self.hop_samples = max(1, round(HOP_SECONDS * sample_rate_hz))
        self.frame_samples = 2 * self.hop_samples
        self.frames_per_second = sample_rate_hz / self.hop_samples
        edges = [edge for edge in BARK_EDGES_HZ if edge <= sample_rate_hz / 2]
        bins = np.round(np.array(edges) * self.frame_samples / sample_rate_hz).astype(int)
        self._bins = np.maximum(bins, _FIRST_BIN)
        self.count = max(0, len(edges) - 1)

    def loudness(self, frames: Float32Array) -> Float32Array:
        """Compute the bands of frames.

        Args:
            frames: Shape (n, frame_samples), float32.

        Returns:
            Shape (n, count), float32, not negative, in units that mean nothing by themselves; 0 below −70 dBFS.
        """
        if not self.count:
            return np.zeros((len(frames), 0), np.float32)
        power = power_spectra(frames, 0, self._bins[-1])
        bands: Float32Array = np.add.reduceat(power, self._bins[:-1], axis=1)
        bands[~is_audible(bands, self.frame_samples)] = 0.0
        return bands ** np.float32(_EXPONENT)
