"""8-bit codes whose inner products are whole numbers, which processors compute quickest.

FAISS compares 8-bit codes of its own in floating point, with a range of its own for each dimension: 60 ns for 1,024
dimensions on one core. Codes that are whole numbers, asked with whole numbers, take it 20 ns where the dimension is a
multiple of 32 (QT_8bit_direct_signed), and memory 30 ns where they are in no cache. So a query needs 8 bits too, and
then no dimension may be much larger than the others, or those would be rounded away: vectors are spread first, their
signs flipped by chance and a Fourier transform taken, after which every number is a sum of all and they are all about
as large (Ailon and Chazelle, The fast Johnson-Lindenstrauss transform, 2009). It is a rotation: products stay.
"""

import functools
import hashlib
from dataclasses import dataclass
from typing import NamedTuple, Self

import faiss
import numpy as np

from services.retriever.similarity import Float32Array

QUANTIZER = faiss.ScalarQuantizer.QT_8bit_direct_signed
# FAISS's quick way is that of whole blocks.
_BLOCK = 32
_MOST = 127
# Numbers of spread vectors are about normally distributed: one in 150,000 lies further out and is cut there.
_SIGMAS = 4.5
_LEAST = 1e-9


class AskedCodes(NamedTuple):
    """Queries as they are compared with codes.

    Attributes:
        numbers: Whole, −127 to 127, shape (n, code size), float32.
        factors: By which products must be multiplied, shape (n, 1), float32.
        offsets: What must be added then, shape (n, 1), float32.
    """

    numbers: Float32Array
    factors: Float32Array
    offsets: Float32Array

    def scores(self, products: Float32Array) -> Float32Array:
        """Turn products with codes, shape (n, any), into inner products with the vectors, to about 0.0005."""
        return products * self.factors + self.offsets


@dataclass(frozen=True, slots=True)
class ByteScale:
    """How vectors become codes.

    Attributes:
        mean: It is taken away first, shape (dim,), float32: what all have in common needs no bits.
        step: What 1 means.
    """

    mean: Float32Array
    step: float

    @classmethod
    def of(cls, sample: Float32Array) -> Self:
        """Measure the scale that suits vectors like these, shape (n, dim)."""
        mean = sample.mean(axis=0)
        deviation = float(np.sqrt(np.square(sample - mean).mean()))
        return cls(mean, float(np.float32(max(_SIGMAS * deviation / _MOST, _LEAST))))

    @property
    def code_size(self) -> int:
        """Bytes of a code: the dimension, filled up to a multiple of 32."""
        return len(self.mean) + -len(self.mean) % _BLOCK

    def encode(self, vectors: Float32Array) -> Float32Array:
        """Return codes, whole numbers from −127 to 127 as FAISS takes them, shape (n, code size), float32."""
        return self.filled(np.rint(_spread(vectors - self.mean) / np.float32(self.step)).clip(-_MOST, _MOST))

    def ask(self, queries: Float32Array) -> AskedCodes:
        """Return queries, shape (n, dim), each on a scale of its own."""
        spread = _spread(queries)
        steps = np.maximum(np.abs(spread).max(axis=1, keepdims=True) / np.float32(_MOST), np.float32(_LEAST))
        offsets = (queries @ self.mean)[:, np.newaxis]
        return AskedCodes(self.filled(np.rint(spread / steps)), steps * np.float32(self.step), offsets)

    def to_bytes(self) -> bytes:
        """Return it as `from_bytes` reads it, 4 bytes for each dimension and 4 more."""
        return np.append(self.mean, self.step).astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        numbers = np.frombuffer(data, "<f4").astype(np.float32)
        return cls(numbers[:-1], float(numbers[-1]))

    @staticmethod
    def size(dimension: int) -> int:
        """Return the length of `to_bytes`."""
        return 4 * (dimension + 1)

    def filled(self, vectors: Float32Array) -> Float32Array:
        """Return vectors, shape (n, dim), with zeros behind, shape (n, code size)."""
        filled = np.zeros((len(vectors), self.code_size), np.float32)
        filled[:, : len(self.mean)] = vectors
        return filled


def _spread(vectors: Float32Array) -> Float32Array:
    """Rotate vectors, shape (n, dim), so that no dimension stands out; always in the same way."""
    dimension = vectors.shape[1]
    waves = np.fft.rfft(vectors * _signs(dimension), norm="ortho")
    # Frequencies whose mirror image is left out count twice.
    waves[:, 1 : (dimension + 1) // 2] *= np.float32(np.sqrt(2))
    return np.hstack([waves.real, waves.imag[:, 1 : (dimension + 1) // 2]])


@functools.cache
def _signs(dimension: int) -> Float32Array:
    # Of a hash: a stored base needs the same ones for ever, and numpy may change what a seed gives.
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(b"signs").digest(-(-dimension // 8)), np.uint8))
    return 1 - 2 * bits[:dimension].astype(np.float32)
