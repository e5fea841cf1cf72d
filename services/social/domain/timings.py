"""How long the stages of jobs take, and from that how long a job will still take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.social.domain.jobs import Counted, JobState

# Share of the newest timing in the mean (exponential average).
NEWEST_SHARE = 0.2
# Before so many nothing is said.
LEAST_TIMINGS = 20


@dataclass(frozen=True, slots=True)
class Timing:
    """Mean milliseconds that a stage takes, for each thing where it counts things, and of how many timings."""

    mean_ms: float
    count: int


def eta_s(known: Mapping[JobState, Timing], state: JobState, counted: Counted) -> float | None:
    """Return the seconds that are left to a job in a stage, None where too few such jobs were timed.

    Args:
        known: Timings of the stages that jobs of this kind pass.
        state: Its stage, which it enters or in which it has done some of what it counts.
        counted: What the stage counts.
    """
    left = [timing for stage, timing in known.items() if stage.is_after(state)]
    here = known.get(state)
    if here is None or here.count < LEAST_TIMINGS or any(timing.count < LEAST_TIMINGS for timing in left):
        return None
    things = counted.total - counted.done if counted.unit else 1
    return (here.mean_ms * things + sum(timing.mean_ms for timing in left)) / 1000


class Stopwatch:
    """Times the stages that one attempt passes from beginning to end.

    Args:
        monotonic: Seconds that only rise.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._state: JobState | None = None
        self._counted = Counted()
        self._since = 0.0
        self.timings_ms: dict[JobState, float] = {}

    def enter(self, state: JobState, counted: Counted) -> None:
        """Begin a stage, or go on in it."""
        if state is self._state:
            return
        self.stop()
        self._state, self._counted, self._since = state, counted, self._monotonic()

    def stop(self) -> None:
        """End the stage under way: its milliseconds, for each of the things that it counted."""
        if self._state is not None:
            things = max(1, self._counted.total - self._counted.done) if self._counted.unit else 1
            self.timings_ms[self._state] = (self._monotonic() - self._since) * 1000 / things
        self._state = None
