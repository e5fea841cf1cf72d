"""Music on acoustic instruments: orchestras, chambers, folk groups, jazz, piano, percussion, and hip-hop on samples."""

from collections.abc import Sequence
from random import Random

from training.renders import drums, rhythms, soundfont
from training.renders.effects import bandpass, compress, distort, level, lowpass, reverb
from training.renders.harmony import (
    DORIAN,
    HARMONIC_MINOR,
    MAJOR,
    MINOR,
    MIXOLYDIAN,
    PENTATONIC_MAJOR,
    PENTATONIC_MINOR,
    PHRYGIAN_DOMINANT,
    arpeggio,
    bass_line,
    chord,
    held_chords,
    melody,
    near,
    progression,
    stabs,
    walking_bass,
)
from training.renders.song import BEATS_PER_BAR, Float32Array, Note, Song
from training.renders.soundfont import Part, play
from training.renders.voices import rap, sing

_STRINGS = (40, 41, 42, 44, 48, 49)
_WINDS = (68, 69, 70, 71, 72, 73)
_BRASS = (56, 57, 58, 60, 61)
_CHOIR = (52, 53)
_FOLK_LEADS = (21, 22, 24, 25, 40, 72, 73, 74, 77, 79, 105, 109, 110, 15, 104, 106, 107)


def orchestra(dice: Random, seconds: float) -> Float32Array:
    """Compose and play for an orchestra, a choir, or one of its families, calm or as in a film."""
    song = Song(
        dice,
        dice.choice((dice.uniform(55, 85), dice.uniform(85, 150))),
        seconds,
        dice.randrange(12),
        dice.choice((MAJOR, MINOR, HARMONIC_MINOR, DORIAN)),
    )
    chords = progression(song)
    family = dice.choice((_STRINGS, _STRINGS, _BRASS, _WINDS, _CHOIR, _STRINGS + _WINDS + _BRASS + _CHOIR))
    parts = [Part(held_chords(song, chords, 60, velocity=dice.uniform(0.4, 0.8)), dice.choice(family))]
    parts.append(
        Part(
            bass_line(song, chords, 36, dice.choice(("x---------------", "x-------x-------", "x-x-x-x-x-x-x-x-")), 0.1),
            dice.choice((42, 43, 48, 58, 70)),
        )
    )
    parts.append(
        Part(melody(song, chords, dice.choice((60, 67, 72)), dice.choice((0, 1, 2)), 0.1), dice.choice(family))
    )
    if dice.random() < 0.4:
        runs = arpeggio(song, chords, dice.choice((55, 60)), dice.choice((0.25, 0.5)), dice.choice((1, 2)))
        parts.append(Part(runs, dice.choice((40, 45, 46, 48, 73, 6))))
    if dice.random() < 0.4:
        parts.append(
            Part(stabs(song, chords, 60, rhythms.random_steps(dice, 0.3)), dice.choice((*_BRASS, 45, 48)), gain=0.9)
        )
    if dice.random() < 0.4:
        rolls = [note._replace(length=0.5) for note in bass_line(song, chords, 36, rhythms.random_steps(dice, 0.3))]
        parts.append(Part(rolls, 47))
    if dice.random() < 0.25:
        march = rhythms.drum_part(song, rhythms.MARCH, fills=False)
        parts.append(Part(march, soundfont.ORCHESTRA_KIT, is_drums=True, gain=dice.uniform(0.4, 0.9)))
    return _in_hall(dice, play(song, parts), dice.uniform(1.2, 3.5))


def chamber(dice: Random, seconds: float) -> Float32Array:
    """Compose and play for two to four solo instruments or a harpsichord, in counterpoint."""
    song = Song(dice, dice.uniform(60, 140), seconds, dice.randrange(12), dice.choice((MAJOR, MINOR, HARMONIC_MINOR)))
    chords = progression(song)
    group = dice.choice(
        (
            (40, 40, 41, 42),
            (73, 68, 71, 70),
            (56, 56, 60, 57),
            (6, 6, 6),
            (19, 19, 19),
            (24, 24),
            (46, 73),
            (40, 0),
            (20, 74),
        )
    )
    ranges = (72, 64, 55, 43)
    parts = [
        Part(melody(song, chords, base, dice.choice((0, 1, 1, 2)), 0.1), program)
        for program, base in zip(group, ranges, strict=False)
    ]
    parts.append(Part(bass_line(song, chords, 43, rhythms.random_steps(dice, 0.4, 4), 0.3), group[-1]))
    return _in_hall(dice, play(song, parts), dice.uniform(0.6, 2.5))


