"""The cosine as everybody sees it: in [-1, 1], to six decimals."""

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

_DECIMALS = 6


def cosines(vectors: Float32Array, other: Float32Array) -> Float32Array:
    """Return the cosines of unit vectors, shape (n, dim), with one, shape (dim,), or several, shape (dim, m)."""
    return presented(vectors @ other)


def presented(products: Float32Array) -> Float32Array:
    """Turn inner products of unit vectors into the cosines that are compared and shown, same shape, float32.

    The order of summation moves a float32 product by about 1e-7, and with it the place of a vector in memory. What
    differs by no more is a tie, so that all replicas order alike.
    """
    return products.clip(-1.0, 1.0).round(_DECIMALS)
