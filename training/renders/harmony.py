"""Chord progressions, bass lines, chords and melodies of a song; it makes notes, and no sound."""

from collections.abc import Sequence
from random import Random

from training.renders.song import BEATS_PER_BAR, Note, Song

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
DORIAN = (0, 2, 3, 5, 7, 9, 10)
MIXOLYDIAN = (0, 2, 4, 5, 7, 9, 10)
LYDIAN = (0, 2, 4, 6, 7, 9, 11)
PHRYGIAN = (0, 1, 3, 5, 7, 8, 10)
PHRYGIAN_DOMINANT = (0, 1, 4, 5, 7, 8, 10)
HARMONIC_MINOR = (0, 2, 3, 5, 7, 8, 11)
LOCRIAN = (0, 1, 3, 5, 6, 8, 10)
PENTATONIC_MINOR = (0, 3, 5, 7, 10)
PENTATONIC_MAJOR = (0, 2, 4, 7, 9)

# Degrees of a scale of seven steps, one a bar.
_PROGRESSIONS = (
    (0, 3, 4, 0), (0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 6, 5, 6), (0, 2, 3, 4), (1, 4, 0, 0), (0, 3, 0, 4),
    (0, 5, 1, 4), (0, 6, 3, 0), (0, 0, 5, 6), (3, 4, 2, 5), (0, 2, 5, 4), (0, 0, 3, 0), (0, 0, 0, 0), (0, 1, 0, 6),
)  # fmt: skip

# Lengths that fill two beats, from calm to busy.
_CELLS = (
    ((2.0,), (1.0, 1.0), (1.5, 0.5)),
    ((1.0, 1.0), (1.0, 0.5, 0.5), (1.5, 0.5), (0.5, 0.5, 1.0)),
    ((0.5, 0.5, 0.5, 0.5), (0.75, 0.75, 0.5), (0.5, 0.5, 1.0), (0.75, 0.25, 0.5, 0.5)),
    ((0.25, 0.25, 0.5, 0.5, 0.5), (0.25,) * 8, (0.5, 0.25, 0.25, 0.5, 0.5), (0.75, 0.25, 0.25, 0.25, 0.5)),
)


def progression(song: Song, repeat: int | None = None) -> list[int]:
    """Draw one degree a bar: four bars repeated, every second time with another ending or a second four.

    Args:
        song: Whose dice and length.
        repeat: Bars that a chord lasts; None draws 1 or 2.
    """
    dice = song.dice
    held = repeat or dice.choice((1, 1, 1, 2))
    first = _four_bars(dice)
    second = dice.choice((first, first, (*first[:3], dice.randrange(len(song.steps))), _four_bars(dice)))
    block = [degree for part in (first, second) for degree in part for _ in range(held)]
    return [block[bar % len(block)] % len(song.steps) for bar in range(song.bars)]


def _four_bars(dice: Random) -> tuple[int, ...]:
    if dice.random() < 0.2:
        return (0, *(dice.randrange(7) for _ in range(3)))
    return dice.choice(_PROGRESSIONS)


def chord(song: Song, degree: int, base: int, size: int = 3, spread: bool = False) -> list[int]:
    """Return the keys of a chord of thirds on a degree; spread lifts its second key an octave."""
    keys = [song.pitch(degree + 2 * step, base) for step in range(size)]
    if spread and size > 1:
        keys[1] += 12
    return sorted(keys)


def near(keys: Sequence[int], centre: int) -> list[int]:
    """Move each key by octaves to within six semitones of a centre, so that chords lie close to one another."""
    return sorted(centre - 6 + (key - centre + 6) % 12 for key in keys)


def held_chords(song: Song, chords: Sequence[int], centre: int, size: int = 3, velocity: float = 0.7) -> list[Note]:
    """Hold each bar's chord for the whole bar."""
    return [
        Note(BEATS_PER_BAR * bar, BEATS_PER_BAR * 0.98, key, velocity)
        for bar, degree in enumerate(chords)
        for key in near(chord(song, degree, centre, size), centre)
    ]


def stabs(
    song: Song, chords: Sequence[int], centre: int, pattern: str, size: int = 3, length: float = 0.4
) -> list[Note]:
    """Strike each bar's chord where a pattern of sixteen steps has an `x`."""
    steps = [step / 4 for step, mark in enumerate(pattern) if mark == "x"]
    return [
        Note(BEATS_PER_BAR * bar + step, length, key, song.dice.uniform(0.6, 0.9))
        for bar, degree in enumerate(chords)
        for step in steps
        for key in near(chord(song, degree, centre, size), centre)
    ]


