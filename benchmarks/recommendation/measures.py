"""How good recommendations are, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.recommendation.population import Floats, Indices

LENGTH = 20
_RESAMPLES = 2_000


@dataclass(frozen=True)
class Scores:
    """Of one method, for each person.

    Attributes:
        recall: Part of what was held out among the first 20, of at most 20, shape (people,).
        ndcg: Normalised discounted cumulative gain at 20, binary, shape (people,): Järvelin and Kekäläinen, 2002.
        coverage: Part of the library that is recommended to anybody.
        cold_recall: Part of what was held out of tracks that fewer than three heard, over all people; NaN for none.
    """

    recall: Floats
    ndcg: Floats
    coverage: float
    cold_recall: float


def score(found: Sequence[Sequence[int]], wanted: Sequence[Indices], track_count: int, cold_tracks: set[int]) -> Scores:
    """Compare what was recommended with what people heard next."""
    recall, ndcg = np.zeros(len(found)), np.zeros(len(found))
    shown: set[int] = set()
    cold_found = cold_wanted = 0
    for number, (tracks, held_out) in enumerate(zip(found, wanted, strict=True)):
        first, right = list(tracks[:LENGTH]), {int(one) for one in held_out}
        shown.update(first)
        gains = [1 / np.log2(rank + 2) for rank, one in enumerate(first) if one in right]
        possible = min(LENGTH, len(right))
        recall[number] = len(gains) / possible
        ndcg[number] = sum(gains) / sum(1 / np.log2(rank + 2) for rank in range(possible))
        cold = right & cold_tracks
        cold_wanted += len(cold)
        cold_found += len(cold & set(first))
    cold_recall = cold_found / cold_wanted if cold_wanted else float("nan")
    return Scores(recall, ndcg, len(shown) / track_count, cold_recall)


def difference(one: Floats, other: Floats, seed: int) -> tuple[float, float, float]:
    """Return the mean difference of paired values, and its 95 % interval by 2,000 bootstrap resamples of people."""
    gaps = one - other
    chance = np.random.default_rng(seed)
    means = gaps[chance.integers(0, len(gaps), (_RESAMPLES, len(gaps)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(gaps.mean()), float(low), float(high)
