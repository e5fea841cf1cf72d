"""What a composer starts from: tempo, key, length and dice; times are counted in beats from the start."""

from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 32_000
BEATS_PER_BAR = 4

Float32Array = npt.NDArray[np.float32]


class Note(NamedTuple):
    """A note, or a stroke of a drum.

    Attributes:
        beat: When it begins.
        length: How long it is held, in beats.
        pitch: MIDI key, 0 to 127; of a drum, the key of the General MIDI drum map.
        velocity: 0 to 1.
    """

    beat: float
    length: float
    pitch: int
    velocity: float = 0.8


@dataclass(frozen=True, slots=True)
class Song:
    """Everything that the layers of one render have in common.

    Attributes:
        dice: The only source of chance: the same seed gives the same song.
        tempo_qpm: Beats per minute.
        seconds: Length of the render.
        tonic: Pitch class of the key, 0 to 11.
        steps: The scale, in semitones above the tonic, rising.
        swing: How far every second eighth is late, in beats, 0 to 0.17.
    """

    dice: Random
    tempo_qpm: float
    seconds: float
    tonic: int
    steps: tuple[int, ...]
    swing: float = 0.0

    @property
    def count(self) -> int:
        """Samples of the render."""
        return round(self.seconds * SAMPLE_RATE_HZ)

    @property
    def bars(self) -> int:
        """Bars of four beats that cover the render; the last one may be cut."""
        return int(self.seconds * self.tempo_qpm / 60 / BEATS_PER_BAR) + 1

    def time_s(self, beat: float) -> float:
        """Return when a beat comes, in seconds, with its swing."""
        late = self.swing * max(0.0, 1 - abs(beat % 1 - 0.5) * 2)
        return (beat + late) * 60 / self.tempo_qpm

    def pitch(self, degree: int, base: int) -> int:
        """Return the MIDI key of a degree of the scale; degree 0 is the first tonic at or above `base`."""
        octave, step = divmod(degree, len(self.steps))
        return base + (self.tonic - base) % 12 + 12 * octave + self.steps[step]

    def silence(self) -> Float32Array:
        """Return an empty layer, shape (count,)."""
        return np.zeros(self.count, np.float32)

    def noise(self, count: int) -> Float32Array:
        """Return Gaussian noise of the dice, shape (count,), variance 1."""
        return np.random.default_rng(self.dice.getrandbits(64)).standard_normal(count, np.float32)


def add_at(layer: Float32Array, samples: Float32Array, start_s: float, gain: float = 1.0) -> None:
    """Add samples to a layer from a time on; what stands out at its end is cut."""
    start = max(0, round(start_s * SAMPLE_RATE_HZ))
    kept = samples[: max(0, len(layer) - start)]
    layer[start : start + len(kept)] += np.float32(gain) * kept