def arpeggio(song: Song, chords: Sequence[int], base: int, step: float, octaves: int = 2, size: int = 3) -> list[Note]:
    """Play each bar's chord one key after another, in a shape that is drawn once."""
    dice = song.dice
    shape = dice.choice(("up", "down", "updown", "random"))
    width = size * octaves
    order = list(range(width))
    if shape == "down":
        order.reverse()
    elif shape == "updown":
        order += order[-2:0:-1]
    elif shape == "random":
        order = [dice.randrange(width) for _ in range(8)]
    notes, number = [], 0
    for bar, degree in enumerate(chords):
        keys = [key + 12 * octave for octave in range(octaves) for key in chord(song, degree, base, size)]
        for at in range(round(BEATS_PER_BAR / step)):
            velocity = 0.85 if at % 4 == 0 else 0.65
            notes.append(Note(BEATS_PER_BAR * bar + at * step, step * 0.9, keys[order[number % len(order)]], velocity))
            number += 1
    return notes


def bass_line(song: Song, chords: Sequence[int], base: int, pattern: str, jump: float = 0.2) -> list[Note]:
    """Play each bar's root where a pattern of sixteen steps has an `x`, now and then its fifth or octave."""
    dice = song.dice
    steps = [step for step, mark in enumerate(pattern) if mark == "x"]
    ends = [*steps[1:], 16]
    jumps = [dice.choice((4, 7, 7)) if dice.random() < jump and number else 0 for number in range(len(steps))]
    return [
        Note(
            BEATS_PER_BAR * bar + step / 4,
            (end - step) / 4 * 0.9,
            song.pitch(degree, base) + (12 if up == 7 else 7 if up == 4 else 0),
            dice.uniform(0.75, 0.95),
        )
        for bar, degree in enumerate(chords)
        for step, end, up in zip(steps, ends, jumps, strict=True)
    ]


def walking_bass(song: Song, chords: Sequence[int], base: int) -> list[Note]:
    """Play a note on every beat, from root to root by chord keys and neighbours."""
    dice, notes = song.dice, []
    for bar, degree in enumerate(chords):
        nearby = chords[(bar + 1) % len(chords)]
        line = [degree, degree + dice.choice((1, 2, 2)), degree + dice.choice((2, 4, 4)), nearby + dice.choice((-1, 1))]
        notes += [
            Note(BEATS_PER_BAR * bar + beat, 0.9, song.pitch(step, base), dice.uniform(0.75, 0.95))
            for beat, step in enumerate(line)
        ]
    return notes


def melody(song: Song, chords: Sequence[int], base: int, busyness: int = 1, rest: float = 0.1) -> list[Note]:
    """Walk at random through the scale, on strong beats to a key of the chord; two motifs come again and again.

    Args:
        song: Whose scale and dice.
        chords: One degree a bar.
        base: Lowest key at about which the walk begins.
        busyness: 0 is calm, 3 full of sixteenths.
        rest: Share of notes left out.
    """
    dice = song.dice
    motifs = [_motif(dice, busyness, rest) for _ in range(2)]
    order = dice.choice(((0, 1), (0, 0, 1, 0), (0, 0, 0, 1)))
    notes = []
    for bar, degree in enumerate(chords):
        motif = motifs[order[bar // 2 % len(order)]][bar % 2]
        for beat, length, offset in motif:
            if offset is not None:
                step = degree + offset if dice.random() < 0.95 else degree + dice.randint(-2, 7)
                notes.append(
                    Note(BEATS_PER_BAR * bar + beat, length * 0.95, song.pitch(step, base), dice.uniform(0.65, 0.95))
                )
    return notes


def _motif(dice: Random, busyness: int, rest: float) -> list[list[tuple[float, float, int | None]]]:
    """Draw two bars of (beat, length, degree above the chord's root or None for a rest)."""
    bars, at = [], dice.choice((0, 2, 4, 7))
    for _ in range(2):
        bar: list[tuple[float, float, int | None]] = []
        for half in range(2):
            beat = 2.0 * half
            for length in dice.choice(_CELLS[min(max(busyness + dice.choice((-1, 0, 0, 1)), 0), 3)]):
                at += dice.choice((-2, -1, -1, 0, 1, 1, 2, dice.choice((-4, 3, 4))))
                at = min(max(at, -3), 10)
                if beat in (0.0, 2.0) and at % 2:
                    at += dice.choice((-1, 1))
                bar.append((beat, length, None if dice.random() < rest else at))
                beat += length
        bars.append(bar)
    return bars
