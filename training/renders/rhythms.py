"""Drum patterns: sixteen steps a bar per drum, drawn from templates and changed at random; it makes no sound."""

from collections.abc import Mapping
from random import Random

from training.renders.song import BEATS_PER_BAR, Note, Song

# Keys of the General MIDI drum map.
KICK, RIM, SNARE, CLAP = 36, 37, 38, 39
CLOSED_HAT, PEDAL_HAT, OPEN_HAT = 42, 44, 46
LOW_TOM, MIDDLE_TOM, HIGH_TOM = 43, 47, 50
CRASH, RIDE, CHINA, TAMBOURINE, COWBELL = 49, 51, 52, 54, 56

STEPS = 16

Pattern = Mapping[int, str]

FOUR_ON_THE_FLOOR: tuple[Pattern, ...] = (
    {KICK: "x---x---x---x---", CLAP: "----x-------x---", OPEN_HAT: "--x---x---x---x-"},
    {KICK: "x---x---x---x---", CLOSED_HAT: "xxxxxxxxxxxxxxxx", CLAP: "----x-------x---"},
    {KICK: "x---x---x---x-x-", OPEN_HAT: "--x---x---x---x-", RIM: "---x--x----x--x-"},
    {KICK: "x---x---x---x---", CLOSED_HAT: "--x---x---x---x-", SNARE: "----x-------x--x"},
)
BREAKS: tuple[Pattern, ...] = (
    {KICK: "x-x-------xx----", SNARE: "----x--x-x--x--x", CLOSED_HAT: "x-x-x-x-x-x-x-x-"},
    {KICK: "x---------x-----", SNARE: "----x-------x---", CLOSED_HAT: "x-x-x-x-x-x-x-x-"},
    {KICK: "x--x------x--x--", SNARE: "----x--x----x-x-", CLOSED_HAT: "xxxxxxxxxxxxxxxx"},
    {KICK: "x-----x---x-----", SNARE: "----x-------x--x", RIDE: "x-x-x-x-x-x-x-x-"},
)
ROCK: tuple[Pattern, ...] = (
    {KICK: "x-------x-x-----", SNARE: "----x-------x---", CLOSED_HAT: "x-x-x-x-x-x-x-x-"},
    {KICK: "x-x-----x-x-----", SNARE: "----x-------x---", OPEN_HAT: "x---x---x---x---"},
    {KICK: "x-----x-x-------", SNARE: "----x-------x---", RIDE: "x-x-x-x-x-x-x-x-"},
    {KICK: "x--x--x---x--x--", SNARE: "----x-------x---", CRASH: "x---x---x---x---"},
    {KICK: "x---x---x---x---", SNARE: "--x---x---x---x-", CLOSED_HAT: "x-x-x-x-x-x-x-x-"},
)
METAL: tuple[Pattern, ...] = (
    {KICK: "xxxxxxxxxxxxxxxx", SNARE: "----x-------x---", RIDE: "x---x---x---x---"},
    {KICK: "x-x-x-x-x-x-x-x-", SNARE: "--x---x---x---x-", CHINA: "x---x---x---x---"},
    {KICK: "xx-xxx-xxx-xxx-x", SNARE: "----x-------x---", CRASH: "x---x---x---x---"},
    {KICK: "x-x-x-x-x-x-x-x-", SNARE: "-x-x-x-x-x-x-x-x", RIDE: "x-x-x-x-x-x-x-x-"},
    {KICK: "xxx-xxx-xxx-xxx-", SNARE: "--------x-------", CHINA: "x---x---x---x---"},
    {KICK: "x--xx--xx--xx-xx", SNARE: "----x-------x---", OPEN_HAT: "x---x---x---x---"},
)
HIP_HOP: tuple[Pattern, ...] = (
    {KICK: "x------x--x-----", SNARE: "----x-------x---", CLOSED_HAT: "x-x-x-x-x-x-x-x-"},
    {KICK: "x--x---x-x------", SNARE: "----x-------x---", CLOSED_HAT: "xxxxxxxxxxxxxxxx"},
    {KICK: "x-----x----x--x-", CLAP: "--------x-------", CLOSED_HAT: "x-xxx-x-xxxxx-xx"},
    {KICK: "x-x-------x-----", SNARE: "----x--x----x---", OPEN_HAT: "------x-------x-", CLOSED_HAT: "x-x-x-x-x-x-x-x-"},
)
SWING: tuple[Pattern, ...] = (
    {RIDE: "x---x-x-x---x-x-", PEDAL_HAT: "----x-------x---", KICK: "x-------x-------"},
    {RIDE: "x---x-x-x---x-x-", PEDAL_HAT: "----x-------x---", SNARE: "------x--------x"},
    {CLOSED_HAT: "x---x-x-x---x-x-", RIM: "------------x---", KICK: "x---x---x---x---"},
)
MARCH: tuple[Pattern, ...] = (
    {SNARE: "x---x-xxx---x-xx", KICK: "x-------x-------"},
    {SNARE: "x--xx--xx-x-xxxx", KICK: "x-------x-------", CRASH: "x---------------"},
)
# Bongos, congas, timbales, agogos, shakers, claves, wood blocks.
WORLD: tuple[Pattern, ...] = (
    {
        62: "x--x--x---x-x---",
        63: "--x---x-x-----xx",
        64: "x-----x--x--x---",
        75: "x--x---x--x-x---",
        70: "xxxxxxxxxxxxxxxx",
    },
    {60: "x-xxx-xxx-xxx-xx", 61: "---x---x---x---x", 67: "x-x--x-x-x--x-x-", KICK: "x--xx--xx--xx--x"},
    {65: "x--x--x-x--x--x-", 66: "--x--x-----x-x--", 69: "x-x-x-x-x-x-x-x-", 64: "x---x---x---x---"},
    {116: "", 41: "x---x-x-x---x-x-", 45: "--xx----xx--x-xx", 76: "x--x--x-x--x--x-", 77: "--x-----x-----x-"},
    {54: "----x-------x---", 64: "x--x--x---x-----", 63: "------xx--x-x-xx", 82: "x-x-x-x-x-x-x-x-"},
)


