"""Electronic music: house, techno, trance, drum and bass, synthwave, ambient and chiptunes, all synthesized."""

from dataclasses import replace
from random import Random

from training.renders import drums, rhythms, soundfont
from training.renders.effects import chorus, compress, distort, echo, highpass, level, lowpass, pump, reverb
from training.renders.harmony import (
    DORIAN,
    HARMONIC_MINOR,
    LYDIAN,
    MAJOR,
    MINOR,
    PENTATONIC_MINOR,
    PHRYGIAN,
    arpeggio,
    bass_line,
    held_chords,
    melody,
    progression,
    stabs,
)
from training.renders.oscillators import Patch, synthesize
from training.renders.song import BEATS_PER_BAR, Float32Array, Note, Song
from training.renders.voices import sing

_WAVES = ("saw", "saw", "square", "pulse", "hollow", "triangle")


def techno(dice: Random, seconds: float) -> Float32Array:
    """Compose and play techno or acid: four on the floor, a line of sixteenths whose filter sweeps, little else."""
    song = Song(
        dice, dice.uniform(122, 150), seconds, dice.randrange(12), dice.choice((MINOR, PHRYGIAN, PENTATONIC_MINOR))
    )
    steps = [dice.choice((0, 0, 0, 1, 2, 4, len(song.steps))) for _ in range(16)]
    heard = rhythms.random_steps(dice, 0.8, 1)
    line = [
        Note(BEATS_PER_BAR * bar + step / 4, 0.22, song.pitch(steps[step], 36), dice.choice((0.6, 0.9)))
        for bar in range(song.bars)
        for step in range(16)
        if heard[step] == "x"
    ]
    acid = Patch(
        dice.choice(("saw", "square")),
        cutoff_hz=dice.uniform(150, 500),
        resonance=dice.uniform(2, 9),
        sweep=dice.uniform(1, 3.5),
        sweep_s=dice.uniform(0.05, 0.2),
        lfo=dice.uniform(0, 1.2),
        lfo_beats=dice.choice((16, 32)),
        drift=dice.uniform(-0.5, 2),
    )
    mix = level(distort(synthesize(song, line, acid), dice.uniform(1, 8)), dice.uniform(0.08, 0.16))
    if dice.random() < 0.6:
        mix += _pad(song, 0.06)
    if dice.random() < 0.5:
        hits = stabs(song, [0] * song.bars, 60, rhythms.random_steps(dice, 0.25))
        mix += echo(level(synthesize(song, hits, _pluck(dice)), 0.05), 45 / song.tempo_qpm, 0.5)
    mix = pump(mix, 60 / song.tempo_qpm, dice.uniform(0, 0.8))
    return _mixed(song, mix, _beat(song, rhythms.FOUR_ON_THE_FLOOR), dice.uniform(0.15, 0.28))


def trance(dice: Random, seconds: float) -> Float32Array:
    """Compose and play trance or eurodance: many detuned saws, arpeggios, an off-beat bass."""
    song = Song(
        dice, dice.uniform(128, 145), seconds, dice.randrange(12), dice.choice((MINOR, MINOR, HARMONIC_MINOR, MAJOR))
    )
    chords = progression(song)
    bass = Patch("saw", cutoff_hz=dice.uniform(300, 900), sweep=1.5, resonance=1.2, sustain=0.6)
    mix = level(
        synthesize(song, bass_line(song, chords, 33, dice.choice(("--x---x---x---x-", "-xxx-xxx-xxx-xxx"))), bass), 0.12
    )
    saws = Patch(
        "saw", 3, dice.uniform(0.08, 0.25), dice.uniform(1200, 5000), drift=dice.uniform(0, 1.5), release_s=0.2
    )
    layers = dice.sample(("chords", "arpeggio", "melody", "stabs"), dice.choice((1, 2, 2, 3)))
    if "chords" in layers:
        mix += level(synthesize(song, held_chords(song, chords, 62), saws), 0.09)
    if "arpeggio" in layers:
        mix += level(synthesize(song, arpeggio(song, chords, 57, 0.25), _pluck(dice)), 0.08)
    if "melody" in layers:
        mix += echo(level(synthesize(song, melody(song, chords, 69, 2), saws), 0.09), 45 / song.tempo_qpm, 0.4)
    if "stabs" in layers:
        mix += level(synthesize(song, stabs(song, chords, 62, rhythms.random_steps(dice, 0.5)), saws), 0.1)
    mix = reverb(mix, dice.uniform(1, 3), dice.uniform(0.2, 0.5), dice.getrandbits(32))
    mix = pump(mix, 60 / song.tempo_qpm, dice.uniform(0.2, 0.9))
    return _mixed(song, mix, _beat(song, rhythms.FOUR_ON_THE_FLOOR), dice.uniform(0.13, 0.22))


