"""Vectors that come from outside: what one must be to stand beside those that embedders made."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis import vectors
from services.chassis.errors import DomainError
from services.social.domain import fields
from services.social.errors import Malformed

MOST_VECTORS = 500
_LONGEST_SECONDS = 30 * 24 * 3_600.0


@dataclass(frozen=True, slots=True)
class StoredVector:
    """What an encoder hears in a recording.

    Attributes:
        audio_hash: SHA-256 of the encoded audio without tags and art, 32 bytes.
        vector: Little-endian float32, 4 × dimension bytes, unit L2 norm within 1e-3.
        duration_seconds: Of the audio that it was made of; 0 is not known.
    """

    audio_hash: bytes
    vector: bytes
    duration_seconds: float


def check_vectors(given: Sequence[StoredVector], dimension: int) -> list[StoredVector | DomainError]:
    """Check the vectors of one call, each for itself: one that is refused spoils no other.

    Args:
        given: Unchecked.
        dimension: Of their encoder.

    Returns:
        In the order given: the vector, or why it is refused: MALFORMED, OUT_OF_RANGE, DIMENSION_MISMATCH or
        VECTOR_NOT_UNIT. Of several for one recording the first counts.
    """
    found: list[StoredVector | DomainError] = []
    seen: set[bytes] = set()
    for one in given:
        try:
            fields.digest(one.audio_hash, "audio_hash")
            vectors.decode(one.vector, dimension)
            fields.number(one.duration_seconds, "duration_seconds", 0, _LONGEST_SECONDS)
            if one.audio_hash in seen:
                raise Malformed("audio_hash", one.audio_hash.hex(), "given once in a call")
        except DomainError as refusal:
            found.append(refusal)
        else:
            seen.add(one.audio_hash)
            found.append(one)
    return found
