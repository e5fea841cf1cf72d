"""Synthesises short pieces of music, the same for every process: what a precision is judged on, and calibrated with.

No recording ships for that: these pieces have what moves an encoder, namely beats, chords, bass, voices, noise,
levels from −50 dBFS to full scale, and an empty upper half of the spectrum. The README compares them with recordings.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

_SECONDS = 10
_BEAT_S = 0.5
_CHORDS = ((0, 4, 7, 12), (-3, 0, 4, 9), (-7, -3, 0, 5), (-5, -1, 2, 7))
_FORMANTS_HZ = ((700, 1150, 2500), (350, 2000, 2800), (450, 800, 2600))


def pieces(rate_hz: int, samples: int, seed: int) -> list[Float32Array]:
    """Return one piece of each kind.

    Args:
        rate_hz: Of the sound.
        samples: Length of each; what is longer than 10 s repeats.
        seed: Of keys, tempo and noise; the same seed makes the same pieces.

    Returns:
        Mono sound of shape (samples,), float32, within full scale.
    """
    random = np.random.default_rng(seed)
    tapes = [np.clip(kind(_Desk(rate_hz, random)), -1, 1) for kind in _KINDS]
    return [np.resize(tape, samples).astype(np.float32) for tape in tapes]


class _Desk:
    """A tape of 10 s, and what is played onto it."""

    def __init__(self, rate_hz: int, random: np.random.Generator) -> None:
        self.rate_hz = rate_hz
        self.random = random
        self.tape = np.zeros(_SECONDS * rate_hz, np.float32)
        self.root_hz = float(110 * 2 ** random.uniform(0, 1))

    def play(self, sound: Float32Array, at_s: float) -> None:
        """Mix sound in; what hangs over the end is cut."""
        start = round(at_s * self.rate_hz)
        target = self.tape[start : start + len(sound)]
        target += sound[: len(target)]

    def time(self, seconds: float) -> Float32Array:
        return np.arange(round(seconds * self.rate_hz), dtype=np.float32) / np.float32(self.rate_hz)

    def tone(self, hz: float, seconds: float, harmonics: int, decay: float) -> Float32Array:
        """Return a note whose harmonics fall off by their number; above 45 % of the rate there are none."""
        time = self.time(seconds)
        numbers = [number for number in range(1, harmonics + 1) if number * hz < 0.45 * self.rate_hz]
        waves = (np.sin(np.float32(2 * np.pi * hz * number) * time) / np.float32(number) for number in numbers)
        return np.asarray(sum(waves, np.zeros_like(time)) * np.exp(-np.float32(decay) * time), np.float32)

    def noise(self, seconds: float, decay: float) -> Float32Array:
        time = self.time(seconds)
        return np.asarray(self.random.standard_normal(len(time), np.float32) * np.exp(-np.float32(decay) * time))

    def note_hz(self, steps: int) -> float:
        return self.root_hz * 2 ** (steps / 12)


def _drums(desk: _Desk) -> Float32Array:
    """A kick that falls in pitch, a snare, hats, and a bass of many harmonics."""
    time = desk.time(0.3)
    kick = np.sin(2 * np.pi * (45 * time - 8 * np.exp(-12 * time))) * np.exp(-9 * time)
    for beat in range(round(_SECONDS / _BEAT_S)):
        at_s = beat * _BEAT_S
        desk.play(0.5 * kick.astype(np.float32), at_s)
        desk.play(0.12 * np.diff(desk.noise(0.1, 40)), at_s + _BEAT_S / 2)
        if beat % 2:
            desk.play(0.25 * desk.noise(0.2, 18), at_s)
        desk.play(0.12 * desk.tone(desk.note_hz(-12 + _CHORDS[beat // 8 % 4][0]), 0.4, 16, 4), at_s)
    return desk.tape


def _pad(desk: _Desk) -> Float32Array:
    """Chords that swell and change, without beat or noise."""
    for number, chord in enumerate(_CHORDS):
        swell = np.sin(np.pi * desk.time(2.5) / np.float32(2.5))
        for steps in chord:
            desk.play(0.06 * swell * desk.tone(desk.note_hz(steps), 2.5, 6, 0), 2.5 * number)
    return desk.tape


def _plucked(desk: _Desk) -> Float32Array:
    """Quiet single notes around −45 dBFS with gaps between them."""
    for number in range(24):
        steps = _CHORDS[number // 6][number % 4] + 12
        desk.play(0.01 * desk.tone(desk.note_hz(steps), 0.9, 9, 5), 0.4 * number)
    return desk.tape


def _distorted(desk: _Desk) -> Float32Array:
    """Drums and fifths driven into clipping at full scale."""
    _drums(desk)
    for number in range(16):
        for steps in (0, 7, 12):
            desk.play(0.3 * desk.tone(desk.note_hz(_CHORDS[number // 4][0] + steps), 0.6, 8, 1), 0.625 * number)
    return np.tanh(5 * desk.tape)


def _voice(desk: _Desk) -> Float32Array:
    """A buzz with vibrato under formants that change, breath, and pauses."""
    for number in range(8):
        time = desk.time(0.9)
        hz = 2 * desk.note_hz(_CHORDS[number // 2][number % 4])
        phase = 2 * np.pi * hz * (time + 0.003 / 5 * np.sin(2 * np.pi * 5 * time))
        wave = np.zeros_like(time)
        for harmonic in range(1, 1 + int(4000 / hz)):
            formants = _FORMANTS_HZ[number % 3]
            gain = sum(1 / (1 + ((harmonic * hz - formant) / 120) ** 2) for formant in formants)
            wave += np.float32(gain / harmonic**0.5) * np.sin(harmonic * phase)
        desk.play((0.15 * wave * np.hanning(len(time)) + 0.003 * desk.noise(0.9, 0)).astype(np.float32), 1.25 * number)
    return desk.tape


def _band(desk: _Desk) -> Float32Array:
    """Drums, chords and voice together, dull: half of the spectrum is empty, as a bad MP3 has it."""
    mix = _drums(desk) + _pad(_Desk(desk.rate_hz, desk.random)) + _voice(_Desk(desk.rate_hz, desk.random))
    spectrum = np.fft.rfft(mix)
    spectrum[len(spectrum) // 2 :] = 0
    return np.clip(0.8 * np.fft.irfft(spectrum, len(mix)), -1, 1).astype(np.float32)


_KINDS: tuple[Callable[[_Desk], Float32Array], ...] = (_drums, _pad, _plucked, _distorted, _voice, _band)
