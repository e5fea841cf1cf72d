"""Ways to recommend, as the service does it: sound as the retriever finds it, behaviour as the tables hold it.

The retriever's search and the tables' statements are written once more here, over matrices; their blend is the
service's own function.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.recommendation.population import Floats, Indices, Population
from services.social.domain.ids import TrackId
from services.social.domain.recommendation import fuse, natural_blend

# As in services/social/store/pairs.py.
_SHRINKAGE, _LEAST_COMMON, _MOST_PAIRS, _MOST_HEARD = 10.0, 3, 50, 100
_SOUND_LENGTH, _BEHAVIOUR_LENGTH = 200, 400

# From a person's number to tracks, best first.
Method = Callable[[int], list[int]]


def popularity(population: Population) -> Method:
    """Return what is heard most, the same for everybody but for what they know."""
    order = np.argsort(-_matrix(population).sum(axis=0), kind="stable")

    def recommend(number: int) -> list[int]:
        return [int(one) for one in order[~np.isin(order, population.heard[number])][:_SOUND_LENGTH]]

    return recommend


def sound(population: Population) -> Method:
    """Return the tracks nearest to the unit mean of what a person heard."""

    def recommend(number: int) -> list[int]:
        known = population.heard[number]
        cosines = population.sounds @ population.sounds[known].mean(axis=0)
        cosines[known] = -np.inf
        return [int(one) for one in np.argsort(-cosines, kind="stable")[:_SOUND_LENGTH]]

    return recommend


def behaviour(population: Population) -> Method:
    """Return what others hear who hear the same: the sum of shrunk item–item cosines, 50 to a track."""
    pairs = pair_weights(_matrix(population))

    def recommend(number: int) -> list[int]:
        known = population.heard[number]
        scores = pairs[known[:_MOST_HEARD]].sum(axis=0)
        scores[known] = 0
        order = np.argsort(-scores, kind="stable")[:_BEHAVIOUR_LENGTH]
        return [int(one) for one in order if scores[one] > 0]

    return recommend


def blended(population: Population, by_sound: Method, by_behaviour: Method, blend: float | None = None) -> Method:
    """Return the service's blend of both; None lets behaviour rise with what is known of a person."""

    def recommend(number: int) -> list[int]:
        part = natural_blend(len(population.heard[number])) if blend is None else blend
        found = fuse(
            [(TrackId(f"{one}"), 0.0) for one in by_sound(number)],
            [(TrackId(f"{one}"), TrackId("")) for one in by_behaviour(number)],
            part,
        )
        return [int(one.track_id) for one in found]

    return recommend


def pair_weights(heard: Floats) -> Floats:
    """Return what leads from each track to each other.

    Args:
        heard: 1 where a person heard a track, shape (people, tracks).

    Returns:
        Shape (tracks, tracks): cosine × common / (common + 10), 0 below three people in common and beyond the best 50
        of a row.
    """
    common = heard.T @ heard
    np.fill_diagonal(common, 0)
    heads = np.maximum(heard.sum(axis=0), 1)
    weights: Floats = common / np.sqrt(heads[:, None] * heads[None, :]) * common / (common + _SHRINKAGE)
    weights[common < _LEAST_COMMON] = 0
    if weights.shape[1] > _MOST_PAIRS:
        cut = -np.partition(-weights, _MOST_PAIRS - 1, axis=1)[:, _MOST_PAIRS - 1 : _MOST_PAIRS]
        weights[weights < cut] = 0
    return weights


def _matrix(population: Population) -> Floats:
    heard = np.zeros((len(population.heard), len(population.sounds)))
    for number, tracks in enumerate(population.heard):
        heard[number, tracks] = 1
    return heard


def listeners(population: Population) -> Indices:
    """Return how many people heard each track, shape (tracks,)."""
    counts: Indices = _matrix(population).sum(axis=0).astype(np.int64)
    return counts
