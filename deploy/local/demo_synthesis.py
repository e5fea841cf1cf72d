"""Plays a score on the General MIDI soundfont of the wheel `pretty_midi`: notes in, samples out.

Needs no audio device and no network. The same piece gives the same samples every time.
"""

import importlib.util
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deploy.local.demo_scores import Backing, Piece

SAMPLE_RATE_HZ = 44_100
PEAK_DBFS = -1.0
LOUDNESS_DBFS = -20.0

_FADE_S = 2.0
# Instruments may begin late in their samples; what is cut at the start is played at the end.
_RESERVE_S = 1.0
_SILENCE = 10 ** (-50 / 20)
_DRUM_CHANNEL = 9
_BASS_CHANNEL = 8
_BASS_PROGRAM = 38
_KICK, _CLAP, _CLOSED_HAT = 36, 39, 42
# From low to high notes.
_KIT = (36, 41, 43, 45, 47, 48, 50, 38, 37, 40, 56)
_GAP_QUARTERS = 0.02

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Note:
    """A note of a score; times in quarter notes from the first full bar.

    Attributes:
        part: 0 is the highest part.
        onset: When it begins.
        length: How long it is held.
        pitch: MIDI key, 0 to 127.
    """

    part: int
    onset: float
    length: float
    pitch: int


@dataclass(frozen=True, slots=True)
class _Sound:
    """A key that is held on a channel; times in seconds."""

    start_s: float
    end_s: float
    channel: int
    key: int
    velocity: int


def render(piece: Piece) -> Float32Array:
    """Play a piece, again from the start where the score is shorter, and fade it out.

    Blocks for about a hundredth of the piece's length per voice.

    Returns:
        Stereo at 44.1 kHz, shape (duration_s × 44,100, 2), starting with sound; -20 dBFS RMS unless that would take
        its peak over -1 dBFS.
    """
    sounds = sorted(_sounds(piece), key=lambda sound: (sound.start_s, sound.channel, sound.key))
    samples = _play(piece, sounds, piece.duration_s + _RESERVE_S)
    return _mastered(samples, piece.duration_s * SAMPLE_RATE_HZ)


@cache
def read_notes(score_path: str) -> tuple[tuple[Note, ...], float]:
    """Read a score of music21's corpus, without pickup, grace notes and repeats.

    Returns:
        Its notes by onset, and its length in quarter notes.
    """
    # Takes a second, and only rendering needs it.
    from music21 import converter

    # Any: music21's own types do not tell a score from a collection of scores.
    reader: Any = converter.Converter()
    reader.parseFile(package_folder("music21") / "corpus" / score_path, forceSource=True, storePickle=False)
    score = reader.stream.stripTies()
    start = _first_full_bar(score.parts[0])
    notes = [
        Note(number, float(element.offset) - start, float(element.quarterLength), int(pitch.midi))
        for number, part in enumerate(score.parts)
        for element in part.flatten().notes
        if element.quarterLength > 0 and element.offset >= start
        for pitch in element.pitches
    ]
    notes.sort(key=lambda note: (note.onset, note.part, note.pitch))
    return tuple(notes), float(score.highestTime) - start


def _first_full_bar(part: Any) -> float:
    bars = list(part.getElementsByClass("Measure"))
    is_pickup = len(bars) > 1 and bars[0].highestTime < bars[0].barDuration.quarterLength
    return float(bars[1].offset) if is_pickup else 0.0


