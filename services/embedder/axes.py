"""The five axes on which a track is told apart from others by words, and how cosines become scores.

Genres are the sixteen top-level ones of FMA. Energy, valence and source have the levels of the owner's proposal. Moods
are the five of its picture-to-music part (aggressive, dramatic, happy, romantic, sad) and six which those leave out.
"""

from dataclasses import dataclass

import numpy as np

from services.embedder.model import Float32Array

# Cosines of MuQ-MuLan lie close together: with 0.05 a word that is nearer by 0.1 gets e² = 7.4 times the score. The
# order does not depend on it, and no score is a calibrated probability.
TEMPERATURE = 0.05


@dataclass(frozen=True, slots=True)
class Axis:
    """One way of telling tracks apart.

    Attributes:
        name: For example "energy".
        prompts: English prompt of each word.
    """

    name: str
    prompts: dict[str, str]


AXES = (
    Axis(
        "genre",
        {
            "Electronic": "electronic music",
            "Experimental": "experimental avant-garde music",
            "Rock": "rock music",
            "Pop": "pop music",
            "Folk": "folk music",
            "Instrumental": "instrumental music without vocals",
            "Hip-Hop": "hip-hop music",
            "International": "world music from many countries",
            "Jazz": "jazz music",
            "Classical": "classical music",
            "Blues": "blues music",
            "Soul-RnB": "soul and R&B music",
            "Spoken": "spoken word recording",
            "Country": "country music",
            "Old-Time / Historic": "old-time historic recording from the early 20th century",
            "Easy Listening": "easy listening music",
        },
    ),
    Axis(
        "mood",
        {
            "aggressive": "aggressive music",
            "dramatic": "dramatic music",
            "happy": "happy music",
            "romantic": "romantic music",
            "sad": "sad music",
            "calm": "calm music",
            "dark": "dark music",
            "dreamy": "dreamy music",
            "epic": "epic music",
            "hopeful": "hopeful music",
            "playful": "playful music",
        },
    ),
    Axis(
        "energy",
        {
            "high": "high energy music, loud and fast",
            "medium": "medium energy music at a moderate pace",
            "low": "low energy music, quiet and slow",
        },
    ),
    Axis(
        "valence",
        {"positive": "music with a positive, joyful feeling", "negative": "music with a negative, sorrowful feeling"},
    ),
    Axis(
        "source",
        {
            "acoustic": "acoustic music played on acoustic instruments",
            "electronic": "electronic music made with synthesizers and drum machines",
        },
    ),
)


def score(axis: Axis, track: Float32Array, words: Float32Array) -> tuple[tuple[str, float], ...]:
    """Score the words of an axis for a track: the softmax of their cosines over the temperature.

    Args:
        axis: The axis.
        track: Unit vector of the track, shape (dim,).
        words: Unit vectors of the axis's prompts in their order, shape (words, dim).

    Returns:
        Words and scores, best first; the scores lie in [0, 1] and sum to 1.
    """
    logits = words.astype(np.float64) @ track.astype(np.float64) / TEMPERATURE  # (words,)
    weights = np.exp(logits - logits.max())
    scores = weights / weights.sum()
    names = list(axis.prompts)
    return tuple((names[row], float(scores[row])) for row in np.argsort(-scores, kind="stable"))
