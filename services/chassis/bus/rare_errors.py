"""Logs a connection's errors when they are new, and then rarely: each attempt to reconnect brings one."""

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

_INTERVAL_S = 60.0


class RareErrors:
    """Errors of one connection, told apart by their class.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told_at: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def heard(self, error: Exception) -> None:
        """Log `bus_error` with the errors of this class since the last such line, or only count it."""
        kind, now = type(error).__qualname__, self._clock()
        count = self._untold.get(kind, 0) + 1
        if now - self._told_at.get(kind, float("-inf")) < _INTERVAL_S:
            self._untold[kind] = count
            return
        self._told_at[kind], self._untold[kind] = now, 0
        logger.warning("bus_error", extra={"error": repr(error), "count": count})

    def forget(self) -> None:
        """Log the next error at once: what there was is over."""
        self._told_at.clear()
        self._untold.clear()
