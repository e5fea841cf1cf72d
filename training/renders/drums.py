"""Synthesized drums: each kit is drawn anew, from round 808s to clicking metal kicks."""

from collections.abc import Sequence

import numpy as np

from training.renders import rhythms
from training.renders.effects import bandpass, distort, highpass, lowpass
from training.renders.song import SAMPLE_RATE_HZ, Float32Array, Note, Song, add_at

Kit = dict[int, Float32Array]


def beat(song: Song, notes: Sequence[Note], kit: Kit) -> Float32Array:
    """Play strokes on a kit; keys that it lacks are left out.

    Returns:
        Mono, shape (song.count,), float32; a single stroke's peak is 1.
    """
    layer = song.silence()
    for note in notes:
        if note.pitch in kit:
            add_at(layer, kit[note.pitch], song.time_s(note.beat), note.velocity)
    return layer


def electronic_kit(song: Song) -> Kit:
    """Draw a drum machine."""
    dice = song.dice
    boom_s = dice.uniform(0.12, 0.35)
    kick = _kick(song, dice.uniform(42, 60), dice.uniform(2, 6), boom_s, dice.uniform(0, 0.3))
    snare = _snare(song, dice.uniform(160, 260), dice.uniform(0.08, 0.22), dice.uniform(0.4, 0.8))
    return _kit(song, distort(kick, dice.uniform(0.5, 4)), snare, dice.uniform(5000, 9000))


def deep_kit(song: Song) -> Kit:
    """Draw a kit with a long bass drum, as in trap and hip-hop."""
    dice = song.dice
    kick = distort(_kick(song, dice.uniform(38, 50), 2.5, dice.uniform(0.5, 0.9), 0.1), dice.uniform(1, 3))
    snare = _snare(song, dice.uniform(170, 230), dice.uniform(0.1, 0.2), dice.uniform(0.6, 0.9))
    return _kit(song, kick, snare, dice.uniform(6000, 10_000))


def metal_kit(song: Song) -> Kit:
    """Draw a kit with a clicking kick, a ringing snare and loud cymbals."""
    dice = song.dice
    kick = _kick(song, dice.uniform(50, 70), 2, dice.uniform(0.08, 0.13), dice.uniform(0.6, 1.2))
    snare = distort(_snare(song, dice.uniform(180, 240), dice.uniform(0.12, 0.22), 0.7), 2.5)
    return _kit(song, kick, snare, dice.uniform(4000, 6000))


def chip_kit(song: Song) -> Kit:
    """Draw the noise channel of an old sound chip."""
    kick = _kick(song, 60, 3, 0.1, 0.0)
    hold = 6
    coarse = np.repeat(np.sign(song.noise(8000 // hold + 1)), hold)[:8000].astype(np.float32)
    snare = coarse * _fall(len(coarse), 0.08)
    return _kit(song, (np.round(7 * kick) / 7).astype(np.float32), snare, 7000)


def _kit(song: Song, kick: Float32Array, snare: Float32Array, hiss_hz: float) -> Kit:
    clap = _clap(song)
    kit = {
        rhythms.KICK: kick,
        rhythms.SNARE: snare,
        rhythms.CLAP: clap,
        rhythms.RIM: bandpass(_burst(song, 0.03, 0.008), 800, 3000),
        rhythms.CLOSED_HAT: highpass(_burst(song, 0.08, 0.025), hiss_hz),
        rhythms.PEDAL_HAT: highpass(_burst(song, 0.1, 0.03), hiss_hz),
        rhythms.OPEN_HAT: highpass(_burst(song, 0.5, 0.15), hiss_hz),
        rhythms.CRASH: bandpass(_burst(song, 2.0, 0.6), 2500, 13_000),
        rhythms.CHINA: bandpass(_burst(song, 1.0, 0.3), 1500, 11_000),
        rhythms.RIDE: highpass(_ring(song, 0.8, 0.25), 4000),
        rhythms.COWBELL: bandpass(_ring(song, 0.2, 0.05), 500, 3000),
        rhythms.TAMBOURINE: highpass(_burst(song, 0.12, 0.05), 7000),
    }
    for key, low_hz in ((rhythms.LOW_TOM, 80), (rhythms.MIDDLE_TOM, 120), (rhythms.HIGH_TOM, 170)):
        kit[key] = _kick(song, low_hz, 1.6, 0.25, 0.2)
    return {key: _whole(stroke) for key, stroke in kit.items()}


def _kick(song: Song, low_hz: float, ratio: float, decay_s: float, click: float) -> Float32Array:
    time_s = _times(4 * decay_s)
    sweep_hz = low_hz * (1 + ratio * np.exp(-time_s / 0.02))
    body = np.sin(2 * np.pi * np.cumsum(sweep_hz) / SAMPLE_RATE_HZ) * np.exp(-time_s / decay_s)
    tick = highpass(song.noise(len(time_s)), 2500) * np.exp(-time_s / 0.004)
    kick: Float32Array = (body + click * tick).astype(np.float32)
    return kick


def _snare(song: Song, body_hz: float, decay_s: float, rattle: float) -> Float32Array:
    time_s = _times(5 * decay_s)
    body = np.sin(2 * np.pi * body_hz * time_s) + 0.6 * np.sin(2 * np.pi * 1.6 * body_hz * time_s)
    wires = highpass(lowpass(song.noise(len(time_s)), 9000), 1200)
    struck = (1 - rattle) * body * np.exp(-time_s / (0.5 * decay_s)) + rattle * wires * np.exp(-time_s / decay_s)
    return struck.astype(np.float32)


def _clap(song: Song) -> Float32Array:
    clap = bandpass(_burst(song, 0.35, 0.08), 900, 4500)
    for late in (0.01, 0.02, 0.028):
        add_at(clap, bandpass(_burst(song, 0.05, 0.006), 900, 5000), late, 1.2)
    return clap


def _burst(song: Song, seconds: float, decay_s: float) -> Float32Array:
    count = round(seconds * SAMPLE_RATE_HZ)
    return song.noise(count) * _fall(count, decay_s)


def _ring(song: Song, seconds: float, decay_s: float) -> Float32Array:
    """Strike metal: square waves that stand in no harmony, as in drum machines."""
    time_s = _times(seconds)
    metal = np.zeros(len(time_s))
    for _ in range(6):
        metal += np.sign(np.sin(2 * np.pi * song.dice.uniform(300, 900) * time_s))
    return (metal * np.exp(-time_s / decay_s)).astype(np.float32)


def _times(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ


def _fall(count: int, decay_s: float) -> Float32Array:
    fall: Float32Array = np.exp(-np.arange(count, dtype=np.float32) / np.float32(decay_s * SAMPLE_RATE_HZ))
    return fall


def _whole(stroke: Float32Array) -> Float32Array:
    stroke = stroke.astype(np.float32)
    fade = min(len(stroke), 200)
    stroke[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return stroke / np.float32(max(float(np.abs(stroke).max()), 1e-9))
