"""Voices that sing or rap without words: pulses of a throat through the resonances of vowels, with consonants of noise.

Formants after Peterson and Barney (1952).
"""

from collections.abc import Sequence

import numpy as np
from scipy import signal

from training.renders.effects import highpass, level
from training.renders.song import SAMPLE_RATE_HZ, Float32Array, Note, Song, add_at

# Of a man's heed, hid, head, had, hod, hawed, hood, who'd, hud; a woman's lie a sixth higher.
_VOWELS_HZ = (
    (270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440),
    (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240), (640, 1190, 2390),
)  # fmt: skip
_WOMAN = 1.17
_BANDWIDTHS_HZ = (80.0, 110.0, 170.0)
_GAINS = (1.0, 0.5, 0.25)


def sing(song: Song, notes: Sequence[Note], is_woman: bool = False) -> Float32Array:
    """Sing notes, a syllable each, with vibrato and a slide from the note before.

    Returns:
        Mono, shape (song.count,), RMS 0.1 where anything sounds.
    """
    return _utter(song, notes, song.dice.uniform(0.2, 0.5), _WOMAN if is_woman else 1.0)


def rap(song: Song, steps: Sequence[Note], is_woman: bool = False) -> Float32Array:
    """Speak a syllable on each note, the pitch falling as in speech; the notes' own pitch is of no account."""
    dice = song.dice
    centre = 55 if is_woman else dice.uniform(42, 48)
    spoken = [note._replace(pitch=round(centre + dice.gauss(0, 2.5)), velocity=dice.uniform(0.6, 1)) for note in steps]
    return _utter(song, spoken, 0.0, _WOMAN if is_woman else 1.0)


def _utter(song: Song, notes: Sequence[Note], vibrato: float, size: float) -> Float32Array:
    layer = song.silence()
    before = notes[0].pitch if notes else 0
    for note in notes:
        start_s = song.time_s(note.beat)
        count = round((song.time_s(note.beat + note.length) - start_s) * SAMPLE_RATE_HZ)
        if start_s < song.seconds and count > 640:
            add_at(layer, _syllable(song, note, before, count, vibrato, size), start_s, note.velocity)
            before = note.pitch
    return level(layer, 0.1)


def _syllable(song: Song, note: Note, before: int, count: int, vibrato: float, size: float) -> Float32Array:
    dice = song.dice
    time_s = np.arange(count) / SAMPLE_RATE_HZ
    glide = (before - note.pitch) * np.exp(-time_s / 0.03) if vibrato else -2 * time_s / time_s[-1] * 2
    wave = vibrato * np.minimum(time_s / 0.4, 1) * np.sin(2 * np.pi * dice.uniform(4.8, 6.2) * time_s)
    pitch = note.pitch + glide + wave
    cycles = np.cumsum(440 * 2 ** ((pitch - 69) / 12)) / SAMPLE_RATE_HZ
    # Short closed phases as in a throat: bright where the pulse is narrow.
    pulse = np.maximum(np.sin(2 * np.pi * cycles), 0) ** dice.uniform(2, 6) - 0.25
    breath = song.noise(count)
    sound = (pulse + 0.03 * breath).astype(np.float32)
    vowel = _vowel(sound, size, dice.choice(_VOWELS_HZ))
    rise = np.minimum(time_s / 0.02, 1) * np.minimum((time_s[-1] - time_s) / 0.03, 1)
    uttered: Float32Array = (vowel * rise).astype(np.float32)
    if dice.random() < 0.6:
        hiss = highpass(breath, dice.uniform(2000, 5000)) * np.exp(-time_s / dice.uniform(0.008, 0.03))
        uttered += np.float32(dice.uniform(0.03, 0.12)) * hiss.astype(np.float32)
    return uttered


def _vowel(sound: Float32Array, size: float, formants_hz: tuple[int, int, int]) -> Float32Array:
    mixed = np.zeros(len(sound), np.float32)
    for centre_hz, width_hz, gain in zip(formants_hz, _BANDWIDTHS_HZ, _GAINS, strict=True):
        radius = np.exp(-np.pi * width_hz / SAMPLE_RATE_HZ)
        turn = 2 * np.pi * centre_hz * size / SAMPLE_RATE_HZ
        resonator = np.array([1, -2 * radius * np.cos(turn), radius**2], np.float32)
        mixed += signal.lfilter(np.array([gain * (1 - radius)], np.float32), resonator, sound).astype(np.float32)
    highest = float(np.abs(mixed).max())
    return mixed / np.float32(max(highest, 1e-9))