def package_folder(name: str) -> Path:
    """Find an installed package's folder without importing it: pretty_midi's import warns."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _sounds(piece: Piece) -> Iterator[_Sound]:
    dice = random.Random(piece.title)
    quarter_s = 60 / piece.tempo_qpm
    quarters = (piece.duration_s + _RESERVE_S) / quarter_s
    lowest: dict[int, int] = {}
    for note in _repeated(piece.score.path, quarters):
        accent = 14 if note.onset % 2 == 0 else 7 if note.onset % 1 == 0 else 0
        velocity = 76 + accent + dice.randint(-6, 6)
        start_s, pitch = note.onset * quarter_s, note.pitch + piece.transpose
        if piece.style.backing is Backing.DRUMS:
            yield _Sound(start_s, start_s + 0.2, _DRUM_CHANNEL, _drum_of(pitch), velocity)
            continue
        end_s = start_s + max(note.length - _GAP_QUARTERS, note.length / 2) * quarter_s
        yield _Sound(start_s, end_s, note.part % _BASS_CHANNEL, pitch, velocity)
        if note.onset % 1 == 0:
            lowest[int(note.onset)] = min(pitch, lowest.get(int(note.onset), pitch))
    if piece.style.backing is not Backing.NONE:
        yield from _beat(quarters, quarter_s, lowest)


def _repeated(score_path: str, quarters: float) -> Iterator[Note]:
    notes, length = read_notes(score_path)
    passed = 0.0
    while passed < quarters:
        for note in notes:
            if note.onset + passed < quarters:
                yield Note(note.part, note.onset + passed, note.length, note.pitch)
        passed += length


def _drum_of(pitch: int) -> int:
    return _KIT[min(max((pitch - 36) // 5, 0), len(_KIT) - 1)]


def _beat(quarters: float, quarter_s: float, lowest: dict[int, int]) -> Iterator[_Sound]:
    """Set kick and hat under the whole piece; where notes stand on a beat, the bass plays the lowest of them."""
    for beat in range(int(quarters)):
        start_s = beat * quarter_s
        yield _Sound(start_s, start_s + 0.2, _DRUM_CHANNEL, _KICK, 112)
        yield _Sound(start_s + quarter_s / 2, start_s + 0.6 * quarter_s, _DRUM_CHANNEL, _CLOSED_HAT, 84)
        if beat in lowest:
            yield _Sound(start_s, start_s + 0.2, _DRUM_CHANNEL, _CLAP if beat % 2 else _CLOSED_HAT, 96)
            yield _Sound(start_s, start_s + 0.45 * quarter_s, _BASS_CHANNEL, 36 + lowest[beat] % 12, 100)


def _play(piece: Piece, sounds: list[_Sound], duration_s: float) -> Float32Array:
    synth = _synth(piece)
    # At one instant keys are released before others, or the same ones, are pressed.
    events = [(round(sound.start_s * SAMPLE_RATE_HZ), 1, sound) for sound in sounds]
    events += [(round(sound.end_s * SAMPLE_RATE_HZ), 0, sound) for sound in sounds]
    events.sort(key=lambda event: event[:2])
    total = round(duration_s * SAMPLE_RATE_HZ)
    pieces, position = [], 0
    for at, is_start, sound in events:
        if at >= total:
            break
        if at > position:
            pieces.append(np.frombuffer(synth.generate_simple(at - position), np.float32))
            position = at
        if is_start:
            synth.noteon(sound.channel, sound.key, sound.velocity)
        else:
            synth.noteoff(sound.channel, sound.key)
    pieces.append(np.frombuffer(synth.generate_simple(total - position), np.float32))
    return np.concatenate(pieces).reshape(-1, 2)


def _synth(piece: Piece) -> Any:
    import tinysoundfont

    synth = tinysoundfont.Synth(samplerate=SAMPLE_RATE_HZ)
    soundfont = synth.sfload(str(package_folder("pretty_midi") / "TimGM6mb.sf2"))
    programs = piece.style.programs
    for channel in range(_BASS_CHANNEL):
        synth.program_select(channel, soundfont, 0, programs[channel % len(programs)])
        # Parts are spread from half left to half right.
        synth.control_change(channel, 10, 40 + 16 * (channel % 4))
    synth.program_select(_BASS_CHANNEL, soundfont, 0, _BASS_PROGRAM)
    synth.program_select(_DRUM_CHANNEL, soundfont, 0, 0, True)
    return synth


def _mastered(samples: Float32Array, count: int) -> Float32Array:
    peak = float(np.abs(samples).max())
    loud = np.flatnonzero(np.abs(samples).max(axis=1) > _SILENCE * peak)
    start = min(int(loud[0]), len(samples) - count)
    kept = samples[start : start + count].copy()
    fade = int(_FADE_S * SAMPLE_RATE_HZ)
    kept[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)[:, np.newaxis]
    rms = float(np.sqrt(np.mean(np.square(kept, dtype=np.float64))))
    gain = min(10 ** (LOUDNESS_DBFS / 20) / rms, 10 ** (PEAK_DBFS / 20) / float(np.abs(kept).max()))
    return kept * np.float32(gain)
