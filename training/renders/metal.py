"""Metal, rock and punk: riffs of power chords and palm-muted notes on distorted guitars, with bass and loud drums."""

from collections.abc import Sequence
from random import Random

from training.renders import drums, rhythms, soundfont
from training.renders.effects import compress, distort, level, reverb
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
from training.renders.voices import sing

_LOW_STRING = 36
_LOOSE_S = 0.012
_RIFF_BEATS = 2 * BEATS_PER_BAR


def metal(dice: Random, seconds: float) -> Float32Array:
    """Compose and play metal: thrash, death, doom, power or groove metal."""
    song = Song(
        dice,
        dice.choice((dice.uniform(70, 110), dice.uniform(110, 170), dice.uniform(170, 230), dice.uniform(190, 230))),
        seconds,
        dice.randrange(12),
        dice.choice((MINOR, PHRYGIAN, LOCRIAN, HARMONIC_MINOR)),
    )
    riff = _riff(song)
    drive = dice.uniform(20, 80)
    mix = _doubled(song, riff, drive)
    mix += dice.uniform(0.4, 0.8) * _bass(song, riff)
    mix += _drums(song, rhythms.METAL, dice.uniform(0.18, 0.38))
    if dice.random() < 0.4:
        solo = melody(song, progression(song), 64, dice.choice((2, 3, 3)), 0.05)
        lead = soundfont.play(song, [soundfont.Part(solo, dice.choice((29, 30)))])
        mix += dice.uniform(0.3, 0.7) * amplify(song, lead, drive)
    if dice.random() < 0.6:
        phrases = [Note(BEATS_PER_BAR * bar + at, 1.6, 40) for bar in range(0, song.bars, 2) for at in (0, 2, 4)]
        mix += dice.uniform(0.7, 1.3) * growl(song, phrases)
    if dice.random() < 0.2:
        pad = soundfont.Part(held_chords(song, progression(song), 62), dice.choice((48, 50, 52, 91)))
        mix += level(soundfont.play(song, [pad]), dice.uniform(0.05, 0.1))
    mix = reverb(mix, dice.uniform(0.4, 1.2), dice.uniform(0.05, 0.3), dice.getrandbits(32))
    return distort(compress(mix, -9, 3), dice.uniform(1.5, 3))


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
    mix += _drums(song, rhythms.ROCK, dice.uniform(0.1, 0.22))
    parts = []
    if dice.random() < 0.3:
        parts.append(soundfont.Part(held_chords(song, chords, 60), dice.choice((16, 17, 18))))
    if dice.random() < 0.3:
        parts.append(soundfont.Part(held_chords(song, chords, 57), dice.choice((25, 27, 0))))
    if parts:
        mix += level(soundfont.play(song, parts), dice.uniform(0.05, 0.12))
    if dice.random() < 0.35:
        lead = melody(song, chords, 60, dice.choice((1, 2)), 0.2)
        lead_guitar = soundfont.play(song, [soundfont.Part(lead, dice.choice((29, 30)))])
        mix += dice.uniform(0.4, 0.8) * amplify(song, lead_guitar, dice.uniform(5, 12))
    elif dice.random() < 0.8:
        is_woman = dice.random() < 0.4
        verse = melody(song, chords, 57 if is_woman else 50, dice.choice((1, 1, 2)), 0.15)
        mix += dice.uniform(1.2, 2.2) * sing(song, verse, is_woman)
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
    """Draw (beat, length, degree, velocity): chugging, galloping, tremolo picking, or chords that ring."""
    kind = dice.choice(("chug", "chug", "gallop", "tremolo", "tremolo", "ring"))
    accents = {"chug": 0.25, "gallop": 0.3, "tremolo": 0.0, "ring": 1.0}[kind]
    drawn: list[tuple[float, float, int, float]] = []
    beat = 0.0
    while beat < _RIFF_BEATS:
        degree = dice.choice((0, 1, 2, 3, 5, 6))
        if dice.random() < accents:
            length = dice.choice((0.5, 1.0, 1.0, 2.0)) if kind != "ring" else dice.choice((1.0, 2.0, 4.0))
            drawn.append((beat, length, degree, 0.9))
        elif kind == "gallop":
            length = 1.0
            drawn += [(beat, 0.5, 0, 0.4), (beat + 0.5, 0.25, 0, 0.4), (beat + 0.75, 0.25, 0, 0.4)]
        elif kind == "tremolo":
            length = dice.choice((1.0, 2.0, 2.0))
            drawn += [(beat + step / 4, 0.26, degree, 0.8) for step in range(int(4 * length))]
        else:
            length = pulse
            drawn.append((beat, length, dice.choice((0, 0, 0, 0, 1, 2)), dice.choice((0.4, 0.4, 0.8))))
        beat += length
    return drawn


def _doubled(song: Song, riff: Sequence[Note], drive: float) -> Float32Array:
    """Play a riff twice, as guitars are recorded: no two strokes meet."""
    dice = song.dice
    chords = power_chords(riff, octave=dice.random() < 0.3)
    plucked = dice.random() < 0.08
    brightness, program = dice.uniform(0.6, 0.95), dice.choice((29, 30, 30, 30))
    mix = song.silence()
    for _ in range(2):
        late_s = [abs(dice.gauss(0, _LOOSE_S)) for _ in chords]
        take = [
            note._replace(beat=note.beat + late * song.tempo_qpm / 60)
            for note, late in zip(chords, late_s, strict=True)
        ]
        strings = pluck(song, take, brightness) if plucked else soundfont.play(song, [soundfont.Part(take, program)])
        mix += amplify(song, strings, drive)
    return level(mix, 0.2)


def _bass(song: Song, riff: Sequence[Note]) -> Float32Array:
    notes = [note._replace(pitch=note.pitch - 12 if note.pitch >= 40 else note.pitch, velocity=0.8) for note in riff]
    strings = soundfont.play(song, [soundfont.Part(notes, song.dice.choice((33, 34, 34)))])
    return level(distort(strings, song.dice.uniform(1, 5)), 0.15)


def _drums(song: Song, patterns: tuple[rhythms.Pattern, ...], rms: float) -> Float32Array:
    """Play drums on a sampled kit, now and then with a synthesized one quietly under it, as triggers are used."""
    dice = song.dice
    notes = rhythms.drum_part(song, patterns)
    kit = dice.choice((soundfont.STANDARD_KIT, soundfont.STANDARD_KIT, soundfont.ROOM_KIT, soundfont.POWER_KIT))
    heard = level(soundfont.play(song, [soundfont.Part(notes, kit, is_drums=True)]), 0.1)
    if dice.random() < 0.3:
        heard = heard + dice.uniform(0.1, 0.5) * level(drums.beat(song, notes, drums.metal_kit(song)), 0.1)
    return level(compress(heard, -14, 4), rms)