def piano(dice: Random, seconds: float) -> Float32Array:
    """Compose and play a piano solo: broken chords and a melody, a ballad, or ragtime."""
    song = Song(
        dice,
        dice.uniform(55, 150),
        seconds,
        dice.randrange(12),
        dice.choice((MAJOR, MINOR, DORIAN, HARMONIC_MINOR)),
        dice.choice((0, 0, 0.12)),
    )
    chords = progression(song)
    program = dice.choice((0, 0, 0, 1, 2, 3))
    kind = dice.choice(("broken", "ballad", "stride"))
    if kind == "broken":
        left = arpeggio(song, chords, dice.choice((41, 48)), dice.choice((0.25, 0.5)), dice.choice((1, 2)))
        left = [note._replace(length=1.5, velocity=0.6 * note.velocity) for note in left]
    elif kind == "ballad":
        left = held_chords(song, chords, 53, velocity=0.5) + bass_line(song, chords, 33, "x-------x-------")
    else:
        left = bass_line(song, chords, 36, "x-------x-------", 0.5) + stabs(song, chords, 55, "----x-------x---")
    right = melody(song, chords, dice.choice((67, 72)), dice.choice((0, 1, 2, 3)), 0.1)
    if dice.random() < 0.4:
        right += [note._replace(pitch=note.pitch - dice.choice((3, 4, 12)), velocity=0.6) for note in right]
    return _in_hall(dice, play(song, [Part(left, program), Part(right, program)]), dice.uniform(0.4, 2.5))


def jazz(dice: Random, seconds: float) -> Float32Array:
    """Compose and play for a jazz group: walking bass, comping in sevenths, swung drums, a solo, or bossa nova."""
    song = Song(
        dice,
        dice.uniform(80, 210),
        seconds,
        dice.randrange(12),
        dice.choice((DORIAN, MAJOR, MIXOLYDIAN, MINOR)),
        dice.uniform(0.1, 0.17),
    )
    chords = progression(song, 1)
    parts = [
        Part(walking_bass(song, chords, 33), dice.choice((32, 32, 33, 35))),
        Part(
            stabs(song, chords, 60, rhythms.random_steps(dice, 0.3), 4, dice.uniform(0.3, 1.5)),
            dice.choice((0, 0, 4, 26, 11)),
        ),
        Part(
            melody(song, chords, dice.choice((60, 65)), dice.choice((1, 2, 2)), 0.25),
            dice.choice((65, 66, 64, 59, 56, 0, 26, 11, 71)),
        ),
        Part(
            rhythms.drum_part(song, rhythms.SWING, 0.06, dice.random() < 0.4),
            dice.choice((soundfont.JAZZ_KIT, soundfont.BRUSH_KIT)),
            is_drums=True,
            gain=dice.uniform(0.4, 0.8),
        ),
    ]
    if dice.random() < 0.3:
        parts.append(Part(stabs(song, chords, 62, rhythms.random_steps(dice, 0.2), 4), 61))
    return _in_hall(dice, play(song, parts), dice.uniform(0.4, 1.2))


def folk(dice: Random, seconds: float) -> Float32Array:
    """Compose and play folk or country: strummed or picked strings under a fiddle, flute, accordion or whistle."""
    song = Song(
        dice,
        dice.uniform(80, 135),
        seconds,
        dice.randrange(12),
        dice.choice((MAJOR, MIXOLYDIAN, DORIAN, PENTATONIC_MAJOR)),
    )
    chords = progression(song, 1)
    strings = dice.choice((24, 25, 25, 105, 15, 46))
    if dice.random() < 0.5:
        parts = [Part(_strummed(song, chords), strings)]
    else:
        parts = [Part(arpeggio(song, chords, 48, dice.choice((0.25, 0.5)), 2), strings)]
    parts.append(Part(melody(song, chords, 67, dice.choice((1, 2, 2)), 0.05), dice.choice(_FOLK_LEADS)))
    if dice.random() < 0.6:
        parts.append(Part(bass_line(song, chords, 36, "x-------x-------", 0.6), dice.choice((32, 33, 43))))
    if dice.random() < 0.3:
        parts.append(
            Part(
                rhythms.drum_part(song, rhythms.WORLD[-1:], 0.05, fills=False),
                soundfont.STANDARD_KIT,
                is_drums=True,
                gain=0.6,
            )
        )
    if dice.random() < 0.2:
        parts.append(Part([Note(0, 4.0 * song.bars, song.pitch(0, 48), 0.6)], 109))
    mix = level(play(song, parts), 0.1)
    if dice.random() < 0.4:
        is_woman = dice.random() < 0.5
        tune = melody(song, chords, 57 if is_woman else 48, dice.choice((0, 1)), 0.15)
        mix += level(sing(song, tune, is_woman), dice.uniform(0.06, 0.12))
    return _in_hall(dice, mix, dice.uniform(0.3, 1.5))


