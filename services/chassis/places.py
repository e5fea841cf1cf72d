"""Counts calls that are being answered, and refuses those beyond a bound."""

import contextlib
from collections.abc import Iterator

from services.chassis.errors import ResourceExhausted

# Reason of the refusal.
SERVER_BUSY = "SERVER_BUSY"
_RETRY_AFTER_MS = 1000


class Places:
    """A bound of calls at a time.

    Args:
        limit: Calls at a time.
        what: What is counted, for the message.
    """

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self._taken = 0

    @property
    def are_taken(self) -> bool:
        """Whether a further call would be refused."""
        return self._taken >= self._limit

    def refusal(self) -> ResourceExhausted:
        """Return what a call beyond the bound is told."""
        return ResourceExhausted(
            f"{self._taken} {self._what} are being answered, limit is {self._limit}",
            reason=SERVER_BUSY,
            value=self._taken,
            limit=self._limit,
            retry_after_ms=_RETRY_AFTER_MS,
        )

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Take a place for as long as the context lasts.

        Raises:
            ResourceExhausted: All are taken, with reason SERVER_BUSY.
        """
        if self.are_taken:
            raise self.refusal()
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
