"""Codec of vectors on the wire: little-endian float32, row-major, unit L2 norm."""

import numpy as np
from numpy.typing import NDArray

from services.chassis.errors import InvalidArgument

Float32Array = NDArray[np.float32]

# float32 sums over 1,024 dimensions stay within 1e-6 of 1; 1e-3 also admits vectors that were stored as float16.
NORM_TOLERANCE = 1e-3


def encode(vector: Float32Array) -> bytes:
    """Encode one vector, shape (dim,), or several, shape (n, dim), as 4 bytes a number."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def decode(data: bytes, dimension: int, field: str = "vector") -> Float32Array:
    """Decode one unit vector.

    Args:
        data: 4 × dimension bytes.
        dimension: Length that the vector must have.
        field: Name of the input, for the error.

    Returns:
        Shape (dimension,), float32, unit L2 norm within 1e-3, not writable.

    Raises:
        InvalidArgument: Wrong length, not finite, or not of unit norm.
    """
    if len(data) != 4 * dimension:
        raise InvalidArgument(
            f"{field} has {len(data)} bytes, {4 * dimension} are expected for {dimension} dimensions",
            reason="DIMENSION_MISMATCH",
            field=field,
            value=len(data),
            limit=4 * dimension,
        )
    vector = np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):  # a norm that is no number is refused like any other
        norm = float(np.linalg.norm(vector))
    if not abs(norm - 1.0) <= NORM_TOLERANCE:  # written so that NaN is refused too
        raise InvalidArgument(
            f"{field} has norm {norm:.6g}, 1 ± {NORM_TOLERANCE} is expected",
            reason="VECTOR_NOT_UNIT",
            field=field,
            value=f"{norm:.6g}",
            limit=NORM_TOLERANCE,
        )
    return vector
