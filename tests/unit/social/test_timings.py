"""How long a job will still take."""

import pytest

from services.social.domain.jobs import Counted, JobState
from services.social.domain.timings import Stopwatch, Timing, eta_s

KNOWN = {
    JobState.EMBEDDING: Timing(3_000, 20),
    JobState.SEARCHING: Timing(500, 50),
    JobState.ARRANGING: Timing(100, 50),
}


@pytest.mark.parametrize(
    ("known", "state", "counted", "expected"),
    [
        (KNOWN, JobState.SEARCHING, Counted(), 0.6),
        (KNOWN, JobState.ARRANGING, Counted(), 0.1),
        (KNOWN, JobState.EMBEDDING, Counted("seeds", 1, 5), 12.6),
        (KNOWN, JobState.EMBEDDING, Counted("seeds", 5, 5), 0.6),
        ({}, JobState.SEARCHING, Counted(), None),
        (KNOWN | {JobState.EMBEDDING: Timing(1, 19)}, JobState.EMBEDDING, Counted("seeds", 0, 1), None),
        (KNOWN | {JobState.EMBEDDING: Timing(1, 19)}, JobState.SEARCHING, Counted(), 0.6),
        (KNOWN | {JobState.ARRANGING: Timing(1, 19)}, JobState.SEARCHING, Counted(), None),
    ],
)
def test_time_left_is_that_of_the_stages_left(
    known: dict[JobState, Timing], state: JobState, counted: Counted, expected: float | None
) -> None:
    assert eta_s(known, state, counted) == (None if expected is None else pytest.approx(expected))


def test_stages_are_timed_by_what_they_count() -> None:
    now = 0.0
    watch = Stopwatch(lambda: now)
    watch.enter(JobState.EMBEDDING, Counted("seeds", 0, 4))
    now = 2.0
    watch.enter(JobState.EMBEDDING, Counted("seeds", 2, 4))
    now = 8.0
    watch.enter(JobState.SEARCHING, Counted())
    now = 8.5
    watch.stop()
    watch.stop()
    assert watch.timings_ms == {JobState.EMBEDDING: 2_000, JobState.SEARCHING: 500}
