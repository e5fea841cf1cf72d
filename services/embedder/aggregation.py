"""Makes a track's vector of its windows' vectors, by the method that the manifest names. Chooses no windows.

All windows of a track are encoded whatever the method: the length of a stream is known at its end, and the track's tags
and its stored window vectors are of all of them. So `middle` costs what `weighted_mean` costs.

What joins vectors without pooling them (concatenation), and a track that is one window, exist in `training/evaluation`
only; see `artifact.check_pooling`.
"""

from typing import Protocol

import numpy as np

from services.embedder.artifact import Artifact
from services.embedder.model import Float32Array, pool, unit
from services.embedder.transformer_aggregator import TransformerAggregator


class Aggregator(Protocol):
    """Makes one vector of many; keeps no state and may be called from any thread."""

    def aggregate(self, vectors: Float32Array, seconds: Float32Array) -> Float32Array:
        """Aggregate the windows of one track that voted.

        Args:
            vectors: Unit vectors in the order of time, shape (n, dim), float32, n at least 1.
            seconds: What each stands for, shape (n,), float32, positive.

        Returns:
            Shape (dim,), float32, unit L2 norm; zeros where windows cancel out exactly. A common factor of `seconds`
            changes nothing.
        """
        ...


class WeightedMean:
    """The mean of the windows, weighted by seconds, made unit."""

    def aggregate(self, vectors: Float32Array, seconds: Float32Array) -> Float32Array:
        """Aggregate; see `Aggregator.aggregate`."""
        return pool(vectors, seconds)


class Maximum:
    """The element-wise maximum over the windows, made unit.

    A maximum knows no weights, and a window of 3 s must not speak as loudly as one of 60 s. So the longest windows give
    the maximum m, and a shorter window v, whose share of their length is s, raises it by its share of what it would
    raise it by: m + s · max(0, v − m). A share of 1 is the plain maximum, and one near 0 is as if it were not there.
    """

    def aggregate(self, vectors: Float32Array, seconds: Float32Array) -> Float32Array:
        """Aggregate; see `Aggregator.aggregate`."""
        shares = seconds / seconds.max()
        highest = vectors[shares == 1].max(axis=0)  # (dim,)
        raised = highest + (shares[:, None] * np.maximum(vectors - highest, 0)).max(axis=0)
        vector: Float32Array = unit(raised[None])[0]
        return vector


class Middle:
    """The window that holds the middle of the seconds that voted.

    A window holds its beginning and not its end: of an even number of equal windows it is the later one of the two
    that meet in the middle.
    """

    def aggregate(self, vectors: Float32Array, seconds: Float32Array) -> Float32Array:
        """Aggregate; see `Aggregator.aggregate`."""
        ends = np.cumsum(seconds, dtype=np.float64)
        holder = int(np.searchsorted(ends, ends[-1] / 2, side="right"))
        return np.array(vectors[holder], np.float32)


WEIGHTED_MEAN: Aggregator = WeightedMean()


def load_aggregator(artifact: Artifact) -> Aggregator:
    """Build what a model folder's manifest asks for; reads weights for the transformer only.

    Raises:
        ArtifactInvalid: A method that nothing here does, or the transformer's tensors are missing or malformed.
    """
    match artifact.manifest.pooling.method:
        case "max":
            return Maximum()
        case "middle":
            return Middle()
        case "transformer":
            return TransformerAggregator.load(artifact)
        case _:
            return WEIGHTED_MEAN  # `open_artifact` has refused the rest
