"""Refusals about tastes and what is recommended by them."""

from services.chassis.errors import Unavailable


class TastesAway(Unavailable):
    """Tastes cannot be compared now: the retriever is away or still reads."""

    default_reason = "TASTES_AWAY"

    def __init__(self, because: str) -> None:
        super().__init__(f"tastes cannot be compared now: {because}", retry_after_ms=1_000)
