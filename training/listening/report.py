"""Turns ratings into a table: each encoder's mean marks and the paired differences, with intervals.

Both listeners and seeds are drawn with replacement, independently: the pigeonhole bootstrap of A. B. Owen (Annals of
Applied Statistics, 2007). Resampling single marks would take five marks of one listener for five listeners.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from training.listening.ratings import QUESTIONS, Rating
from training.listening.study import Key

Float64Array = NDArray[np.float64]

RESAMPLES = 4000
LEVEL = 0.90
_SEED = 20_240_501


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval; NaN where there is nothing to take it of.

    Attributes:
        mean: Of the marks, or of their differences.
        low: Lower bound of the 90 % interval; NaN with fewer than two listeners and fewer than two seeds.
        high: Upper bound.
        marks: How many there are.
    """

    mean: float
    low: float
    high: float
    marks: int

    def text(self, signed: bool = False) -> str:
        """Write the estimate as `3.80 [3.20, 4.40]`."""
        if not self.marks:
            return "no marks"
        form = "+.2f" if signed else ".2f"
        if np.isnan(self.low):
            return f"{self.mean:{form}}"
        return f"{self.mean:{form}} [{self.low:{form}}, {self.high:{form}}]"


class RaterSeedBootstrap:
    """Resamples of the listeners and seeds of one test; everything estimated by one instance is paired.

    Args:
        raters: Listeners.
        seeds: Seed tracks.
        resamples: How often both are drawn.
    """

    def __init__(self, raters: Sequence[str], seeds: Sequence[str], resamples: int = RESAMPLES) -> None:
        self._raters = {name: number for number, name in enumerate(raters)}
        self._seeds = {name: number for number, name in enumerate(seeds)}
        dice = np.random.default_rng(_SEED)
        self._rater_weights = _draws(dice, len(raters), resamples)
        self._seed_weights = _draws(dice, len(seeds), resamples)

    def estimate(self, marks: Mapping[tuple[str, str], float]) -> Estimate:
        """Estimate the mean of marks, each given by a listener (first) for a seed (second)."""
        if not marks:
            return Estimate(float("nan"), float("nan"), float("nan"), 0)
        values = np.array(list(marks.values()), np.float64)
        raters = [self._raters[rater] for rater, _ in marks]
        seeds = [self._seeds[seed] for _, seed in marks]
        weights = self._rater_weights[:, raters] * self._seed_weights[:, seeds]  # (resamples, marks)
        totals = weights.sum(axis=1)
        means = weights[totals > 0] @ values / totals[totals > 0]
        low = high = float("nan")
        if len(set(raters)) > 1 or len(set(seeds)) > 1:
            low, high = (float(bound) for bound in np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
        return Estimate(float(values.mean()), low, high, len(values))


def _draws(dice: np.random.Generator, count: int, resamples: int) -> Float64Array:
    if not count:
        return np.zeros((resamples, 0))
    return dice.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)


def table(key: Key, ratings: Sequence[Rating]) -> str:
    """Write what the ratings of a test say; ratings of playlists that it does not have do not count."""
    known = [rating for rating in ratings if rating.playlist in key.encoders]
    encoders = sorted(set(key.encoders.values()))
    raters = sorted({rating.rater for rating in known})
    bootstrap = RaterSeedBootstrap(raters, sorted(set(key.seeds.values())))
    marks = {
        (encoder, question): _marks(key, known, encoder, question) for encoder in encoders for question in QUESTIONS
    }
    rows = [["encoder", *QUESTIONS, "playlists"]]
    for encoder in encoders:
        estimates = [bootstrap.estimate(marks[encoder, question]) for question in QUESTIONS]
        rows.append([encoder, *(one.text() for one in estimates), str(estimates[0].marks)])
    rows.append(["paired difference", *[""] * len(QUESTIONS), "pairs"])
    for first, second in combinations(encoders, 2):
        differences = [
            bootstrap.estimate(_differences(marks[first, question], marks[second, question])) for question in QUESTIONS
        ]
        rows.append([f"{first} − {second}", *(one.text(signed=True) for one in differences), str(differences[0].marks)])
    heading = f"ratings: {len(known)}, listeners: {len(raters)}"
    if raters:
        heading += "; means with 90 % intervals over listeners and seeds"
    return "\n".join([heading, "", *_aligned(rows)])


def _marks(key: Key, ratings: Sequence[Rating], encoder: str, question: str) -> dict[tuple[str, str], float]:
    return {
        (rating.rater, key.seeds[rating.playlist]): float(getattr(rating, question))
        for rating in ratings
        if key.encoders[rating.playlist] == encoder
    }


def _differences(
    first: Mapping[tuple[str, str], float], second: Mapping[tuple[str, str], float]
) -> dict[tuple[str, str], float]:
    return {cell: mark - second[cell] for cell, mark in first.items() if cell in second}


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
