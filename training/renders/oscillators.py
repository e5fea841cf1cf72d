"""A subtractive synthesizer on wavetables: band-limited waves whose lowpass moves with time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from training.renders.song import SAMPLE_RATE_HZ, Float32Array, Note, Song, add_at

_TABLE = 1024
# Positions of the lowpass, from dark to open.
_CUTOFFS_HZ = np.geomspace(60, 16_000, 40)
_STEPS_PER_OCTAVE = (len(_CUTOFFS_HZ) - 1) / np.log2(_CUTOFFS_HZ[-1] / _CUTOFFS_HZ[0])


@dataclass(frozen=True, slots=True)
class Patch:
    """How a synthesizer sounds.

    Attributes:
        wave: saw, square, pulse, triangle, sine, organ or hollow.
        voices: Detuned copies of each note.
        detune: Greatest distance of a copy from the note, in semitones.
        cutoff_hz: Where the lowpass rests.
        resonance: Gain at the cutoff; 0.7 is flat, 6 whistles.
        sweep: Octaves that the lowpass opens at a note's start.
        sweep_s: How soon it falls back.
        lfo: Octaves that the lowpass swings.
        lfo_beats: Beats of one swing.
        drift: Octaves that the lowpass opens from the start of the song to its end.
        attack_s: To full loudness.
        decay_s: From full loudness to `sustain`.
        sustain: Loudness that is held, 0 to 1.
        release_s: After the note's end.
        vibrato: Semitones to either side, five times a second.
    """

    wave: str = "saw"
    voices: int = 1
    detune: float = 0.12
    cutoff_hz: float = 3000.0
    resonance: float = 0.9
    sweep: float = 0.0
    sweep_s: float = 0.2
    lfo: float = 0.0
    lfo_beats: float = 4.0
    drift: float = 0.0
    attack_s: float = 0.005
    decay_s: float = 0.2
    sustain: float = 0.7
    release_s: float = 0.08
    vibrato: float = 0.0


def synthesize(song: Song, notes: Sequence[Note], patch: Patch) -> Float32Array:
    """Play notes on a patch.

    Takes about 0.8 ms per second of a note and voice.

    Returns:
        Mono, shape (song.count,), float32; a single note's peak is about 1.
    """
    layer = song.silence()
    for note in notes:
        start_s = song.time_s(note.beat)
        if start_s < song.seconds:
            held_s = song.time_s(note.beat + note.length) - start_s
            add_at(layer, _tone(song, note, patch, start_s, held_s), start_s, note.velocity)
    return layer


def _tone(song: Song, note: Note, patch: Patch, start_s: float, held_s: float) -> Float32Array:
    seconds = min(held_s + patch.release_s, song.seconds - start_s + 0.01)
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ), dtype=np.float32) / np.float32(SAMPLE_RATE_HZ)
    bank = _bank(patch.wave, min(max(note.pitch, 12), 120), round(patch.resonance, 1))
    row = _rows(song, patch, start_s, time_s) * _TABLE
    frequency_hz = 440 * 2 ** ((note.pitch - 69) / 12)
    bend = np.float32(0)
    if patch.vibrato:
        bend = np.float32(patch.vibrato * np.log(2) / 12 * frequency_hz / (2 * np.pi * 5)) * np.sin(
            np.float32(2 * np.pi * 5) * time_s
        )
    tone = np.zeros(len(time_s), np.float32)
    for voice in range(patch.voices):
        spread = patch.detune * (2 * voice / (patch.voices - 1) - 1) if patch.voices > 1 else 0.0
        cycles = np.float32(frequency_hz * 2 ** (spread / 12)) * time_s + np.float32(song.dice.random()) + bend
        at = (cycles * np.float32(_TABLE)).astype(np.int32) & (_TABLE - 1)
        tone += bank[row + at]
    return tone * _envelope(patch, time_s, held_s) / np.float32(np.sqrt(patch.voices))


def _rows(song: Song, patch: Patch, start_s: float, time_s: Float32Array) -> np.ndarray:
    octaves = np.full(len(time_s), np.log2(patch.cutoff_hz / _CUTOFFS_HZ[0]), np.float32)
    if patch.sweep:
        octaves += np.float32(patch.sweep) * np.exp(-time_s / np.float32(patch.sweep_s))
    if patch.lfo:
        turn = 2 * np.pi * song.tempo_qpm / 60 / patch.lfo_beats
        octaves += np.float32(patch.lfo) * np.sin(np.float32(turn) * (time_s + np.float32(start_s)))
    if patch.drift:
        octaves += np.float32(patch.drift / song.seconds) * (time_s + np.float32(start_s))
    rows = (octaves * np.float32(_STEPS_PER_OCTAVE)).astype(np.int32)
    return np.clip(rows, 0, len(_CUTOFFS_HZ) - 1)


def _envelope(patch: Patch, time_s: Float32Array, held_s: float) -> Float32Array:
    fall = np.float32(1 - patch.sustain) * np.exp(-time_s / np.float32(patch.decay_s)) + np.float32(patch.sustain)
    rise = np.minimum(time_s / np.float32(patch.attack_s), 1)
    after = np.clip(1 - (time_s - np.float32(held_s)) / np.float32(patch.release_s), 0, 1)
    envelope: Float32Array = fall * rise * after
    return envelope


@lru_cache(maxsize=512)
def _bank(wave: str, pitch: int, resonance: float) -> Float32Array:
    """Make one cycle per position of the lowpass, shape (positions × table,), flat."""
    frequency_hz = 440 * 2 ** ((pitch - 69) / 12)
    order = np.arange(1, _TABLE // 2 + 1)
    harmonics = _harmonics(wave, order) * (order * frequency_hz < 0.47 * SAMPLE_RATE_HZ)
    ratio = order * frequency_hz / _CUTOFFS_HZ[:, np.newaxis]  # (positions, harmonics)
    gain = 1 / np.sqrt((1 - ratio**2) ** 2 + (ratio / resonance) ** 2) / np.sqrt(1 + ratio**2)
    spectrum = np.zeros((len(_CUTOFFS_HZ), _TABLE // 2 + 1), np.complex128)
    spectrum[:, 1:] = -1j * harmonics * gain
    table = np.fft.irfft(spectrum * _TABLE / 2, axis=1)
    return np.ravel(table).astype(np.float32)


def _harmonics(wave: str, order: np.ndarray) -> np.ndarray:
    amplitudes: dict[str, np.ndarray] = {
        "saw": 0.6 / order,
        "square": (order % 2) / order,
        "pulse": np.sin(np.pi * order * 0.15) / order,
        "triangle": np.where(order % 2 == 1, np.where(order % 4 == 1, 1.0, -1.0) / order**2, 0.0),
        "organ": np.where(np.isin(order, (1, 2, 3, 4, 6, 8)), 0.5 / np.sqrt(order), 0.0),
        "hollow": np.where(order % 3 != 0, 0.5 / order**1.5, 0.0),
        "sine": np.where(order == 1, 1.0, 0.0),
    }
    return amplitudes[wave]
