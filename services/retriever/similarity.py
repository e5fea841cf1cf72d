"""The cosine as everybody sees it: in [-1, 1], to six decimals."""

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

_DECIMALS = 6


def cosines(vectors: Float32Array, other: Float32Array) -> Float32Array:
    """Return the cosines of unit vectors, shape (n, dim), with one, shape (dim,), or several, shape (dim, m)."""
    return presented(vectors @ other)


def settled_products(vectors: Float32Array, other: Float32Array) -> NDArray[np.float64]:
    """Return the products of vectors, shape (n, dim), with one, shape (dim,), whatever is computed along with them.

    A product in float32 depends in its sixth decimal on the order of its sum, and with it on how many questions were
    joined and how many candidates there are. In float64 they agree, so that equal questions have equal answers, page
    after page and from replica to replica.
    """
    products: NDArray[np.float64] = vectors.astype(np.float64) @ other.astype(np.float64)
    return products


def presented(products: Float32Array | NDArray[np.float64]) -> Float32Array:
    """Turn inner products of unit vectors into the cosines that are compared and shown, same shape, float32."""
    return products.clip(-1.0, 1.0).round(_DECIMALS).astype(np.float32, copy=False)
