"""What every encoder is: windows of sound in, unit vectors out. Holds no weights and decodes no file."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from services.embedder.artifact import Manifest

if TYPE_CHECKING:  # it computes with what stands here
    from services.embedder.aggregation import Aggregator

Float32Array = NDArray[np.float32]

_SMALLEST_NORM = 1e-12


@dataclass(frozen=True, slots=True)
class Encoded:
    """What an encoder makes of a batch of windows.

    Attributes:
        vectors: Shape (batch, dim), float32, unit L2 norm.
        tags: Shape (batch, n_tags), float32 in [0, 1], columns as in the manifest; (batch, 0) without tags.
    """

    vectors: Float32Array
    tags: Float32Array


class Encoder(Protocol):
    """Turns windows into vectors. Calls block and must come from one thread at a time."""

    @property
    def manifest(self) -> Manifest:
        """What the encoder is."""
        ...

    @property
    def device(self) -> str:
        """Where it computes: "cpu" or "cuda"."""
        ...

    @property
    def min_samples(self) -> int:
        """Shortest window that it can see, in samples."""
        ...

    @property
    def aggregator(self) -> "Aggregator":
        """What makes a track's vector of its windows' vectors, by manifest.pooling."""
        ...

    def encode(self, windows: Float32Array) -> Encoded:
        """Encode windows of equal length; a row's result does not depend on the other rows.

        Args:
            windows: Mono sound at manifest.sample_rate_hz, shape (batch, samples), float32, full scale 1.
        """
        ...


class ServedEncoder(Encoder, Protocol):
    """An encoder that tells its callers what computes; those that are only compared need not."""

    @property
    def runtime(self) -> str:
        """What computes: "onnxruntime" or "torch"."""
        ...

    @property
    def precision(self) -> str:
        """What it computes in: "fp32", "bf16", "fp16" or "int8"; its manifest says what the weights are stored in."""
        ...

    @property
    def parameters(self) -> int:
        """How many numbers were learnt; the same in every runtime and precision."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Memory of the weights as they are computed with."""
        ...


def unit(vectors: Float32Array) -> Float32Array:
    """Scale each row of shape (n, dim) to unit L2 norm; a row of zeros stays zero, NaN stays NaN."""
    norms = np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, _SMALLEST_NORM), dtype=np.float32)


def centre(vectors: Float32Array, mean: Float32Array | None) -> Float32Array:
    """Make rows unit, subtract a mean where there is one, and make them unit again.

    Args:
        vectors: Shape (n, dim), of any norm.
        mean: Shape (dim,), on the scale of unit vectors; None for nothing.
    """
    return unit(vectors) if mean is None else unit(unit(vectors) - mean)


def pool(vectors: Float32Array, weights: Float32Array) -> Float32Array:
    """Make a track's vector of the vectors of its windows.

    Args:
        vectors: Unit vectors, shape (windows, dim).
        weights: Seconds that each window stands for, shape (windows,), positive.

    Returns:
        The weighted mean, made unit again, shape (dim,), float32.
    """
    mean = np.average(vectors.astype(np.float64), axis=0, weights=weights.astype(np.float64))
    vector: Float32Array = unit(mean[None].astype(np.float32))[0]
    return vector
