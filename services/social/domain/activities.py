"""Names what feeds tell of, and the ids by which its age is known."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID


class ActivityKind(StrEnum):
    """What somebody did."""

    CREATED = "CREATED"
    LIKED = "LIKED"
    SAVED = "SAVED"
    FOLLOWED = "FOLLOWED"
    COMMENTED = "COMMENTED"


def first_id_of(moment: datetime) -> str:
    """Return the lowest UUIDv7 of a moment: what was made before has a lower one (RFC 9562, section 5.7)."""
    milliseconds = int(moment.timestamp() * 1000)
    return str(UUID(int=milliseconds << 80))
