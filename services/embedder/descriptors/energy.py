"""Rates how intense a recording sounds, from its loudness, its onsets and its brightness."""

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

# Where each part is 0 and where it is 1: a little beyond what 96 of 100 recordings have, of 125 of all kinds, which is
# −26 to −8 LUFS, 0.053 to 0.137 and 5.0 to 9.2 Bark. See `energy`.
QUIETEST_LUFS, LOUDEST_LUFS = -30.0, -6.0
STILLEST_FLUX, BUSIEST_FLUX = 0.04, 0.14
DARKEST_BARK, BRIGHTEST_BARK = 4.5, 9.5
LOUDNESS_WEIGHT, FLUX_WEIGHT, BRIGHTNESS_WEIGHT = 0.5, 0.2, 0.3


class TextureMeter:
    """Flux and brightness of a recording, both independent of its gain.

    *Flux* is the share by which the loudness of the bands rises from one frame to the next, 0 to 1. *Brightness* is the
    centre of the loudness of the bands on the Bark scale, as in Zwicker's sharpness (Fastl and Zwicker,
    "Psychoacoustics", 2007, ch. 9) without its weighting of high bands, 0.5 to 19.5.

    Args:
        bands: How many there are.
    """

    def __init__(self, bands: int) -> None:
        self._bands = np.zeros(bands)
        self._rises = 0.0

    def push(self, bands: Float32Array, onsets: Float32Array) -> None:
        """Take band loudness, shape (n, bands), and onset strength, shape (n,), of the next frames."""
        self._bands += bands.sum(axis=0, dtype=np.float64)
        self._rises += float(onsets.sum(dtype=np.float64))

    def flux(self) -> float | None:
        """Return the flux of everything so far, None for silence."""
        total = float(self._bands.sum())
        return self._rises / total if total > 0 else None

    def brightness_bark(self) -> float | None:
        """Return the brightness of everything so far, None for silence."""
        total = float(self._bands.sum())
        return float(self._bands @ (np.arange(len(self._bands)) + 0.5)) / total if total > 0 else None


def energy(loudness_lufs: float, flux: float, brightness_bark: float) -> float:
    """Rate intensity from 0, calm, to 1, intense.

    Half of it is loudness (−30 to −6 LUFS), a fifth flux (0.04 to 0.14), the rest brightness (4.5 to 9.5 Bark), every
    part linear between its ends and cut beyond them: it never falls when one of the three grows. Loudness is the
    strongest correlate of felt arousal, many onsets and a bright timbre are others (Gabrielsson and Lindström, "The
    role of structure in the musical expression of emotions", 2010; Schubert, "Modeling perceived emotion with
    continuous musical features", Music Perception 21 (2004)). The weights are ours, the ends those of real music.
    """
    return (
        LOUDNESS_WEIGHT * _part(loudness_lufs, QUIETEST_LUFS, LOUDEST_LUFS)
        + FLUX_WEIGHT * _part(flux, STILLEST_FLUX, BUSIEST_FLUX)
        + BRIGHTNESS_WEIGHT * _part(brightness_bark, DARKEST_BARK, BRIGHTEST_BARK)
    )


def _part(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
