"""Refusals about tastes and what is recommended by them."""

from services.chassis.errors import Unavailable

# How the retriever names what a person need not know.
_WORDS = {"UNKNOWN_PROFILE": "what you heard is still being counted"}


class TastesAway(Unavailable):
    """Tastes cannot be compared now: the retriever is away or still reads."""

    default_reason = "TASTES_AWAY"

    def __init__(self, because: str) -> None:
        said = _WORDS.get(because, because)
        super().__init__(f"tastes cannot be compared now, ask again in a moment: {said}", retry_after_ms=1_000)
