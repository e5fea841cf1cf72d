"""Says how alike random pairs of tracks are: what `random_pair_cosine` of a manifest tells. Embeds nothing."""

from collections.abc import Sequence

import numpy as np

from services.embedder.model import Float32Array

QUANTILES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)

_RANDOM_PAIRS = 100_000


def random_pair_cosine(vectors: Float32Array, groups: Sequence[str]) -> dict[str, float]:
    """Return quantiles of the cosine of random pairs of tracks of different soundtracks, where there are any.

    Args:
        vectors: Unit vectors of tracks, shape (n, dim), at least two.
        groups: Their soundtracks, n of them.
    """
    of_vectors = np.asarray(groups)
    one, other = np.random.default_rng(0).integers(len(vectors), size=(2, _RANDOM_PAIRS))
    apart = of_vectors[one] != of_vectors[other]
    if not apart.any():
        apart = one != other
    cosines = np.sum(vectors[one[apart]] * vectors[other[apart]], axis=1)
    return {str(share): round(float(np.quantile(cosines, share)), 6) for share in QUANTILES}
