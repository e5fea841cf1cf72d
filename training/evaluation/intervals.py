"""Says how sure a mean over queries is, by resampling their groups; pairs encoders by giving them the same resamples.

Tracks of one soundtrack succeed and fail together, so groups are drawn, not tracks: the bootstrap of Efron &
Tibshirani, "An Introduction to the Bootstrap" (1993), with percentile intervals, over clusters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

RESAMPLES = 4000
SEED = 20_240_501
LEVEL = 0.90


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        mean: Over the queries; NaN without any.
        low: Lower bound; NaN where fewer than two groups leave nothing to resample.
        high: Upper bound.
        queries: How many there are.
        groups: In how many groups they are.
    """

    mean: float
    low: float
    high: float
    queries: int
    groups: int


class GroupBootstrap:
    """Resamples of one set of queries; whatever is estimated by one instance is paired.

    Args:
        groups: The group of each query.
        strata: The family of each query, for `macro`.
        resamples: How often groups are drawn, with replacement, as many as there are.
        seed: Of the draws.
    """

    def __init__(
        self, groups: Sequence[str], strata: Sequence[str], resamples: int = RESAMPLES, seed: int = SEED
    ) -> None:
        names, members = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        self._strata = np.asarray(strata, dtype=str)
        self._members = members
        draws = np.zeros((resamples, 0), np.int64)
        if len(names):
            even = np.full(len(names), 1 / len(names))
            draws = np.random.default_rng(seed).multinomial(len(names), even, size=resamples)
        self._weights = draws[:, members].astype(np.float64)  # (resamples, queries)

    def over_all(self, values: Float64Array) -> Estimate:
        """Estimate the mean of values, shape (queries,), each query counting once."""
        return self._estimate(values, np.ones(len(values), bool))

    def of_stratum(self, values: Float64Array, stratum: str) -> Estimate:
        """Estimate the mean over the queries of one family."""
        return self._estimate(values, self._strata == stratum)

    def macro(self, values: Float64Array) -> Estimate:
        """Estimate the mean of the families' means; a family that a resample lacks does not count in it."""
        masks = [self._strata == stratum for stratum in np.unique(self._strata)]
        if not masks:
            return self._estimate(values, np.ones(len(values), bool))
        resampled = np.stack([self._means(values, mask) for mask in masks])  # (families, resamples)
        means = np.array([values[mask].mean() for mask in masks])
        counts = np.isfinite(resampled).sum(axis=0)
        totals = np.nansum(resampled, axis=0)
        return self._bounded(float(means.mean()), totals[counts > 0] / counts[counts > 0], np.ones(len(values), bool))

    def _estimate(self, values: Float64Array, mask: NDArray[np.bool_]) -> Estimate:
        mean = float(values[mask].mean()) if mask.any() else float("nan")
        return self._bounded(mean, self._means(values, mask), mask)

    def _means(self, values: Float64Array, mask: NDArray[np.bool_]) -> Float64Array:
        """Return the weighted mean in each resample, shape (resamples,); NaN where it holds none of the queries."""
        weights = self._weights[:, mask]
        totals = weights.sum(axis=1)
        with np.errstate(invalid="ignore"):
            means: Float64Array = np.where(totals > 0, weights @ values[mask] / totals, np.nan)
        return means

    def _bounded(self, mean: float, resampled: Float64Array, mask: NDArray[np.bool_]) -> Estimate:
        groups = len(np.unique(self._members[mask]))
        low = high = float("nan")
        if groups > 1:
            tail = (1 - LEVEL) / 2
            low, high = (float(bound) for bound in np.nanquantile(resampled, [tail, 1 - tail]))
        return Estimate(mean, low, high, int(mask.sum()), groups)