def house(dice: Random, seconds: float) -> Float32Array:
    """Compose and play house or disco: stabs of piano, organ or synth, a moving bass, claps and open hats."""
    song = Song(
        dice,
        dice.uniform(115, 130),
        seconds,
        dice.randrange(12),
        dice.choice((DORIAN, MINOR, MAJOR)),
        dice.choice((0, 0.08)),
    )
    chords = progression(song)
    pattern = rhythms.random_steps(dice, 0.4)
    keys = stabs(song, chords, 60, pattern, dice.choice((3, 4)), dice.uniform(0.2, 0.6))
    if dice.random() < 0.5:
        mix = level(soundfont.play(song, [soundfont.Part(keys, dice.choice((0, 1, 4, 5, 16, 17, 61, 48)))]), 0.1)
    else:
        mix = level(synthesize(song, keys, _pluck(dice)), 0.1)
    bass = Patch(
        dice.choice(("saw", "square", "sine", "organ")), cutoff_hz=dice.uniform(250, 900), sweep=1, sustain=0.5
    )
    mix += level(synthesize(song, bass_line(song, chords, 33, rhythms.random_steps(dice, 0.6)), bass), 0.13)
    if dice.random() < 0.5:
        mix += _pad(song, 0.05)
    if dice.random() < 0.4:
        lead = soundfont.Part(melody(song, chords, 64, 1, 0.3), dice.choice((53, 54, 61, 65, 73, 85)))
        mix += level(soundfont.play(song, [lead]), 0.07)
    if dice.random() < 0.3:
        is_woman = dice.random() < 0.7
        mix += sing(song, melody(song, chords, 57 if is_woman else 48, 1, 0.3), is_woman)
    mix = pump(reverb(mix, 1.2, 0.2, dice.getrandbits(32)), 60 / song.tempo_qpm, dice.uniform(0, 0.6))
    return _mixed(song, mix, _beat(song, rhythms.FOUR_ON_THE_FLOOR), dice.uniform(0.13, 0.22))


def breakbeat(dice: Random, seconds: float) -> Float32Array:
    """Compose and play drum and bass, dubstep, big beat or trip-hop: broken beats over a growling bass."""
    song = Song(
        dice,
        dice.choice((dice.uniform(85, 110), dice.uniform(130, 145), dice.uniform(160, 178))),
        seconds,
        dice.randrange(12),
        MINOR,
    )
    chords = progression(song, 2)
    reese = Patch(
        dice.choice(("saw", "square")), 3, dice.uniform(0.1, 0.4), dice.uniform(200, 700), dice.uniform(0.8, 4),
        lfo=dice.choice((0.0, dice.uniform(0.5, 2))), lfo_beats=dice.choice((0.5, 0.67, 1, 2, 8)), sustain=1,
    )  # fmt: skip
    bass = bass_line(
        song, chords, 29, dice.choice(("x---------------", "x-----x---------", rhythms.random_steps(dice, 0.3)))
    )
    mix = level(distort(synthesize(song, bass, reese), dice.uniform(1, 6)), 0.14)
    mix += _pad(song, dice.uniform(0.03, 0.09))
    if dice.random() < 0.5:
        lead = synthesize(song, melody(song, chords, 62, dice.choice((1, 2)), 0.3), _pluck(dice))
        mix += echo(level(lead, 0.06), 45 / song.tempo_qpm, 0.5)
    return _mixed(song, mix, _beat(song, rhythms.BREAKS), dice.uniform(0.14, 0.25))


