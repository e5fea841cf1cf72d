"""Says how long a call may wait for a point of the log."""

from services.chassis.server import time_left_s

# Kept of the caller's time for the answer itself, so that it hears INDEX_BEHIND and not only that its time is over.
_ANSWER_S = 0.1
_LONGEST_WAIT_S = 30.0


def time_to_wait_s() -> float:
    """Return the seconds that are left of the call at hand, less what its answer takes; 30 at most."""
    left = time_left_s()
    return _LONGEST_WAIT_S if left is None else min(_LONGEST_WAIT_S, max(0.0, left - _ANSWER_S))
