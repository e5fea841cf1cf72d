"""Metal, rock and punk: riffs of power chords and palm-muted notes on distorted guitars, with bass and loud drums."""

from collections.abc import Sequence
from random import Random

from training.renders import drums, rhythms, soundfont
from training.renders.effects import chorus, compress, distort, level, lowpass, reverb
from training.renders.guitars import amplify, growl, pluck, power_chords
from training.renders.harmony import (
    DORIAN,
    HARMONIC_MINOR,
    LOCRIAN,
    MAJOR,
    MINOR,
    MIXOLYDIAN,
    PHRYGIAN,
    held_chords,
    melody,
    progression,
)
from training.renders.song import BEATS_PER_BAR, Float32Array, Note, Song

_LOW_STRING = 36


def metal(dice: Random, seconds: float) -> Float32Array:
    """Compose and play metal: thrash, death, doom, power or groove metal."""
    song = Song(
        dice,
        dice.choice((dice.uniform(70, 100), dice.uniform(100, 150), dice.uniform(150, 220))),
        seconds,
        dice.randrange(12),
        dice.choice((MINOR, PHRYGIAN, LOCRIAN, HARMONIC_MINOR)),
    )
    riff = _riff(song)
    drive = dice.uniform(15, 60)
    mix = _doubled(song, riff, drive)
    mix += dice.uniform(0.4, 0.8) * _bass(song, riff)
    mix += _drums(song, rhythms.METAL, dice.uniform(0.25, 0.45))
    if dice.random() < 0.5:
        solo = melody(song, progression(song), 64, dice.choice((2, 3, 3)), 0.05)
        mix += dice.uniform(0.4, 0.9) * amplify(song, pluck(song, solo, 0.7), drive)
    if dice.random() < 0.3:
        phrases = [Note(BEATS_PER_BAR * bar + at, 1.6, 40) for bar in range(0, song.bars, 2) for at in (0, 2, 4)]
        mix += dice.uniform(0.4, 0.8) * growl(song, phrases)
    if dice.random() < 0.25:
        pad = soundfont.Part(held_chords(song, progression(song), 62), dice.choice((48, 50, 52, 91)))
        mix += level(soundfont.play(song, [pad]), dice.uniform(0.05, 0.12))
    return compress(distort(mix, 1.5), -9, 3)


def rock(dice: Random, seconds: float) -> Float32Array:
    """Compose and play rock, punk, grunge or blues rock: strummed chords, bass, drums, now and then organ or lead."""
    song = Song(
        dice,
        dice.choice((dice.uniform(80, 120), dice.uniform(110, 145), dice.uniform(150, 190))),
        seconds,
        dice.randrange(12),
        dice.choice((MAJOR, MIXOLYDIAN, MINOR, DORIAN)),
    )
    chords = progression(song)
    rhythm = [
        Note(
            BEATS_PER_BAR * bar + step / 2,
            0.48,
            song.pitch(degree, 40),
            0.8 if step % 2 == 0 else dice.uniform(0.4, 0.7),
        )
        for bar, degree in enumerate(chords)
        for step in range(8)
        if step in (0, 4) or dice.random() < 0.8
    ]
    mix = _doubled(song, rhythm, dice.choice((dice.uniform(2, 5), dice.uniform(5, 15))))
    mix += dice.uniform(0.5, 0.9) * _bass(song, rhythm)
    mix += _drums(song, rhythms.ROCK, dice.uniform(0.2, 0.4))
    parts = []
    if dice.random() < 0.3:
        parts.append(soundfont.Part(held_chords(song, chords, 60), dice.choice((16, 17, 18))))
    if dice.random() < 0.3:
        parts.append(soundfont.Part(held_chords(song, chords, 57), dice.choice((25, 27, 0))))
    if parts:
        mix += level(soundfont.play(song, parts), dice.uniform(0.05, 0.12))
    if dice.random() < 0.6:
        lead = melody(song, chords, 60, dice.choice((1, 2)), 0.2)
        sung = dice.random() < 0.5
        voice = soundfont.play(song, [soundfont.Part(lead, 85)]) if sung else pluck(song, lead, 0.7)
        mix += dice.uniform(0.5, 0.9) * amplify(song, voice, 1 if sung else dice.uniform(5, 12))
    return compress(reverb(mix, dice.uniform(0.4, 1.2), dice.uniform(0.05, 0.2), dice.getrandbits(32)), -10, 2)


def _riff(song: Song) -> list[Note]:
    """Draw two riffs of two bars: palm-muted low notes between accented power chords."""
    dice = song.dice
    pulse = dice.choice((0.25, 0.25, 0.5, 0.5, 1.0))
    riffs = [_two_bars(dice, pulse) for _ in range(2)]
    base = _LOW_STRING + dice.choice((0, 2, 4, 5))
    notes = []
    for bar in range(0, song.bars + 2, 2):
        for beat, length, degree, velocity in riffs[bar // 8 % 2]:
            notes.append(Note(BEATS_PER_BAR * bar + beat, length, song.pitch(degree, base), velocity))
    return notes


def _two_bars(dice: Random, pulse: float) -> list[tuple[float, float, int, float]]:
    drawn: list[tuple[float, float, int, float]] = []
    gallop = dice.random() < 0.3
    beat = 0.0
    while beat < 8:
        if dice.random() < 0.25:
            length = dice.choice((0.5, 1.0, 1.0, 2.0))
            drawn.append((beat, length, dice.choice((0, 1, 2, 3, 5, 6)), 0.9))
        elif gallop:
            length = 1.0
            drawn += [(beat, 0.5, 0, 0.4), (beat + 0.5, 0.25, 0, 0.4), (beat + 0.75, 0.25, 0, 0.4)]
        else:
            length = pulse
            drawn.append((beat, length, dice.choice((0, 0, 0, 0, 1, 2)), dice.choice((0.4, 0.4, 0.8))))
        beat += length
    return drawn


def _doubled(song: Song, riff: Sequence[Note], drive: float) -> Float32Array:
    """Play a riff twice, as guitars are recorded."""
    chords = power_chords(riff, octave=song.dice.random() < 0.5)
    brightness = song.dice.uniform(0.6, 0.95)
    if song.dice.random() < 0.3:
        program = song.dice.choice((27, 29, 30))
        strings = soundfont.play(song, [soundfont.Part(chords, program)])
    else:
        strings = pluck(song, chords, brightness)
    first = amplify(song, strings, drive)
    return chorus(first, 0.001, 0.3) if song.dice.random() < 0.4 else first


def _bass(song: Song, riff: Sequence[Note]) -> Float32Array:
    notes = [note._replace(pitch=note.pitch - 12 if note.pitch >= 40 else note.pitch, velocity=0.8) for note in riff]
    strings = lowpass(pluck(song, notes, song.dice.uniform(0.3, 0.6)), 1800)
    return level(distort(strings, song.dice.uniform(1, 4)), 0.15)


def _drums(song: Song, patterns: tuple[rhythms.Pattern, ...], rms: float) -> Float32Array:
    notes = rhythms.drum_part(song, patterns)
    dry = drums.beat(song, notes, drums.metal_kit(song)) if song.dice.random() < 0.5 else 0.0
    kit = song.dice.choice((soundfont.STANDARD_KIT, soundfont.ROOM_KIT, soundfont.POWER_KIT))
    sampled = level(soundfont.play(song, [soundfont.Part(notes, kit, is_drums=True)]), 0.1)
    heard = level(sampled + 0.08 * dry, rms)
    return reverb(compress(heard, -14, 3), song.dice.uniform(0.3, 0.9), 0.15, song.dice.getrandbits(32))
