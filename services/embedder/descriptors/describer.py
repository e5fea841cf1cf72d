"""Listens to a recording once, as a stream, and says what was measured. Memory does not grow with its length."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.embedder.descriptors.bands import CriticalBands
from services.embedder.descriptors.energy import TextureMeter, energy
from services.embedder.descriptors.frames import Framer, finite
from services.embedder.descriptors.key import KeyMeter
from services.embedder.descriptors.loudness import LoudnessMeter, PeakMeter
from services.embedder.descriptors.tempo import TempoMeter, onset_strength

Float32Array = NDArray[np.float32]

# To be raised with every change that moves a figure beyond the tolerances of the README.
REVISION = 1

# Batches stay in the processor's caches.
_BATCH_FRAMES = 64
_KEY_BATCH_FRAMES = 4


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Measures of one recording; None is not known, and no number is ever infinite or NaN.

    Attributes:
        loudness_lufs: Integrated loudness, −70 to 10; see `LoudnessMeter`.
        peak_dbfs: Sample peak; see `PeakMeter`.
        tempo_bpm: 40 to 240; see `TempoMeter`.
        key: For example "C major" or "F# minor"; see `KeyMeter`.
        key_confidence: 0 to 1; None exactly where the key is. See `Key`.
        energy: 0 to 1; see `energy`.
        revision: Of these definitions.
    """

    loudness_lufs: float | None
    peak_dbfs: float | None
    tempo_bpm: float | None
    key: str | None
    key_confidence: float | None
    energy: float | None
    revision: int = REVISION


class Describer:
    """Measures one recording, in the decoder's process.

    Loudness and peak are those of the file's own channels at its own rate (`hear_source`). The rest is measured on the
    mono mix at the encoder's rate (`hear`), in frames of equal seconds and in bands below 6.4 kHz, so that it does not
    depend on the encoder; what two channels of opposite phase play is lost in that mix.

    Args:
        sample_rate_hz: Rate of what `hear` gets.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._loudness = LoudnessMeter()
        self._peak = PeakMeter()
        self._bands = CriticalBands(sample_rate_hz)
        self._last_bands: Float32Array | None = None
        self._tempo = TempoMeter(self._bands.frames_per_second)
        self._texture = TextureMeter(self._bands.count)
        self._key = KeyMeter(sample_rate_hz)
        self._framers = (
            Framer(self._bands.frame_samples, self._bands.hop_samples, _BATCH_FRAMES, self._take_short),
            Framer(self._key.frame_samples, self._key.frame_samples, _KEY_BATCH_FRAMES, self._key.push),
        )

    def hear_source(self, block: Float32Array, rate_hz: int) -> None:
        """Take the next samples of the file, shape (frames, channels), float32."""
        block = finite(block)
        self._peak.push(block)
        self._loudness.push(block, rate_hz)

    def hear(self, block: Float32Array) -> None:
        """Take the next samples of the mono mix, shape (samples,), float32."""
        block = finite(block)
        for framer in self._framers:
            framer.push(block)

    def describe(self) -> Descriptors:
        """Return what was measured; to be asked once, at the end."""
        for framer in self._framers:
            framer.finish()
        loudness_lufs, key = self._loudness.integrated_lufs(), self._key.key()
        flux, brightness_bark = self._texture.flux(), self._texture.brightness_bark()
        intensity = None
        if loudness_lufs is not None and flux is not None and brightness_bark is not None:
            intensity = energy(loudness_lufs, flux, brightness_bark)
        return Descriptors(
            loudness_lufs=_known(loudness_lufs),
            peak_dbfs=_known(self._peak.dbfs()),
            tempo_bpm=_known(self._tempo.bpm()),
            key=None if key is None else key.name,
            key_confidence=None if key is None else round(key.confidence, 4),
            energy=_known(intensity),
        )

    def _take_short(self, frames: Float32Array) -> None:
        bands = self._bands.loudness(frames)
        before = bands[:1] if self._last_bands is None else self._last_bands
        onsets = onset_strength(np.concatenate([before, bands]))
        self._last_bands = bands[-1:]
        self._tempo.push(onsets, bands.sum(axis=1))
        self._texture.push(bands, onsets)


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)