def drum_part(song: Song, patterns: tuple[Pattern, ...], change: float = 0.03, fills: bool = True) -> list[Note]:
    """Play one or two patterns through a song, each step changed with a probability, with fills before changes.

    Args:
        song: Whose dice and length.
        patterns: To draw from.
        change: Probability that a step of a drum sounds where it would not, or the other way round.
        fills: Whether every eighth or fourth bar ends with toms, and the next begins with a crash.
    """
    dice = song.dice
    chosen = [_changed(dice, dice.choice(patterns), change) for _ in range(2)]
    period = dice.choice((4, 8, 8))
    notes: list[Note] = []
    for bar in range(song.bars):
        first = BEATS_PER_BAR * bar
        is_fill = fills and bar % period == period - 1
        notes += _bar(dice, chosen[bar // 8 % 2], first, BEATS_PER_BAR - 1 if is_fill else BEATS_PER_BAR)
        if is_fill:
            notes += _fill(dice, first + BEATS_PER_BAR - 1)
        if fills and bar % period == 0:
            notes.append(Note(first, 1, CRASH, 0.9))
    return notes


def _bar(dice: Random, pattern: Pattern, first: float, beats: float) -> list[Note]:
    return [
        Note(first + step / 4, 0.2, key, min(1.0, (0.9 if step % 4 == 0 else 0.7) * dice.uniform(0.85, 1.1)))
        for key, marks in pattern.items()
        for step, mark in enumerate(marks)
        if mark == "x" and step / 4 < beats
    ]


def _fill(dice: Random, first: float) -> list[Note]:
    keys = dice.choice(
        ((SNARE,) * 4, (HIGH_TOM, HIGH_TOM, MIDDLE_TOM, LOW_TOM), (SNARE, HIGH_TOM, MIDDLE_TOM, LOW_TOM))
    )
    return [Note(first + step / 4, 0.2, key, 0.85) for step, key in enumerate(keys)]


def _changed(dice: Random, pattern: Pattern, change: float) -> Pattern:
    return {
        key: "".join(("-" if mark == "x" else "x") if dice.random() < change else mark for mark in marks)
        for key, marks in pattern.items()
    }


def random_steps(dice: Random, density: float, pulse: int = 2) -> str:
    """Draw sixteen steps, always with the first; steps off the pulse are half as likely as those on it."""
    return "x" + "".join(
        "x" if dice.random() < (density if step % pulse == 0 else density / 2) else "-" for step in range(1, STEPS)
    )