def synthwave(dice: Random, seconds: float) -> Float32Array:
    """Compose and play synth pop of the eighties: eighths in the bass, a gated snare, bright chords and a lead."""
    song = Song(dice, dice.uniform(85, 128), seconds, dice.randrange(12), dice.choice((MINOR, MAJOR, DORIAN)))
    chords = progression(song)
    bass = Patch("saw", 2, 0.1, dice.uniform(300, 1200), 1.5, sweep=1.5, sustain=0.5)
    mix = level(
        synthesize(song, bass_line(song, chords, 33, dice.choice(("x-x-x-x-x-x-x-x-", "xxxxxxxxxxxxxxxx"))), bass), 0.12
    )
    pad = Patch(dice.choice(_WAVES), 2, 0.15, dice.uniform(700, 3000), attack_s=0.1, sustain=1, release_s=0.4)
    mix += chorus(level(synthesize(song, held_chords(song, chords, 60), pad), dice.uniform(0.05, 0.1)))
    if dice.random() < 0.7:
        lead = Patch(dice.choice(_WAVES), 2, 0.1, dice.uniform(1500, 5000), vibrato=dice.uniform(0, 0.3), release_s=0.2)
        mix += echo(level(synthesize(song, melody(song, chords, 69, 1, 0.2), lead), 0.08), 45 / song.tempo_qpm, 0.4)
    if dice.random() < 0.5:
        mix += level(synthesize(song, arpeggio(song, chords, 60, 0.25), _pluck(dice)), 0.05)
    beat = _beat(song, rhythms.ROCK + rhythms.FOUR_ON_THE_FLOOR)
    return _mixed(song, reverb(mix, 1.5, 0.2, dice.getrandbits(32)), reverb(beat, 0.4, 0.4, 1), dice.uniform(0.12, 0.2))


def ambient(dice: Random, seconds: float) -> Float32Array:
    """Compose and play drones, slow pads, and bells far away, with no beat."""
    song = Song(
        dice, dice.uniform(50, 80), seconds, dice.randrange(12), dice.choice((MINOR, LYDIAN, DORIAN, MAJOR, PHRYGIAN))
    )
    chords = progression(song, dice.choice((2, 4)))
    mix = _pad(song, 0.1) + lowpass(_pad(song, 0.08), dice.uniform(500, 3000))
    if dice.random() < 0.6:
        drone = Patch(
            dice.choice(_WAVES), 3, 0.1, dice.uniform(80, 500), lfo=1, lfo_beats=32, attack_s=3, sustain=1, release_s=3
        )
        keys = [song.pitch(0, 31), song.pitch(0, 43), song.pitch(4, 43)]
        mix += level(synthesize(song, [Note(0, 4.0 * song.bars, key) for key in keys], drone), 0.08)
    if dice.random() < 0.6:
        bells = soundfont.Part(
            melody(song, chords, 72, 0, 0.4), dice.choice((8, 10, 11, 14, 46, 88, 92, 96, 98, 99, 108, 0))
        )
        mix += echo(level(soundfont.play(song, [bells]), dice.uniform(0.02, 0.06)), 60 / song.tempo_qpm, 0.6)
    if dice.random() < 0.4:
        wind = lowpass(song.noise(song.count), dice.uniform(300, 2000))
        mix += level(wind, dice.uniform(0.003, 0.02))
    return reverb(mix, dice.uniform(3, 6), dice.uniform(0.5, 1.0), dice.getrandbits(32), dice.uniform(2000, 8000))


