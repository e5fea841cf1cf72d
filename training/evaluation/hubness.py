"""Measures whether a few tracks are everybody's neighbour and others nobody's.

Radovanović, Nanopoulos & Ivanović, "Hubs in space" (JMLR 11, 2010): N_k of a track is how often it is among the k
nearest of the others; its skewness is the measure. Flexer, Schnitzer & Schlüter (ISMIR 2012) did it for music.
"""

from dataclasses import dataclass

import numpy as np

from training.evaluation.retrieval import Float32Array, cosines

K = 10


@dataclass(frozen=True, slots=True)
class Hubness:
    """How unevenly tracks are named.

    Attributes:
        skewness: Third standardised moment of N_k; 0 is even, above 1.4 is called high.
        largest_hub: Share of the other tracks that name the most named one.
        never_named: Share of tracks that nobody names.
    """

    skewness: float
    largest_hub: float
    never_named: float


def measure_hubness(vectors: Float32Array, k: int = K) -> Hubness:
    """Measure N_k of vectors, shape (n, dim), n > k, by cosine.

    Raises:
        ValueError: There are no more than k vectors.
    """
    if len(vectors) <= k:
        raise ValueError(f"{len(vectors)} vectors cannot have {k} neighbours each")
    similarity = np.round(cosines(vectors, np.arange(len(vectors))), 9)
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    named = np.bincount(nearest.ravel(), minlength=len(vectors)).astype(np.float64)  # N_k
    deviation = named.std()
    skewness = float(np.mean((named - named.mean()) ** 3) / deviation**3) if deviation > 0 else 0.0
    return Hubness(skewness, float(named.max() / (len(vectors) - 1)), float(np.mean(named == 0)))
