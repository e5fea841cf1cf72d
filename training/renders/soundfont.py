"""Plays notes on the General MIDI soundfont of the wheel `pretty_midi`; no audio device, no network."""

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from training.renders.song import SAMPLE_RATE_HZ, Float32Array, Note, Song

# Drum kits of the soundfont.
STANDARD_KIT, ROOM_KIT, POWER_KIT, ELECTRONIC_KIT, TR808_KIT, JAZZ_KIT, BRUSH_KIT, ORCHESTRA_KIT = (
    0, 8, 16, 24, 25, 32, 40, 48,
)  # fmt: skip

_DRUM_BANK = 128
_CHANNELS = 16


@dataclass(frozen=True, slots=True)
class Part:
    """Notes of one instrument.

    Attributes:
        notes: In any order.
        program: General MIDI program, 0 to 127, or the number of a drum kit.
        is_drums: Whether it is a kit.
        gain: Factor on the velocities.
    """

    notes: Sequence[Note]
    program: int
    is_drums: bool = False
    gain: float = 1.0


def play(song: Song, parts: Sequence[Part]) -> Float32Array:
    """Play up to sixteen parts together.

    Takes about 2 ms per second of sound and sounding voice, and 15 ms to open the soundfont.

    Returns:
        Mono, shape (song.count,), float32; as loud as it comes.
    """
    synth = _synth(parts)
    # At one instant keys are released before others, or the same ones, are pressed.
    events = sorted(_events(song, parts))
    blocks, position = [], 0
    for at, is_start, channel, key, velocity in events:
        if at >= song.count:
            break
        if at > position:
            blocks.append(np.frombuffer(synth.generate_simple(at - position), np.float32))
            position = at
        if is_start:
            synth.noteon(channel, key, velocity)
        else:
            synth.noteoff(channel, key)
    if position < song.count:
        blocks.append(np.frombuffer(synth.generate_simple(song.count - position), np.float32))
    mono: Float32Array = np.concatenate(blocks).reshape(-1, 2).mean(axis=1)
    return mono


def _events(song: Song, parts: Sequence[Part]) -> Iterable[tuple[int, int, int, int, int]]:
    for channel, part in enumerate(parts):
        for note in part.notes:
            key = min(max(note.pitch, 0), 127)
            velocity = min(max(round(127 * note.velocity * part.gain), 1), 127)
            start = max(0, round(song.time_s(note.beat) * SAMPLE_RATE_HZ))
            # A stroke that is released at once would be cut.
            end_s = max(song.time_s(note.beat + note.length), song.time_s(note.beat) + 0.05)
            yield start, 1, channel, key, velocity
            yield round(end_s * SAMPLE_RATE_HZ), 0, channel, key, velocity


def _synth(parts: Sequence[Part]) -> Any:
    import tinysoundfont

    assert len(parts) <= _CHANNELS
    synth = tinysoundfont.Synth(samplerate=SAMPLE_RATE_HZ)
    soundfont = synth.sfload(str(_soundfont_path()))
    for channel, part in enumerate(parts):
        bank = _DRUM_BANK if part.is_drums else 0
        synth.program_select(channel, soundfont, bank, part.program, part.is_drums)
    return synth


@cache
def _soundfont_path() -> Path:
    # pretty_midi's import warns, and nothing but its file is needed.
    spec = importlib.util.find_spec("pretty_midi")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "TimGM6mb.sf2"