def chiptune(dice: Random, seconds: float) -> Float32Array:
    """Compose and play for an old sound chip: two pulses, a triangle and noise."""
    song = Song(
        dice, dice.uniform(100, 180), seconds, dice.randrange(12), dice.choice((MAJOR, MINOR, HARMONIC_MINOR, DORIAN))
    )
    chords = progression(song, 1)
    chip = Patch(cutoff_hz=14_000, resonance=0.7, attack_s=0.001, release_s=0.01)
    lead = replace(
        chip, wave=dice.choice(("square", "pulse")), vibrato=dice.choice((0, 0.3)), sustain=dice.uniform(0.2, 1)
    )
    mix = 0.10 * synthesize(song, melody(song, chords, 69, dice.choice((1, 2, 3)), 0.1), lead)
    if dice.random() < 0.8:
        chords_run = arpeggio(song, chords, 60, dice.choice((0.125, 0.25)), 1)
        mix += 0.07 * synthesize(song, chords_run, replace(chip, wave="pulse"))
    bass = bass_line(song, chords, 36, dice.choice(("x-x-x-x-x-x-x-x-", "x-xxx-xxx-xxx-xx")), 0.4)
    mix += 0.14 * synthesize(song, bass, replace(chip, wave="triangle", sustain=1))
    notes = rhythms.drum_part(song, dice.choice((rhythms.ROCK, rhythms.BREAKS)))
    mix += dice.uniform(0.05, 0.12) * drums.beat(song, notes, drums.chip_kit(song))
    return mix


def _pad(song: Song, rms: float) -> Float32Array:
    """Hold chords softly, on a synthesizer or a sampled pad."""
    dice = song.dice
    notes = held_chords(song, progression(song, 2), dice.choice((55, 60, 64)))
    if dice.random() < 0.4:
        program = dice.choice((48, 50, 51, 52, 54, 88, 89, 90, 91, 92, 93, 94, 95, 97, 99))
        return level(soundfont.play(song, [soundfont.Part(notes, program)]), rms)
    patch = Patch(
        dice.choice(_WAVES), 2, dice.uniform(0.05, 0.2), dice.uniform(400, 3000), dice.uniform(0.7, 2),
        lfo=dice.uniform(0, 1.5), lfo_beats=dice.choice((8, 16, 32)), attack_s=dice.uniform(0.1, 1.5), sustain=1,
        release_s=dice.uniform(0.3, 1.0),
    )  # fmt: skip
    return chorus(level(synthesize(song, notes, patch), rms))


def _pluck(dice: Random) -> Patch:
    """Draw a short, bright sound."""
    return Patch(
        dice.choice(_WAVES), dice.choice((1, 2)), dice.uniform(0.05, 0.2), dice.uniform(300, 2000),
        dice.uniform(0.8, 4), sweep=dice.uniform(1, 3.5), sweep_s=dice.uniform(0.05, 0.25),
        decay_s=dice.uniform(0.08, 0.4), sustain=dice.uniform(0, 0.3), release_s=0.1,
    )  # fmt: skip


def _beat(song: Song, patterns: tuple[rhythms.Pattern, ...]) -> Float32Array:
    notes = rhythms.drum_part(song, patterns, 0.02, song.dice.random() < 0.5)
    if song.dice.random() < 0.25:
        kit = song.dice.choice((soundfont.ELECTRONIC_KIT, soundfont.TR808_KIT, soundfont.STANDARD_KIT))
        return level(soundfont.play(song, [soundfont.Part(notes, kit, is_drums=True)]), 0.1)
    return level(drums.beat(song, notes, drums.electronic_kit(song)), 0.1)


def _mixed(song: Song, music: Float32Array, beat: Float32Array, rms: float) -> Float32Array:
    """Set the beat beside the music, now and then only from somewhere on, or high-passed as a DJ does."""
    dice = song.dice
    beat = level(beat, rms)
    if dice.random() < 0.15:
        beat[: int(dice.uniform(0, 0.4) * len(beat))] = 0
    if dice.random() < 0.08:
        beat = highpass(beat, 400)
    return compress(music + beat, -8, dice.uniform(1.5, 3))
