"""Refusals about tastes and what is recommended by them."""

from services.chassis.errors import Unavailable

_COUNTED_SOON_MS = 5_000


class TastesAway(Unavailable):
    """Tastes cannot be compared now: the retriever is away or still reads."""

    default_reason = "TASTES_AWAY"

    def __init__(self, because: str, retry_after_ms: int = 1_000) -> None:
        said = f"tastes cannot be compared now, ask again in a moment: {because}"
        super().__init__(said, retry_after_ms=retry_after_ms)


class TasteUncounted(TastesAway):
    """What somebody heard first is not in the index yet: it is told after `SOCIAL_TASTE_DELAY_S`."""

    default_reason = "TASTE_UNCOUNTED"

    def __init__(self) -> None:
        super().__init__("what you heard is still being counted", _COUNTED_SOON_MS)
