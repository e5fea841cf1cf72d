"""Chance that can be repeated: noise for the scores of tracks, the same on every machine for the same seed."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

# Of a 64-bit number the upper 53 fill the mantissa of a double.
_SHIFT = np.uint64(11)
_STEP = 2.0**-53


class Gumbel:
    """Noise that turns a ranking into a draw.

    Adding standard Gumbel noise × τ to scores and taking the best k draws k without replacement from the distribution
    softmax(score / τ), one after the other (Kool, van Hoof, Welling, "Stochastic Beams and Where to Find Them", ICML
    2019). τ is the temperature × the standard deviation of the first candidates' scores: a cosine of 0.1 more means
    much with one encoder and little with another.

    A track's noise comes from the digest of its id, not from its place among the candidates: one candidate more or
    fewer, because the library grew, a track was excluded or an approximate index missed one, leaves the luck of all
    others as it was.

    Args:
        temperature: 0 to 1.
        random_seed: 0 to 2⁶⁴ − 1.
        occasion: What the draw is for. Without it the same tracks would be lucky in everybody's lists, because most
            requests leave the seed at 0.
    """

    def __init__(self, temperature: float, random_seed: int, occasion: bytes = b"") -> None:
        self._temperature = temperature
        self._key = hashlib.blake2b(occasion, digest_size=32, key=random_seed.to_bytes(8, "little")).digest()
        self._scale: float | None = None

    def noise(self, track_ids: Iterable[str], scores: Float64Array) -> Float64Array:
        """Return noise for the scores of further tracks, same shape (n,); the first call sets the scale of all."""
        if self._scale is None:
            self._scale = self._temperature * float(scores.std())
        digests = b"".join(
            hashlib.blake2b(track_id.encode(), digest_size=8, key=self._key).digest() for track_id in track_ids
        )
        numbers = np.frombuffer(digests, dtype="<u8")
        uniform = ((numbers >> _SHIFT).astype(np.float64) + 0.5) * _STEP  # in (0, 1), without its ends
        noise: Float64Array = self._scale * -np.log(-np.log(uniform))
        return noise
