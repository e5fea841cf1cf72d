"""Plays written scores on whatever is at hand: choirs, bands, synthesizers, loud guitars, with drums or without."""

from random import Random

from training.renders import drums, rhythms, soundfont
from training.renders.effects import compress, level, reverb
from training.renders.guitars import amplify
from training.renders.harmony import MAJOR
from training.renders.oscillators import Patch, synthesize
from training.renders.scores import draw_score
from training.renders.song import Float32Array, Note, Song

# General MIDI programs of the parts, from the highest down, repeated as needed.
_GROUPS = (
    (40, 40, 41, 42), (48,), (49, 44), (56, 56, 60, 57), (61,), (73, 68, 71, 70), (64, 65, 66, 67), (52,), (53, 52),
    (19,), (16,), (20,), (6,), (0,), (0,), (1,), (4,), (24,), (25,), (26, 32), (12,), (11,), (10,), (46,), (8, 14),
    (21,), (22,), (109,), (110, 24), (75, 24), (105, 25), (104,), (107, 77), (13, 12), (114,), (45,), (74, 6),
    (80,), (81,), (62, 63), (50, 51), (88, 89), (90, 38), (99, 95), (29, 29, 30, 34), (27, 33), (7, 36),
)  # fmt: skip


def arrangement(dice: Random, seconds: float) -> Float32Array:
    """Draw a score and play it in one of four ways: as written, with a band, on a synthesizer, or on loud guitars."""
    song = Song(dice, dice.uniform(60, 160), seconds, dice.randrange(12), MAJOR, dice.choice((0, 0, 0, 0.12)))
    parts = draw_score(song)
    way = dice.choice(("written", "written", "band", "synthesizer", "guitars"))
    if way == "synthesizer":
        mix = level(synthesize(song, [note for part in parts for note in part], _patch(dice)), 0.1)
    elif way == "guitars":
        mix = amplify(song, soundfont.play(song, _parts(dice, parts, (29, 30))), dice.uniform(3, 25))
    else:
        mix = level(soundfont.play(song, _parts(dice, parts, dice.choice(_GROUPS))), 0.1)
    if way != "written":
        mix = compress(mix + level(_beat(song, parts, way), dice.uniform(0.08, 0.2)), -10, 2)
    return reverb(mix, dice.uniform(0.4, 3), dice.uniform(0.05, 0.5), dice.getrandbits(32), dice.uniform(2500, 8000))


def _parts(dice: Random, parts: list[list[Note]], programs: tuple[int, ...]) -> list[soundfont.Part]:
    return [soundfont.Part(part, programs[number % len(programs)]) for number, part in enumerate(parts[:15])]


def _patch(dice: Random) -> Patch:
    return Patch(
        dice.choice(("saw", "square", "pulse", "triangle", "organ", "hollow")),
        cutoff_hz=dice.uniform(400, 4000),
        resonance=dice.uniform(0.7, 3),
        sweep=dice.uniform(0, 3),
        attack_s=dice.choice((0.003, 0.05)),
        decay_s=dice.uniform(0.1, 0.6),
        sustain=dice.uniform(0.1, 1),
        release_s=dice.uniform(0.05, 0.4),
    )


def _beat(song: Song, parts: list[list[Note]], way: str) -> Float32Array:
    """Set a beat under the score, or the score's own rhythm on the drums."""
    dice = song.dice
    if dice.random() < 0.15:
        keys = (rhythms.KICK, rhythms.LOW_TOM, rhythms.MIDDLE_TOM, rhythms.SNARE, rhythms.CLOSED_HAT)
        notes = [
            note._replace(length=0.2, pitch=keys[min(max((note.pitch - 40) // 9, 0), len(keys) - 1)])
            for part in parts
            for note in part
        ]
    else:
        patterns = {
            "synthesizer": rhythms.FOUR_ON_THE_FLOOR + rhythms.BREAKS,
            "guitars": rhythms.ROCK + rhythms.METAL,
            "band": rhythms.ROCK + rhythms.HIP_HOP + rhythms.SWING + rhythms.WORLD,
        }[way]
        notes = rhythms.drum_part(song, patterns, fills=dice.random() < 0.5)
    if way == "synthesizer":
        return drums.beat(song, notes, drums.electronic_kit(song))
    kit = dice.choice((soundfont.STANDARD_KIT, soundfont.ROOM_KIT, soundfont.POWER_KIT, soundfont.JAZZ_KIT))
    return soundfont.play(song, [soundfont.Part(notes, kit, is_drums=True)])
