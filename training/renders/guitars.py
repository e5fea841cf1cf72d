"""Plucked strings after Karplus and Strong (1983), and the amplifier and loudspeaker behind them."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from training.renders.effects import bandpass, distort, highpass, level, lowpass, peak
from training.renders.song import SAMPLE_RATE_HZ, Float32Array, Note, Song, add_at

_RING_S = 3.0
_RELEASE = 800  # samples


def pluck(song: Song, notes: Sequence[Note], brightness: float = 0.6, mute_s: float | None = None) -> Float32Array:
    """Pluck strings.

    Args:
        song: Whose tempo and dice.
        notes: Notes of velocity below 0.5 are damped with the palm.
        brightness: 0 is a finger on nylon, 1 a pick on steel.
        mute_s: How long a damped note rings; None takes 0.08 s.

    Returns:
        Mono, shape (song.count,), float32; a single string's peak is about 1.
    """
    layer = song.silence()
    variant = song.dice.randrange(1000)
    for note in notes:
        start_s = song.time_s(note.beat)
        if start_s >= song.seconds:
            continue
        held_s = song.time_s(note.beat + note.length) - start_s
        string = _string(note.pitch, round(brightness, 2), variant)
        count = min(len(string), round(held_s * SAMPLE_RATE_HZ) + _RELEASE)
        sound = string[:count].copy()
        if note.velocity < 0.5:
            sound *= np.exp(-np.arange(count, dtype=np.float32) / np.float32((mute_s or 0.08) * SAMPLE_RATE_HZ))
        fade = min(count, _RELEASE)
        sound[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        add_at(layer, sound, start_s + song.dice.uniform(0, 0.004), max(note.velocity, 0.6))
    return layer


@lru_cache(maxsize=256)
def _string(pitch: int, brightness: float, variant: int) -> Float32Array:
    """Let one string ring for 3 s; a period is a whole number of samples, some cents off pitch at the top."""
    period = max(8, round(SAMPLE_RATE_HZ / (440 * 2 ** ((pitch - 69) / 12)) - 0.5))
    noise = np.random.default_rng((pitch, variant)).uniform(-1, 1, period).astype(np.float32)
    bright = np.float32(brightness)
    wave = bright * noise + (1 - bright) * (noise + np.roll(noise, 1) + np.roll(noise, 2) + np.roll(noise, 3)) / 4
    # Low strings ring longer; the loop loses as much per second whatever the pitch.
    loss = np.float32(10 ** (-3 * period / SAMPLE_RATE_HZ / (1.5 + 4 * brightness)))
    blend = np.float32(0.5 if brightness < 0.5 else 0.7)
    cycles = np.empty((round(_RING_S * SAMPLE_RATE_HZ / period), period), np.float32)
    for row in range(len(cycles)):
        cycles[row] = wave
        wave = loss * (blend * wave + (1 - blend) * np.roll(wave, 1))
    string: Float32Array = cycles.ravel() / np.abs(cycles).max()
    return string


def power_chords(notes: Sequence[Note], octave: bool = True) -> list[Note]:
    """Add the fifth, and the octave, to each note."""
    steps = (0, 7, 12) if octave else (0, 7)
    return [note._replace(pitch=note.pitch + step) for note in notes for step in steps]


def amplify(song: Song, strings: Float32Array, drive: float) -> Float32Array:
    """Play strings through two overdriven stages and a loudspeaker.

    Args:
        song: Whose dice place the loudspeaker's colours.
        strings: Mono samples.
        drive: 1 is nearly clean, 4 rock, 20 and more metal.

    Returns:
        Mono, RMS 0.2.
    """
    dice = song.dice
    tight = peak(highpass(strings, dice.uniform(70, 140)), dice.uniform(600, 1200), 6)
    crunch = distort(lowpass(tight, dice.uniform(2500, 6000)), drive, bias=0.2)
    saturated = distort(highpass(crunch, 60), 1 + drive / 3)
    scooped = peak(saturated, dice.uniform(350, 600), -dice.uniform(0, 6))
    lively = peak(scooped, dice.uniform(1800, 3000), dice.uniform(2, 6))
    return level(lowpass(highpass(lively, 75), dice.uniform(3800, 5500), 4), 0.2)


def growl(song: Song, notes: Sequence[Note]) -> Float32Array:
    """Growl or scream on notes: a rough pulse train and breath through the resonances of a throat.

    Returns:
        Mono, RMS 0.2.
    """
    dice = song.dice
    layer = song.silence()
    for note in notes:
        start_s = song.time_s(note.beat)
        count = round((song.time_s(note.beat + note.length) - start_s) * SAMPLE_RATE_HZ)
        if start_s >= song.seconds or count < 64:
            continue
        wobble = np.cumsum(lowpass(song.noise(count), 60)) * 0.02
        rough = np.abs(np.sin(np.pi * (70 + dice.uniform(-8, 25)) / SAMPLE_RATE_HZ * np.arange(count) + wobble)) ** 8
        sound = (rough * (1 + 0.5 * song.noise(count))).astype(np.float32)
        sound *= np.hanning(count).astype(np.float32) ** np.float32(0.3)
        add_at(layer, sound, start_s)
    first, second = dice.uniform(450, 750), dice.uniform(1000, 1700)
    throat = bandpass(layer, 0.7 * first, 1.3 * first) + 0.7 * bandpass(layer, 0.8 * second, 1.2 * second)
    return level(distort(throat + 0.3 * bandpass(layer, 2200, 3200), 3), 0.2)
