"""Refusals of the database."""

from services.chassis.errors import Unavailable


class DatabaseUnavailable(Unavailable):
    """PostgreSQL is away, too busy, or took too long."""

    default_reason = "DATABASE_UNAVAILABLE"

    def __init__(self, why: str) -> None:
        super().__init__(f"the database cannot be used now: {why}", retry_after_ms=500)
