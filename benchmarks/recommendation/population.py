"""A population of simulated people, who like tracks for how they sound, for something else, and for being known."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int64]

_SOUND_DIMENSION, _OTHER_DIMENSION = 32, 16
_TRACKS_PER_ARTIST = 8
# Standard deviations, in logits, of liking and of what tracks are known for; at 0 everybody hears at random.
_SHARPNESS, _POPULARITY = 2.0, 0.7
_COLD_PEOPLE = 0.1
_HELD_OUT = 0.2


@dataclass(frozen=True)
class Population:
    """What people heard, in two parts.

    Attributes:
        sounds: Unit vectors of tracks, shape (tracks, 32), float64: what a retriever knows.
        heard: Indices of the tracks of each person that are known, in the order of hearing.
        held_out: Those that came after, one in five and at least one: what is to be found.
        is_cold: Shape (people,), bool: who heard 4 tracks at most before.
    """

    sounds: Floats
    heard: list[Indices]
    held_out: list[Indices]
    is_cold: NDArray[np.bool_]


def simulate(people: int, tracks: int, independent_share: float, seed: int) -> Population:
    """Let people hear tracks.

    Somebody's liking of a track is (1 − share) · (their taste in sound · its sound) + share · (their other taste · its
    other side), of a standard deviation of 2 logits, plus what it is known for, of 0.7. The other side (a scene, a
    language, an era) is drawn independently of the sound, and so cannot be heard: at share 0 sound tells all that can
    be told, at 1 nothing.

    Args:
        people: How many.
        tracks: How many.
        independent_share: Of liking, 0 to 1.
        seed: Of the generator.
    """
    chance = np.random.default_rng(seed)
    artists = -(-tracks // _TRACKS_PER_ARTIST)
    sounds = _grouped(chance, artists, tracks, _SOUND_DIMENSION)
    others = _grouped(chance, artists, tracks, _OTHER_DIMENSION)
    popularity = chance.standard_normal(tracks) * _POPULARITY
    heard, held_out = [], []
    is_cold = chance.random(people) < _COLD_PEOPLE
    for number in range(people):
        by_sound = _standard(sounds @ chance.standard_normal(_SOUND_DIMENSION))
        by_other = _standard(others @ chance.standard_normal(_OTHER_DIMENSION))
        # Of unit variance, whatever the share.
        mixed = _standard((1 - independent_share) * by_sound + independent_share * by_other)
        liking = _SHARPNESS * mixed + popularity
        count = int(chance.integers(3, 6)) if is_cold[number] else int(np.clip(chance.lognormal(3.8, 0.6), 10, 300))
        # Gumbel noise on logits and the highest: sampling without replacement by their softmax.
        order = np.argsort(-(liking + chance.gumbel(size=tracks)))[:count]
        chance.shuffle(order)
        known = count - max(1, round(count * _HELD_OUT))
        heard.append(order[:known])
        held_out.append(order[known:])
    return Population(sounds, heard, held_out, is_cold)


def _grouped(chance: np.random.Generator, artists: int, tracks: int, dimension: int) -> Floats:
    """Return unit vectors that are alike within an artist, shape (tracks, dimension)."""
    centres = chance.standard_normal((artists, dimension))
    vectors = np.repeat(centres, _TRACKS_PER_ARTIST, axis=0)[:tracks]
    vectors = vectors + 0.7 * chance.standard_normal(vectors.shape)
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _standard(values: Floats) -> Floats:
    scaled: Floats = (values - values.mean()) / values.std()
    return scaled