def world(dice: Random, seconds: float) -> Float32Array:
    """Compose and play percussion of the world, alone or under sitar, koto, kalimba, steel drums or pan flute."""
    song = Song(
        dice,
        dice.uniform(80, 150),
        seconds,
        dice.randrange(12),
        dice.choice((PHRYGIAN_DOMINANT, PENTATONIC_MINOR, PENTATONIC_MAJOR, DORIAN)),
    )
    strokes = rhythms.drum_part(song, rhythms.WORLD, 0.05, fills=False)
    parts = [Part(strokes, soundfont.STANDARD_KIT, is_drums=True)]
    if dice.random() < 0.7:
        program = dice.choice((12, 75, 77, 104, 105, 106, 107, 108, 111, 114, 15, 13, 78, 79, 46))
        parts.append(Part(melody(song, [0] * song.bars, 62, dice.choice((1, 2)), 0.1), program))
        parts.append(
            Part(
                bass_line(song, [0] * song.bars, 43, rhythms.random_steps(dice, 0.4), 0.4),
                dice.choice((12, 32, 107, 108, 47)),
            )
        )
    if dice.random() < 0.4:
        parts.append(
            Part(
                [note._replace(pitch=40 + note.pitch % 24) for note in strokes if note.pitch < 70],
                dice.choice((116, 117, 47)),
            )
        )
    return _in_hall(dice, play(song, parts), dice.uniform(0.3, 1.5))


def hip_hop(dice: Random, seconds: float) -> Float32Array:
    """Compose and play a hip-hop, trap or funk beat: a looped, dusty sample of chords over deep drums and bass."""
    song = Song(
        dice,
        dice.uniform(70, 105),
        seconds,
        dice.randrange(12),
        dice.choice((MINOR, DORIAN, HARMONIC_MINOR)),
        dice.choice((0, 0.1, 0.15)),
    )
    chords = (progression(song)[:4] * song.bars)[: song.bars]
    sample = [Part(_comping(song, chords), dice.choice((0, 4, 5, 7, 11, 26, 46, 48, 61)))]
    if dice.random() < 0.6:
        sample.append(Part(melody(song, chords, 64, 1, 0.4), dice.choice((10, 11, 40, 53, 56, 73, 75, 108))))
    dusty = lowpass(play(song, sample), dice.uniform(1500, 8000))
    mix = level(dusty, dice.uniform(0.06, 0.12))
    bass = Part(bass_line(song, chords, 29, rhythms.random_steps(dice, 0.3)), dice.choice((33, 36, 38, 39)))
    mix += level(lowpass(play(song, [bass]), 600), dice.uniform(0.08, 0.14))
    notes = rhythms.drum_part(song, rhythms.HIP_HOP, 0.04, fills=False)
    mix += level(drums.beat(song, notes, drums.deep_kit(song)), dice.uniform(0.16, 0.3))
    if dice.random() < 0.85:
        flow = [
            Note(BEATS_PER_BAR * bar + step / 4, 0.24, 45)
            for bar in range(song.bars)
            for step, mark in enumerate(rhythms.random_steps(dice, 0.85, 1))
            if mark == "x" and step < 14
        ]
        mix += level(rap(song, flow, dice.random() < 0.2), dice.uniform(0.12, 0.2))
    if dice.random() < 0.5:
        mix += level(bandpass(song.noise(song.count), 500, 6000), 0.003)
    return compress(distort(mix, dice.uniform(0.5, 2)), -10, 2)


def _strummed(song: Song, chords: Sequence[int]) -> list[Note]:
    dice = song.dice
    steps = [step for step, mark in enumerate(rhythms.random_steps(dice, 0.7)) if mark == "x"]
    return [
        Note(BEATS_PER_BAR * bar + step / 4 + 0.02 * number, 0.6, key, dice.uniform(0.5, 0.8))
        for bar, degree in enumerate(chords)
        for step in steps
        for number, key in enumerate([song.pitch(degree, 43), *near(chord(song, degree, 55), 58)])
    ]


def _comping(song: Song, chords: Sequence[int]) -> list[Note]:
    pattern = song.dice.choice(("x---------------", "x-------x-------", rhythms.random_steps(song.dice, 0.3)))
    return stabs(song, chords, 60, pattern, 4, song.dice.uniform(0.5, 2))


def _in_hall(dice: Random, samples: Float32Array, decay_s: float) -> Float32Array:
    return reverb(level(samples, 0.1), decay_s, dice.uniform(0.05, 0.5), dice.getrandbits(32), dice.uniform(2500, 8000))
